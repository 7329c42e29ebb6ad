//! A span in Jaeger's words as OTLP.
//!
//! `hostname` and `jaeger.version` of a process are not renamed to `host.name` and `opencensus.exporterversion`, which
//! Jaeger's translator does: who searches for what was sent must find it, and whoever writes it back as a Jaeger span
//! must write what was read. Tags of one key all stay, in order, for the same reason.

use super::Said;
use crate::model::{self, SpanId, TraceId};
use crate::otlp::write;
use crate::proto::jaeger::api_v2::{Log, Span, SpanRefType};
use crate::translate::jaeger::{Meaning, WARNINGS, attribute, event_name, kept, link, nearest, status};

/// Says a span that was kept for Jaeger. Its resource says what the process said as it is.
pub(super) fn said(span: &model::Span) -> Said {
    let sent = kept(span);
    let meaning = Meaning::of(&sent);
    Said { scope: scope(&meaning), body: body(span, &sent, &meaning) }
}

fn scope(meaning: &Meaning<'_>) -> Vec<u8> {
    let mut scope = Vec::new();
    write::unless_empty(&mut scope, 1, meaning.scope_name);
    write::unless_empty(&mut scope, 2, meaning.scope_version);
    scope
}

fn body(span: &model::Span, sent: &Span, meaning: &Meaning<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(span.body.len());
    write::bytes(&mut out, 1, &span.trace_id.0);
    write::bytes(&mut out, 2, &span.span_id.0);
    write::unless_empty(&mut out, 3, meaning.trace_state);
    let parent = meaning.parent.map(|place| &sent.references[place].span_id[..]);
    if let Some(parent) = parent.filter(|parent| parent.iter().any(|byte| *byte != 0)) {
        write::bytes(&mut out, 4, parent);
    }
    write::unless_empty(&mut out, 5, &sent.operation_name);
    write::unless_zero(&mut out, 6, meaning.kind as u64);
    write::fixed64(&mut out, 7, span.start.nanos());
    write::fixed64(&mut out, 8, span.end.nanos());
    for tag in sent.tags.iter().filter(|tag| !meaning.says(tag)) {
        attribute(&mut out, 9, &tag.key, tag);
    }
    warnings(&mut out, sent.warnings.iter().map(|warning| &warning[..]));
    sent.logs.iter().for_each(|log| event(&mut out, log));
    links(&mut out, sent, meaning);
    status(&mut out, meaning);
    // Of Jaeger's flags OTLP has only the lowest: sampled.
    if sent.flags & 1 != 0 {
        write::fixed32(&mut out, 16, 1);
    }
    out
}

/// Warnings as Jaeger keeps them in OTLP: one attribute, a list of texts.
pub(super) fn warnings<'a>(out: &mut Vec<u8>, warnings: impl Iterator<Item = &'a [u8]>) {
    let mut warnings = warnings.peekable();
    if warnings.peek().is_none() {
        return;
    }
    write::message(out, 9, |out| {
        write::string(out, 1, WARNINGS);
        write::message(out, 2, |out| {
            write::message(out, 5, |out| {
                warnings.for_each(|warning| write::message(out, 1, |out| write::bytes(out, 1, warning)));
            });
        });
    });
}

/// The field `event` is the name. Times beyond what OTLP can say are the nearest it can.
fn event(out: &mut Vec<u8>, log: &Log) {
    let name = event_name(&log.fields);
    write::message(out, 11, |out| {
        write::fixed64(out, 1, log.timestamp.as_ref().map_or(0, nearest));
        write::unless_empty(out, 2, name.map_or(&[], |(_, name)| name));
        for (place, field) in log.fields.iter().enumerate() {
            if name.is_none_or(|(named, _)| named != place) {
                attribute(out, 3, &field.key, field);
            }
        }
    });
}

/// All references but the parent; that one too if only its link can say that it was not waited for.
fn links(out: &mut Vec<u8>, sent: &Span, meaning: &Meaning<'_>) {
    for (place, reference) in sent.references.iter().enumerate() {
        let is_said = meaning.parent == Some(place) && reference.ref_type == SpanRefType::ChildOf as i32;
        if !is_said {
            let trace_id = TraceId::from_slice(&reference.trace_id).unwrap_or_default();
            let span_id = SpanId::from_slice(&reference.span_id).unwrap_or_default();
            write::message(out, 13, |out| link(out, trace_id, span_id, reference.ref_type));
        }
    }
}
