//! Cutting a request in two, for a storage into whose files it does not fit.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

/// A message that holds spans, log records or metrics, and says something about all of them.
pub(super) trait Divisible {
    /// How many there are.
    fn count(&self) -> usize;

    /// Keeps so many, and returns the others, with the same said about them.
    fn cut(&mut self, kept: usize) -> Self;
}

macro_rules! divisible {
    ($($message:ident { $items:ident } says $($said:ident)+;)+) => { $(
        impl Divisible for $message {
            fn count(&self) -> usize {
                self.$items.len()
            }

            fn cut(&mut self, kept: usize) -> Self {
                Self { $items: self.$items.split_off(kept), $($said: self.$said.clone()),+ }
            }
        }
    )+ };
    ($($message:ident [ $parts:ident ] $(says $($said:ident)+)?;)+) => { $(
        impl Divisible for $message {
            fn count(&self) -> usize {
                self.$parts.iter().map(Divisible::count).sum()
            }

            fn cut(&mut self, kept: usize) -> Self {
                Self { $parts: cut_parts(&mut self.$parts, kept) $(, $($said: self.$said.clone()),+)? }
            }
        }
    )+ };
}

divisible! {
    ScopeSpans { spans } says scope schema_url;
    ScopeLogs { log_records } says scope schema_url;
    ScopeMetrics { metrics } says scope schema_url;
}

divisible! {
    ResourceSpans [scope_spans] says resource schema_url;
    ResourceLogs [scope_logs] says resource schema_url;
    ResourceMetrics [scope_metrics] says resource schema_url;
    ExportTraceServiceRequest [resource_spans];
    ExportLogsServiceRequest [resource_logs];
    ExportMetricsServiceRequest [resource_metrics];
}

/// At most one part is divided: those before it stay, those after it go.
fn cut_parts<P: Divisible>(parts: &mut Vec<P>, kept: usize) -> Vec<P> {
    let (mut whole, mut left) = (0, kept);
    for part in &*parts {
        if part.count() > left {
            break;
        }
        left -= part.count();
        whole += 1;
    }
    let mut rest = parts.split_off(whole);
    if left > 0
        && let Some(divided) = rest.first_mut()
    {
        let cut_off = divided.cut(left);
        parts.push(std::mem::replace(divided, cut_off));
    }
    rest
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::Divisible;

    /// So many spans in each scope of each resource, numbered.
    fn request(resources: &[&[usize]]) -> ExportTraceServiceRequest {
        let mut number = 0;
        let mut request = ExportTraceServiceRequest::default();
        for (resource, scopes) in resources.iter().enumerate() {
            let mut resource_spans =
                ResourceSpans { schema_url: format!("resource {resource}"), ..ResourceSpans::default() };
            for (scope, spans) in scopes.iter().enumerate() {
                let spans = (0..*spans).map(|_| {
                    number += 1;
                    Span { name: number.to_string(), ..Span::default() }
                });
                let spans = spans.collect();
                let schema_url = format!("scope {scope}");
                resource_spans.scope_spans.push(ScopeSpans { schema_url, spans, ..ScopeSpans::default() });
            }
            request.resource_spans.push(resource_spans);
        }
        request
    }

    /// Each span with all that is said about it.
    fn spans(request: &ExportTraceServiceRequest) -> Vec<String> {
        let mut said = Vec::new();
        for resource in &request.resource_spans {
            for scope in &resource.scope_spans {
                assert!(!scope.spans.is_empty(), "nothing is said about nothing");
                for span in &scope.spans {
                    said.push(format!("{}, {}: {}", resource.schema_url, scope.schema_url, span.name));
                }
            }
        }
        said
    }

    #[test]
    fn both_parts_together_are_the_whole_wherever_it_is_cut() {
        let whole = request(&[&[2, 3], &[1], &[4, 1, 2]]);
        for kept in 1..whole.count() {
            let mut first = whole.clone();
            let second = first.cut(kept);
            assert_eq!((first.count(), second.count()), (kept, whole.count() - kept));
            assert_eq!([spans(&first), spans(&second)].concat(), spans(&whole), "{kept} kept");
        }
    }
}
