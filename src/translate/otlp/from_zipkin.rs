//! A span in Zipkin's words as OTLP.
//!
//! The other side stays what it is kept as, attributes: that is how OpenTelemetry's receiver says it.

use super::Said;
use crate::model;
use crate::otlp::{Fields, Value, ZIPKIN_FIELD, write};
use crate::translate::zipkin::{Meaning, kept};

/// Says a span that was kept for Zipkin: without the tags that fields repeat, and without the bits that are nobody
/// else's. Its resource says where it was recorded as it is.
pub(super) fn said(span: &model::Span) -> Said {
    let sent = kept(span);
    let meaning = Meaning::of(&sent.tags);
    let mut scope = Vec::new();
    write::unless_empty(&mut scope, 1, meaning.scope_name);
    write::unless_empty(&mut scope, 2, meaning.scope_version);
    let mut body = Vec::with_capacity(span.body.len());
    let (mut fields, mut start) = (Fields::new(&span.body), 0);
    let mut tags = sent.tags.iter();
    while let Some((number, value)) = fields.next() {
        let whole = &span.body[start..fields.offset()];
        start = fields.offset();
        // The attributes behind the tags are the other side's.
        let tag = matches!((number, value), (9, Value::Bytes(_))).then(|| tags.next()).flatten();
        let is_repeated = tag.is_some_and(|(key, text)| {
            meaning.says(span.kind, key, text) || meaning.says_in_scope(key, text)
        });
        if number != ZIPKIN_FIELD && !is_repeated {
            body.extend_from_slice(whole);
        }
    }
    Said { scope, body }
}
