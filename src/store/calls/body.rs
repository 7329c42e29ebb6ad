//! What a span's message says of calls, read where it stands: views of whole spans would cost more than counting.

use crate::model::{Origin, Span, SpanId, SpanKind, TraceId};
use crate::otlp::{Fields, Value, ZIPKIN_FIELD, ZIPKIN_SHARED};

/// Links of one span that are looked at.
pub(super) const MAX_LINKS: usize = 128;

/// The wire type of fields that have bytes (protobuf.dev, "Encoding").
const LENGTH_DELIMITED: u8 = 2;

/// What else than its name and header a span says of calls.
///
/// Source of the attributes: OpenTelemetry semantic conventions, "Messaging spans"; before version 1.26 the type of the
/// operation stood in `messaging.operation`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Body {
    /// Whether it links other spans.
    pub(super) has_links: bool,
    /// Whether its attributes say that it has to do with messages.
    pub(super) is_messaging: bool,
    /// Whether they say that it takes messages from somewhere.
    pub(super) takes_messages: bool,
}

impl Body {
    pub(super) fn read(body: &[u8]) -> Self {
        let mut read = Self::default();
        let mut rest = body;
        while let Some((number, value)) = next_bytes(&mut rest) {
            match number {
                9 if may_be_messaging(value) => read.learn(value),
                13 => read.has_links = true,
                _ => {}
            }
        }
        read
    }

    fn learn(&mut self, pair: &[u8]) {
        let (key, value) = key_and_value(pair);
        match key {
            b"messaging.system" => self.is_messaging = true,
            b"messaging.operation.type" | b"messaging.operation" => {
                self.takes_messages |= matches!(text(value), Some(b"receive" | b"process"));
            }
            _ => {}
        }
    }
}

/// Key and `AnyValue` of a `KeyValue` message.
fn key_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in Fields::new(pair) {
        match field {
            (1, Value::Bytes(text)) => key = text,
            (2, Value::Bytes(message)) => value = message,
            _ => {}
        }
    }
    (key, value)
}

/// The next field that has bytes. Most of a span are attributes, of a one-byte key and less than 128 bytes: they are
/// stepped over without the care that other fields need, because this is done for every span that is stored.
#[inline]
fn next_bytes<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    loop {
        if let [key @ 0..0x80, length @ 0..0x80, tail @ ..] = *rest
            && key & 7 == LENGTH_DELIMITED
            && let Some((value, behind)) = tail.split_at_checked(usize::from(*length))
        {
            *rest = behind;
            return Some((u32::from(key >> 3), value));
        }
        let mut fields = Fields::new(rest);
        let field = fields.next()?;
        *rest = &rest[fields.offset()..];
        if let (number, Value::Bytes(value)) = field {
            return Some((number, value));
        }
    }
}

/// The spans that a span links, each once; not the parent if the link says no more than the parent's id does, that this
/// one was waited for. Spans that came in Jaeger's words link theirs.
pub(super) fn links(span: &Span) -> Vec<(TraceId, SpanId)> {
    let messages = Fields::new(&span.body).filter_map(|field| match field {
        (13, Value::Bytes(message)) => Some(message),
        _ => None,
    });
    let parent = span.parent_id.map(|parent| (span.trace_id, parent));
    let is_other = |message: &&[u8]| parent.is_none() || link(message) != parent || !says_child(message);
    let mut links: Vec<_> = messages.take(MAX_LINKS).filter(is_other).filter_map(link).collect();
    links.sort_unstable();
    links.dedup();
    links
}

/// Whether a span is the answering half of a call whose asking half has its id, as Zipkin's spans may be.
pub(super) fn is_other_half(span: &Span) -> bool {
    let says_shared =
        |field| matches!(field, (ZIPKIN_FIELD, Value::Varint(bits)) if bits & ZIPKIN_SHARED != 0);
    span.origin == Origin::Zipkin && answers(span) && Fields::new(&span.body).any(says_shared)
}

/// Whether no other service's half that asks can be the parent: in Zipkin's words only who answers is below that one,
/// and everything else in a process below its half that answers, which may have the same id.
pub(super) fn is_inside_half(span: &Span) -> bool {
    span.origin == Origin::Zipkin && !answers(span)
}

fn answers(span: &Span) -> bool {
    matches!(span.kind, SpanKind::Server | SpanKind::Consumer)
}

fn link(message: &[u8]) -> Option<(TraceId, SpanId)> {
    let (mut trace_id, mut span_id) = (TraceId::default(), SpanId::default());
    for field in Fields::new(message) {
        match field {
            (1, Value::Bytes(id)) => trace_id = TraceId::from_slice(id).unwrap_or_default(),
            (2, Value::Bytes(id)) => span_id = SpanId::from_slice(id).unwrap_or_default(),
            _ => {}
        }
    }
    (!trace_id.is_zero() && !span_id.is_zero()).then_some((trace_id, span_id))
}

/// Whether a link says that the linked span waits for this one (OpenTracing compatibility, "Span references").
fn says_child(link: &[u8]) -> bool {
    Fields::new(link).any(|field| match field {
        (4, Value::Bytes(pair)) => {
            let (key, value) = key_and_value(pair);
            key == b"opentracing.ref_type" && text(value) == Some(b"child_of")
        }
        _ => false,
    })
}

/// Whether the key can begin as those that are looked for: most attributes are set aside by one byte. Only a pair of
/// the usual form, its key first and of less than 128 bytes, can be told so.
fn may_be_messaging(pair: &[u8]) -> bool {
    !matches!(pair, [0x0a, 0..0x80, first, ..] if *first != b'm')
}

/// The text that an `AnyValue` message is.
fn text(value: &[u8]) -> Option<&[u8]> {
    Fields::new(value).find_map(|field| match field {
        (1, Value::Bytes(text)) => Some(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::otlp::{Limits, SpanView, arbitrary, spans, write};

    proptest! {
        #[test]
        fn a_span_is_read_as_its_view_has_it(request in arbitrary::request()) {
            let request = Bytes::from(request.encode_to_vec());
            for span in spans(&request, &Limits::default()).unwrap() {
                let (read, view) = (Body::read(&span.body), SpanView::read(&span.body));
                prop_assert_eq!(read.has_links, !view.links.is_empty());
                let mut linked: Vec<_> = view.links.iter().map(|link| (link.trace_id, link.span_id)).collect();
                linked.retain(|(trace_id, span_id)| !trace_id.is_zero() && !span_id.is_zero());
                linked.sort_unstable();
                linked.dedup();
                prop_assert_eq!(links(&span), linked);
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(body in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!Body::read(&body).has_links || Fields::new(&body).any(|(number, _)| number == 13));
        }
    }

    #[test]
    fn attributes_of_messages_are_found_among_others_in_either_order() {
        let attribute = |key: &str, value: &str, is_turned: bool| {
            let mut parts = [Vec::new(), Vec::new()];
            write::string(&mut parts[0], 1, key);
            write::message(&mut parts[1], 2, |any| write::string(any, 1, value));
            if is_turned {
                parts.reverse();
            }
            let mut body = Vec::new();
            write::bytes(&mut body, 9, &parts.concat());
            body
        };
        let cases = [
            ("messaging.system", "kafka", (true, false)),
            ("messaging.operation.type", "receive", (false, true)),
            ("messaging.operation", "process", (false, true)),
            ("messaging.operation", "publish", (false, false)),
            ("messaging.systems", "kafka", (false, false)),
            ("http.method", "receive", (false, false)),
        ];
        for (key, value, expected) in cases {
            for is_turned in [false, true] {
                let mut body = attribute("http.route", &"x".repeat(200), false);
                body.extend(attribute(key, value, is_turned));
                let read = Body::read(&body);
                assert_eq!((read.is_messaging, read.takes_messages), expected, "{key}={value} {is_turned}");
            }
        }
    }
}
