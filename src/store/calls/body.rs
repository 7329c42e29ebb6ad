//! What a span's message says of calls, read where it stands: views of whole spans would cost more than counting.

use std::borrow::Cow;

use crate::model::{SpanId, TraceId};
use crate::otlp::{Fields, Value};

/// Links of one span that are looked at.
pub(super) const MAX_LINKS: usize = 128;

/// What is looked at in every span.
///
/// Source of the attributes: OpenTelemetry semantic conventions, "Messaging spans"; before version 1.26 the type of the
/// operation stood in `messaging.operation`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Body<'a> {
    /// The operation's name.
    pub(super) name: Cow<'a, str>,
    /// Whether it links other spans.
    pub(super) has_links: bool,
    /// Whether its attributes say that it has to do with messages.
    pub(super) is_messaging: bool,
    /// Whether they say that it takes messages from somewhere.
    pub(super) takes_messages: bool,
}

impl<'a> Body<'a> {
    pub(super) fn read(body: &'a [u8]) -> Self {
        let (mut read, mut name) = (Self::default(), &[][..]);
        for field in Fields::new(body) {
            match field {
                (5, Value::Bytes(text)) => name = text,
                (9, Value::Bytes(pair)) if may_be_messaging(pair) => read.learn(pair),
                (13, Value::Bytes(_)) => read.has_links = true,
                _ => {}
            }
        }
        read.name = String::from_utf8_lossy(name);
        read
    }

    fn learn(&mut self, pair: &[u8]) {
        let (mut key, mut value) = (&[][..], &[][..]);
        for field in Fields::new(pair) {
            match field {
                (1, Value::Bytes(text)) => key = text,
                (2, Value::Bytes(message)) => value = message,
                _ => {}
            }
        }
        match key {
            b"messaging.system" => self.is_messaging = true,
            b"messaging.operation.type" | b"messaging.operation" => self.takes_messages |= is_taking(value),
            _ => {}
        }
    }
}

/// The spans that a span links, each once.
pub(super) fn links(body: &[u8]) -> Vec<(TraceId, SpanId)> {
    let messages = Fields::new(body).filter_map(|field| match field {
        (13, Value::Bytes(message)) => Some(message),
        _ => None,
    });
    let mut links: Vec<_> = messages.take(MAX_LINKS).filter_map(link).collect();
    links.sort_unstable();
    links.dedup();
    links
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

/// Whether the key can begin as those that are looked for: most attributes are set aside by one byte. Only a pair of
/// the usual form, its key first and of less than 128 bytes, can be told so.
fn may_be_messaging(pair: &[u8]) -> bool {
    !matches!(pair, [0x0a, 0..0x80, first, ..] if *first != b'm')
}

fn is_taking(value: &[u8]) -> bool {
    let text = Fields::new(value).find_map(|field| match field {
        (1, Value::Bytes(text)) => Some(text),
        _ => None,
    });
    matches!(text, Some(b"receive" | b"process"))
}
