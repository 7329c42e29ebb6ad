//! Traces in pieces: as many spans as fit into a message, grouped by what surrounds them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::Bytes;

use super::{from_jaeger, said};
use crate::model::{Resource, Scope, Span};
use crate::otlp::{AnyValue, Fields, SpanView, Value, write};
use crate::proto::opentelemetry::proto::trace::v1::TracesData;
use crate::translate::fit::{self, Shape};
use crate::translate::jaeger::WARNINGS;

/// A field's tag and the length of what is in it, at most.
const FRAME_BYTES: usize = 1 + 5;

/// A field of this many bytes, with its tag and its length.
fn framed(length: usize) -> usize {
    1 + prost::length_delimiter_len(length) + length
}

/// The spans of one trace as messages of at most `max_spans` spans and `max_bytes` bytes, neither less than what is
/// needed for one span ([`fit::LEAST_BYTES`]). Within a message spans are grouped by resource and scope, these in the
/// order in which they first appear.
pub fn messages(spans: &[Span], max_spans: usize, max_bytes: usize) -> impl Iterator<Item = TracesData> {
    Messages {
        spans: spans.iter(),
        waiting: None,
        sources: Sources::default(),
        max_spans: max_spans.max(1),
        max_bytes: max_bytes.max(fit::LEAST_BYTES),
    }
}

#[derive(Debug)]
struct Messages<'a> {
    spans: std::slice::Iter<'a, Span>,
    /// The span that did not fit into the message before.
    waiting: Option<Piece>,
    sources: Sources,
    max_spans: usize,
    max_bytes: usize,
}

impl Iterator for Messages<'_> {
    type Item = TracesData;

    fn next(&mut self) -> Option<TracesData> {
        let first = self.waiting.take().or_else(|| self.next_piece())?;
        let mut message = Message::default();
        let length = message.length_of(&first, &self.sources);
        if length > self.max_bytes {
            return Some(alone(&first, &self.sources, self.max_bytes));
        }
        message.add(first, length);
        while message.spans < self.max_spans {
            let Some(piece) = self.next_piece() else { break };
            let length = message.length_of(&piece, &self.sources);
            if message.length + length > self.max_bytes {
                self.waiting = Some(piece);
                break;
            }
            message.add(piece, length);
        }
        Some(message.close(&self.sources))
    }
}

impl Messages<'_> {
    fn next_piece(&mut self) -> Option<Piece> {
        let span = self.spans.next()?;
        let resource = self.sources.resources.number_of(&span.resource, Envelope::of_resource);
        Some(match said(span) {
            None => Piece {
                resource,
                scope: self.sources.scopes.number_of(&span.scope, Envelope::of_scope),
                body: span.body.clone(),
            },
            Some(said) => {
                let scope = Scope { bytes: said.scope.into(), schema_url: String::new() };
                let scope = self.sources.scopes.number(Envelope::of_scope(&scope));
                Piece { resource, scope, body: said.body.into() }
            }
        })
    }
}

/// A span and the numbers of what surrounds it.
#[derive(Debug)]
struct Piece {
    resource: usize,
    scope: usize,
    body: Bytes,
}

/// A resource or a scope, with its schema's url.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Envelope {
    message: Bytes,
    schema_url: Bytes,
}

impl Envelope {
    fn of_resource(resource: &Resource) -> Self {
        Self::new(&resource.bytes, &resource.schema_url)
    }

    fn of_scope(scope: &Scope) -> Self {
        Self::new(&scope.bytes, &scope.schema_url)
    }

    fn new(message: &Bytes, schema_url: &str) -> Self {
        Self { message: message.clone(), schema_url: Bytes::copy_from_slice(schema_url.as_bytes()) }
    }

    /// What it takes with the frame of what it encloses, at most.
    fn length(&self) -> usize {
        3 * FRAME_BYTES + self.message.len() + self.schema_url.len()
    }

    fn write(&self, out: &mut Vec<u8>, spans: impl FnOnce(&mut Vec<u8>)) {
        write::unless_empty(out, 1, &self.message);
        spans(out);
        write::unless_empty(out, 3, &self.schema_url);
    }

    /// The same, cut if it is longer than a share of a message; without the url if that is.
    fn fitted(&self, shape: Shape, max_bytes: usize) -> Self {
        let message = match &self.message {
            message if message.len() <= max_bytes => message.clone(),
            message => fit::fit(message, shape, max_bytes).message.into(),
        };
        let is_short = self.schema_url.len() <= max_bytes / 8;
        let schema_url = if is_short { self.schema_url.clone() } else { Bytes::new() };
        Self { message, schema_url }
    }
}

/// What surrounds the spans of the trace.
#[derive(Debug, Default)]
struct Sources {
    resources: Numbers,
    scopes: Numbers,
}

/// Resources or scopes, each that is equal to another once.
#[derive(Debug, Default)]
struct Numbers {
    envelopes: Vec<Envelope>,
    numbers: HashMap<Envelope, usize>,
    /// Spans mostly share theirs, so its address tells which it is.
    known: HashMap<usize, usize>,
}

impl Numbers {
    fn number(&mut self, envelope: Envelope) -> usize {
        match self.numbers.entry(envelope) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.envelopes.push(new.key().clone());
                *new.insert(self.envelopes.len() - 1)
            }
        }
    }

    /// Of what lives as long as the trace.
    fn number_of<T>(&mut self, shared: &Arc<T>, envelope: impl FnOnce(&T) -> Envelope) -> usize {
        let address = Arc::as_ptr(shared).addr();
        if let Some(known) = self.known.get(&address) {
            return *known;
        }
        let number = self.number(envelope(shared));
        self.known.insert(address, number);
        number
    }
}

/// The spans of a resource, by the number of their scope.
type ByScope = Vec<(usize, Vec<Bytes>)>;

/// A message while it is filled.
#[derive(Debug, Default)]
struct Message {
    /// At most.
    length: usize,
    spans: usize,
    /// By resource, then by scope, in order of first appearance.
    groups: Vec<(usize, ByScope)>,
    places: HashMap<usize, usize>,
    scope_places: HashMap<(usize, usize), usize>,
}

impl Message {
    /// How much longer the message gets by a span, at most.
    fn length_of(&self, piece: &Piece, sources: &Sources) -> usize {
        let mut length = framed(piece.body.len());
        if !self.places.contains_key(&piece.resource) {
            length += sources.resources.envelopes[piece.resource].length();
        }
        if !self.scope_places.contains_key(&(piece.resource, piece.scope)) {
            length += sources.scopes.envelopes[piece.scope].length();
        }
        length
    }

    fn add(&mut self, piece: Piece, length: usize) {
        let Piece { resource, scope, body } = piece;
        let group = *self.places.entry(resource).or_insert_with(|| {
            self.groups.push((resource, Vec::new()));
            self.groups.len() - 1
        });
        let scopes = &mut self.groups[group].1;
        let place = *self.scope_places.entry((resource, scope)).or_insert_with(|| {
            scopes.push((scope, Vec::new()));
            scopes.len() - 1
        });
        scopes[place].1.push(body);
        self.spans += 1;
        self.length += length;
    }

    fn close(self, sources: &Sources) -> TracesData {
        let resource_spans = |(resource, scopes): &(usize, ByScope)| {
            let scopes: Vec<_> =
                scopes.iter().map(|(scope, spans)| (&sources.scopes.envelopes[*scope], &spans[..])).collect();
            write_group(&sources.resources.envelopes[*resource], &scopes)
        };
        TracesData { resource_spans: self.groups.iter().map(resource_spans).collect() }
    }
}

/// A `ResourceSpans` message.
fn write_group(resource: &Envelope, scopes: &[(&Envelope, &[Bytes])]) -> Bytes {
    let spans = scopes.iter().flat_map(|(_, spans)| spans.iter());
    let mut out = Vec::with_capacity(
        resource.length()
            + scopes.iter().map(|(scope, _)| scope.length()).sum::<usize>()
            + spans.map(|span| framed(span.len())).sum::<usize>(),
    );
    resource.write(&mut out, |out| {
        for (scope, spans) in scopes {
            write::message(out, 2, |out| {
                scope.write(out, |out| spans.iter().for_each(|span| write::bytes(out, 2, span)));
            });
        }
    });
    out.into()
}

/// A message of a span that is too large for one, cut.
fn alone(piece: &Piece, sources: &Sources, max_bytes: usize) -> TracesData {
    let resource = sources.resources.envelopes[piece.resource].fitted(Shape::Resource, max_bytes / 4);
    let scope = sources.scopes.envelopes[piece.scope].fitted(Shape::Scope, max_bytes / 4);
    let room = max_bytes - resource.length() - scope.length() - FRAME_BYTES;
    let body = fitted(&piece.body, room);
    TracesData { resource_spans: vec![write_group(&resource, &[(&scope, &[body][..])])] }
}

/// A `Span` message in at most `max_bytes`, with a warning that says what was cut. Earlier warnings stay in the same
/// attribute if they are short: readers look at one.
fn fitted(body: &Bytes, max_bytes: usize) -> Bytes {
    let (rest, mut warnings) = without_warnings(body);
    if warnings.iter().map(Vec::len).sum::<usize>() + FRAME_BYTES * warnings.len() > max_bytes / 8 {
        warnings.clear();
    }
    let kept: usize = warnings.iter().map(|warning| 2 * FRAME_BYTES + warning.len()).sum();
    let mut cut = fit::fit(&rest, Shape::Span, max_bytes - fit::WARNING_BYTES - kept);
    warnings.push(cut.warning().into_bytes());
    from_jaeger::warnings(&mut cut.message, warnings.iter().map(|warning| &warning[..]));
    cut.message.into()
}

/// The message without its warnings, and those.
fn without_warnings(body: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut fields, mut start) = (Fields::new(body), 0);
    let (mut rest, mut warnings) = (Vec::with_capacity(body.len()), Vec::new());
    while let Some(field) = fields.next() {
        let whole = &body[start..fields.offset()];
        start = fields.offset();
        let view = matches!(field, (9, Value::Bytes(_))).then(|| SpanView::read(whole));
        match view.as_ref().and_then(|view| view.attributes.first()) {
            Some(pair) if pair.key == WARNINGS => match &pair.value {
                AnyValue::Array(values) => {
                    warnings.extend(values.iter().map(|value| value.to_text().into_owned().into_bytes()));
                }
                value => warnings.push(value.to_text().into_owned().into_bytes()),
            },
            _ => rest.extend_from_slice(whole),
        }
    }
    (rest, warnings)
}
