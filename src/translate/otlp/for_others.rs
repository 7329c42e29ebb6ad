//! A whole request for another server, which need not know how spans in other words are kept.

use bytes::Bytes;

use super::messages;
use crate::model::Origin;
use crate::otlp::{self, Fields, ScanError, Value, write};

/// An accepted `ExportTraceServiceRequest` as any OTLP server takes it, and how many of its spans are not in it: those
/// with ids of zeros, which OTLP does not have. What came in Jaeger's or Zipkin's words is said as [`messages`] says it,
/// whole; everything else leaves as it came, byte for byte. A request of nothing but OTLP is not copied.
///
/// Bytes that are no such request leave as they are: what they mean is for the other server to judge.
pub fn for_others(request: &Bytes) -> (Bytes, u32) {
    if !Fields::new(request).any(is_in_other_words) {
        return (request.clone(), 0);
    }
    said(request).unwrap_or_else(|_| (request.clone(), 0))
}

/// Whether a field of a request is a `ResourceSpans` whose spans came so.
fn is_in_other_words(field: (u32, Value<'_>)) -> bool {
    match field {
        (1, Value::Bytes(resource_spans)) => otlp::origin(Fields::new(resource_spans)) != Origin::Otlp,
        _ => false,
    }
}

fn said(request: &Bytes) -> Result<(Bytes, u32), ScanError> {
    let (mut out, mut left_out) = (Vec::with_capacity(request.len()), 0_u32);
    let (mut fields, mut start) = (Fields::new(request), 0);
    while let Some(field) = fields.next() {
        // A field of a request is a request.
        let whole = request.slice(start..fields.offset());
        start = fields.offset();
        if is_in_other_words(field) {
            let (spans, others) = otlp::identified_spans(&whole)?;
            left_out = left_out.saturating_add(others);
            let groups = messages(&spans, usize::MAX, usize::MAX).flat_map(|message| message.resource_spans);
            groups.for_each(|group| write::bytes(&mut out, 1, &group));
        } else {
            out.extend_from_slice(&whole);
        }
    }
    // What cannot be read as fields follows as it is.
    out.extend_from_slice(&request[start..]);
    Ok((out.into(), left_out))
}
