//! Jaeger's span as protobuf (`jaeger.api_v2.Span`): how it is kept, and how any span is said in its words.
//!
//! Promise: what [`request`] keeps, [`span`] gives back: every tag of every type, in order and as often as it was sent;
//! logs, references, flags, warnings; times before 1970, negative durations, text that is not UTF-8. What came as OTLP
//! or in Zipkin's words is said by the rules of [`super::jaeger_json`], which are stated there and nowhere else.
//!
//! Limits: an id has the length it must have, a time and a duration what Go can hold; everything else is judged by
//! [`crate::otlp::scan`] as any span is. Not told apart: a span without a process and one whose process says nothing. A
//! tag of a type that `model.proto` does not have comes back as an empty text.
//!
//! # How it is kept
//!
//! As an OTLP span that says the same as far as OTLP can, so that every index and every count is right, and that keeps
//! everything besides, so that nothing has to be guessed when it is read. `docs/formats.md`, "Jaeger's spans", draws it.
//!
//! Source: jaeger-idl `proto/api_v2/model.proto`; for the ranges gogo/protobuf `types/timestamp.go`, `types/duration.go`.

mod checked;
mod keep;
mod kept;
mod meaning;
mod said;
pub mod thrift;
mod weight;

use crate::model::{self, Origin};
use crate::otlp::{MAX_ENCLOSING_BYTES, MAX_VALUES, ORIGIN_FIELD, write};
use crate::proto::jaeger::api_v2;

pub use checked::Error;
pub(super) use checked::nearest;
pub(super) use keep::{attribute, link, status};
pub(super) use kept::{process as kept_process, span as kept};
pub(super) use meaning::{Meaning, event_name};
pub use weight::{adjusted_bytes, adjusted_process_bytes};

use super::batch::ByResource;
#[cfg(doc)]
use super::jaeger_json;
use super::{Batched, fit};

/// What went wrong with a span, for a person to read: a list of texts.
pub(super) const WARNINGS: &str = "@jaeger@warnings";
/// `Span.process_id`.
const PROCESS_ID: &str = "@jaeger@process_id";
/// `Span.start_time` where nanoseconds since 1970 cannot say it: seconds and nanoseconds, as a list of two numbers.
const START: &str = "@jaeger@start";
/// `Span.duration` in nanoseconds where it is not the time from start to end.
const DURATION: &str = "@jaeger@duration";
/// `Log.timestamp`, as [`START`].
const TIME: &str = "@jaeger@time";

const SERVICE_NAME: &str = "service.name";
/// What kind of reference a link was.
pub(super) const REF_TYPE: &str = "opentracing.ref_type";
pub(super) const CHILD_OF: &str = "child_of";
pub(super) const FOLLOWS_FROM: &str = "follows_from";

/// An `ExportTraceServiceRequest` that keeps these spans; spans of equal processes share a resource.
pub fn request(spans: &[api_v2::Span]) -> Result<Vec<u8>, Error> {
    let mut groups = Groups::default();
    for span in spans {
        let span = checked::Span::check(span)?;
        let place = groups.place(keep::resource(span.sent.process.as_ref()));
        groups.at(place).push(span);
    }
    Ok(written(groups))
}

/// The same of a batch, without the spans that cannot be kept: a span without a process has the batch's. One that no
/// resource can hold costs the spans that have it, and no others.
pub fn batch(batch: &api_v2::Batch) -> Batched<Error> {
    let (mut groups, mut batched) = (Groups::default(), Batched::default());
    // Looked up once: it may be much longer than the spans that have it.
    let mut shared = None;
    for span in &batch.spans {
        let mut place = |process| Ok(groups.place(resource(process)?));
        let placed = checked::Span::check(span).and_then(|span| match &span.sent.process {
            None => (*shared.get_or_insert_with(|| place(batch.process.as_ref()))).map(|place| (place, span)),
            own => place(own.as_ref()).map(|place| (place, span)),
        });
        match placed {
            Ok((place, span)) => {
                batched.spans += 1;
                groups.at(place).push(span);
            }
            Err(error) => batched.leave_out(error),
        }
    }
    Batched { request: written(groups), ..batched }
}

/// A resource that the spans of a process can have.
fn resource(process: Option<&api_v2::Process>) -> Result<Vec<u8>, Error> {
    let resource = keep::resource(process);
    let tags = process.map_or(0, |process| process.tags.len());
    // The name is a value, too.
    if resource.len() > MAX_ENCLOSING_BYTES || tags >= MAX_VALUES {
        return Err(Error::Process { tags, bytes: resource.len() });
    }
    Ok(resource)
}

/// Spans by the resource of their process.
type Groups<'a> = ByResource<Vec<checked::Span<'a>>>;

fn written(mut groups: Groups<'_>) -> Vec<u8> {
    let mut request = Vec::new();
    for (resource, spans) in groups.drain() {
        write::message(&mut request, 1, |out| {
            write::bytes(out, 1, &resource);
            write::message(out, 2, |out| {
                spans.iter().for_each(|span| write::message(out, 2, |out| keep::span(out, span)));
            });
            write::uint(out, ORIGIN_FIELD, Origin::Jaeger as u64);
        });
    }
    request
}

/// A span in Jaeger's words. Ids have exactly 16 and 8 bytes; start, duration and process are always there.
pub fn span(span: &model::Span) -> api_v2::Span {
    match span.origin {
        Origin::Jaeger => api_v2::Span { process: Some(kept_process(&span.resource)), ..kept(span) },
        Origin::Otlp | Origin::Zipkin => said::span(span),
    }
}

/// The spans of a trace as Jaeger shows them: adjusted by the rules of [`jaeger_json::adjust`], and with what its JSON can
/// say of them, so that this and that are the same.
pub fn adjusted(trace: &[model::Span]) -> impl Iterator<Item = api_v2::Span> {
    said::adjusted(trace)
}

/// The span as it is if it takes at most `max_bytes`, else a copy that does, with a warning that says what was cut from
/// it: the largest values, and if those are not enough, the last logs, references, tags and warnings. A limit below
/// [`fit::LEAST_BYTES`] is taken as that.
pub fn fitted(span: api_v2::Span, max_bytes: usize) -> api_v2::Span {
    use prost::Message as _;

    let max_bytes = max_bytes.max(fit::LEAST_BYTES);
    if span.encoded_len() <= max_bytes {
        return span;
    }
    let cut = fit::fit(&span.encode_to_vec(), fit::Shape::JaegerSpan, max_bytes - fit::WARNING_BYTES);
    let mut fitted = api_v2::Span::decode(cut.message.as_slice())
        .expect("shorter text and fewer fields are the same message still");
    fitted.warnings.push(cut.warning().into());
    fitted
}

#[cfg(test)]
pub(super) mod tests;
