//! What spans take in memory while their trace is adjusted, told without adjusting it.

use super::kept::{key_and_value, members};
use crate::model::{Origin, Resource, Span};
use crate::otlp::{Fields, Value};
use crate::translate::jaeger_json::{self, Log, Process, Reference, Tag};

/// Tags that are made of other fields of a span, at most.
const DERIVED_TAGS: usize = 7;

/// Bytes of a span in the shapes of [`jaeger_json`], some more or less: a tag of ten bytes takes several times that.
pub fn adjusted_bytes(span: &Span) -> usize {
    let origin = span.origin;
    let fields = Fields::new(&span.body).map(|field| match field {
        (9, Value::Bytes(pair)) => tag(pair, origin),
        (11, Value::Bytes(event)) => log(event, origin),
        (13, Value::Bytes(_)) => size_of::<Reference>(),
        _ => 0,
    });
    let least =
        size_of::<jaeger_json::Span<'_>>() + size_of::<Reference>() + DERIVED_TAGS * size_of::<Tag<'_>>();
    least + fields.sum::<usize>()
}

/// The same of the process of a resource, once for all its spans.
pub fn adjusted_process_bytes(resource: &Resource, origin: Origin) -> usize {
    size_of::<Process<'_>>() + members(&resource.bytes).map(|pair| tag(pair, origin)).sum::<usize>()
}

fn log(event: &[u8], origin: Origin) -> usize {
    let fields = Fields::new(event).map(|field| match field {
        (3, Value::Bytes(pair)) => tag(pair, origin),
        _ => 0,
    });
    size_of::<Log<'_>>() + size_of::<Tag<'_>>() + fields.sum::<usize>()
}

/// Texts are borrowed, but for those that came in Jaeger's words, and for lists and maps, which become texts.
fn tag(pair: &[u8], origin: Origin) -> usize {
    let (_key, value) = key_and_value(pair);
    let is_list = || Fields::new(value).any(|(number, _)| matches!(number, 5 | 6));
    let is_copied = origin == Origin::Jaeger || is_list();
    size_of::<Tag<'_>>() + if is_copied { pair.len() } else { 0 }
}
