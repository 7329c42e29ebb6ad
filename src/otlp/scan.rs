//! Requests to export spans: are they sound, which spans do they hold, what is left without the unusable ones.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::check::{Check, Header};
use super::damage::{Fault, ScanError};
use super::view::service_name;
use super::walk::{Envelope, Found, Visitor, origin, walk};
use super::wire::{Fields, Value};
use super::{Limits, MAX_USELESS, write};
use crate::model::{ContentHasher, Origin, Resource, Scope, Span};

/// What a request holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scanned {
    /// Spans that can be stored.
    pub accepted: u32,
    /// Spans that cannot: malformed, without valid ids, too large, with too many values or nested too deep.
    pub rejected: u32,
    /// Which the first of them is, and why: for the sender to read.
    pub first_rejection: Option<String>,
    /// Accepted spans with text that is not UTF-8, in themselves or around them; it reads as U+FFFD.
    pub repaired: u32,
}

impl<'a> Visitor<'a> for Scanned {
    fn span(&mut self, span: Found<'a>) {
        match span.header {
            Ok(_) => {
                self.accepted += 1;
                self.repaired += u32::from(span.broken_text);
            }
            Err(damage) => {
                self.rejected += 1;
                let fault = Fault { place: span.place, damage };
                self.first_rejection.get_or_insert_with(|| fault.to_string());
            }
        }
    }
}

/// Checks every byte of an `ExportTraceServiceRequest`; an error when it is not one as a whole.
pub fn scan(request: &[u8], limits: &Limits) -> Result<Scanned, ScanError> {
    let mut scanning = Scanning::default();
    walk(request, limits, &mut scanning)?;
    Ok(scanning.scanned)
}

/// Counts what is in a request, and gives up one that is made of what nobody needs.
#[derive(Default)]
struct Scanning {
    scanned: Scanned,
    /// Resources and scopes.
    envelopes: usize,
}

impl<'a> Visitor<'a> for Scanning {
    fn resource(&mut self, _resource: Envelope<'a>, _origin: Origin) {
        self.envelopes += 1;
    }

    fn scope(&mut self, _scope: Envelope<'a>) {
        self.envelopes += 1;
    }

    fn span(&mut self, span: Found<'a>) {
        self.scanned.span(span);
    }

    fn has_enough(&self) -> bool {
        self.envelopes + self.scanned.rejected as usize > MAX_USELESS
    }
}

/// The good spans of an `ExportTraceServiceRequest` in the order they stand; their bytes are slices of `request`.
pub fn spans(request: &Bytes, limits: &Limits) -> Result<Vec<Span>, ScanError> {
    let mut records = Records::<false>::new(request);
    walk(request, limits, &mut records)?;
    Ok(records.spans)
}

/// The same of a request all of whose spans were accepted before, whatever the limit was then: what stands in their
/// attributes, events and links is not checked again.
pub fn accepted_spans(request: &Bytes) -> Result<Vec<Span>, ScanError> {
    let mut records = Records::<true>::new(request);
    walk(request, &Limits { max_span_bytes: usize::MAX }, &mut records)?;
    Ok(records.spans)
}

/// [`accepted_spans`] without those that have an id of zeros, as only spans in Jaeger's words may; and how many those are.
/// They take no memory, however many they are.
pub fn identified_spans(request: &Bytes) -> Result<(Vec<Span>, u32), ScanError> {
    let mut identified = Identified { records: Records::new(request), others: 0 };
    walk(request, &Limits { max_span_bytes: usize::MAX }, &mut identified)?;
    Ok((identified.records.spans, identified.others))
}

/// Makes records of the spans that OTLP has ids for.
struct Identified<'a> {
    records: Records<'a, true>,
    others: u32,
}

impl<'a> Visitor<'a> for Identified<'a> {
    const ACCEPTED: bool = true;

    fn resource(&mut self, resource: Envelope<'a>, origin: Origin) {
        self.records.resource(resource, origin);
    }

    fn scope(&mut self, scope: Envelope<'a>) {
        self.records.scope(scope);
    }

    fn span(&mut self, span: Found<'a>) {
        match &span.header {
            Ok(header) if !header.trace_id.is_zero() && !header.span_id.is_zero() => self.records.span(span),
            _ => self.others = self.others.saturating_add(1),
        }
    }
}

/// Makes span records.
struct Records<'a, const ACCEPTED: bool> {
    request: &'a Bytes,
    origin: Origin,
    resource: Arc<Resource>,
    scope: Arc<Scope>,
    hasher: ContentHasher,
    spans: Vec<Span>,
}

impl<'a, const ACCEPTED: bool> Visitor<'a> for Records<'a, ACCEPTED> {
    const ACCEPTED: bool = ACCEPTED;

    fn resource(&mut self, resource: Envelope<'a>, origin: Origin) {
        self.origin = origin;
        self.resource = Arc::new(Resource {
            service: service_name(&resource.message).into_owned(),
            schema_url: String::from_utf8_lossy(resource.schema_url).into_owned(),
            bytes: self.bytes(resource.message),
        });
    }

    fn scope(&mut self, scope: Envelope<'a>) {
        self.scope = Arc::new(Scope {
            schema_url: String::from_utf8_lossy(scope.schema_url).into_owned(),
            bytes: self.bytes(scope.message),
        });
        self.hasher = ContentHasher::new(&self.resource, &self.scope);
    }

    fn span(&mut self, span: Found<'a>) {
        if let Ok(header) = span.header {
            let body = self.request.slice_ref(span.body);
            self.spans.push(self.record(&header, body));
        }
    }
}

impl<'a, const ACCEPTED: bool> Records<'a, ACCEPTED> {
    fn new(request: &'a Bytes) -> Self {
        let (resource, scope) = <(Arc<Resource>, Arc<Scope>)>::default();
        let hasher = ContentHasher::new(&resource, &scope);
        Self { request, origin: Origin::Otlp, resource, scope, hasher, spans: Vec::new() }
    }

    fn bytes(&self, message: Cow<'_, [u8]>) -> Bytes {
        match message {
            Cow::Borrowed(slice) => self.request.slice_ref(slice),
            Cow::Owned(merged) => Bytes::from(merged),
        }
    }

    fn record(&self, header: &Header, body: Bytes) -> Span {
        Span {
            trace_id: header.trace_id,
            span_id: header.span_id,
            parent_id: header.parent_id,
            start: header.start,
            end: header.end,
            kind: header.kind,
            status: header.status,
            origin: self.origin,
            flags: header.flags,
            content_hash: self.hasher.hash(&body),
            resource: Arc::clone(&self.resource),
            scope: Arc::clone(&self.scope),
            body,
        }
    }
}

/// The same request without the spans that `scan` rejects; everything else stays as it was sent, byte for byte.
pub fn without_rejected(request: &[u8], limits: &Limits) -> Result<Vec<u8>, ScanError> {
    scan(request, limits)?;
    let mut kept = Vec::with_capacity(request.len());
    keep(Fields::new(request), Level::Request, limits, &mut kept);
    Ok(kept)
}

/// The messages that enclose spans; of those inside, whose words they came in.
#[derive(Debug, Clone, Copy)]
enum Level {
    Request,
    ResourceSpans(Origin),
    ScopeSpans(Origin),
}

/// Copies the fields of a message that was scanned before.
fn keep(mut fields: Fields<'_>, level: Level, limits: &Limits, kept: &mut Vec<u8>) {
    while let Some(field) = fields.next() {
        let inner = match (level, field) {
            (Level::Request, (1, Value::Bytes(message))) => {
                Some((Level::ResourceSpans(origin(fields.embedded(message))), message))
            }
            (Level::ResourceSpans(origin), (2, Value::Bytes(message))) => {
                Some((Level::ScopeSpans(origin), message))
            }
            _ => None,
        };
        if let Some((level, message)) = inner {
            write::message(kept, field.0, |kept| keep(fields.embedded(message), level, limits, kept));
        } else if !is_rejected(level, field, &fields, limits) {
            kept.extend_from_slice(fields.last_field().0);
        }
    }
}

fn is_rejected(level: Level, field: (u32, Value<'_>), fields: &Fields<'_>, limits: &Limits) -> bool {
    match (level, field) {
        (Level::ScopeSpans(origin), (2, Value::Bytes(span))) => {
            Check::inside(false, false, origin).span(fields.embedded(span), limits).is_err()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SpanId, TraceId};
    use crate::otlp::{MAX_FIELDS_AROUND, ORIGIN_FIELD};

    /// A request with one span of no id and one of zeros, in a `ResourceSpans` that says these things of its origin.
    fn request(origins: &[u64]) -> Bytes {
        let mut request = Vec::new();
        write::message(&mut request, 1, |resource| {
            write::message(resource, 2, |scope| {
                write::message(scope, 2, |span| write::string(span, 5, "no ids"));
                write::message(scope, 2, |span| {
                    write::bytes(span, 1, &[0; 16]);
                    write::bytes(span, 2, &[0; 8]);
                });
            });
            origins.iter().for_each(|origin| write::uint(resource, ORIGIN_FIELD, *origin));
        });
        request.into()
    }

    #[test]
    fn spans_in_jaegers_words_may_have_ids_of_zeros() {
        let request = request(&[0, 1]);
        let spans = spans(&request, &Limits::default()).unwrap();
        assert_eq!(spans.len(), 2);
        for span in &spans {
            assert_eq!((span.trace_id, span.span_id), (TraceId::default(), SpanId::default()));
            assert_eq!(span.origin, Origin::Jaeger);
        }
        assert_eq!(accepted_spans(&request).unwrap(), spans);
        assert_eq!(identified_spans(&request).unwrap(), (Vec::new(), 2));
        assert_eq!(without_rejected(&request, &Limits::default()).unwrap(), request);
    }

    #[test]
    fn a_request_of_millions_of_nothings_is_given_up() {
        let of = |piece: &[u8], count: usize| {
            let inside = piece.repeat(count);
            let mut spans = Vec::new();
            write::message(&mut spans, 1, |resource| write::bytes(resource, 2, &inside));
            let mut scopes = Vec::new();
            write::bytes(&mut scopes, 1, &inside);
            [inside, scopes, spans]
        };
        let is_taken = |request: &Vec<u8>| scan(request, &Limits::default()).is_ok();
        // Empty resources, scopes in one, spans in one of one.
        for (level, piece) in [&[0x0a, 0][..], &[0x12, 0], &[0x12, 0]].into_iter().enumerate() {
            let few = &of(piece, MAX_USELESS - level)[level];
            let many = &of(piece, MAX_USELESS + 1)[level];
            assert!(is_taken(few) && !is_taken(many), "level {level}");
            let error = scan(many, &Limits::default()).unwrap_err().to_string();
            assert!(error.contains("524288"), "{error}");
        }
    }

    #[test]
    fn an_envelope_of_millions_of_fields_is_given_up() {
        for piece in [[0x0a, 0], [0x12, 0], [0x50, 0]] {
            let mut request = Vec::new();
            write::bytes(&mut request, 1, &piece.repeat(MAX_FIELDS_AROUND + 1));
            let error = scan(&request, &Limits::default()).unwrap_err().to_string();
            assert!(error.contains("ResourceSpans of more than 1048576 fields"), "{error}");
        }
    }

    #[test]
    fn spans_of_any_other_origin_may_not() {
        for origins in [&[][..], &[0], &[1, 0], &[250], &[257]] {
            let scanned = scan(&request(origins), &Limits::default()).unwrap();
            assert_eq!((scanned.accepted, scanned.rejected), (0, 2), "{origins:?}");
        }
    }
}
