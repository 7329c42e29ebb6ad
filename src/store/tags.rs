//! What a chunk can be searched by: its (key, value) pairs as hashes.
//!
//! ```text
//! hash of a pair = XXH3-64 of the value's text, with the XXH3-64 of the key (seed 0) as its seed
//! ```
//!
//! The text is [`AnyValue::to_text`]'s; a value that has another one ([`AnyValue::texts`]) is there by both.
//! What is not UTF-8 is hashed as it is shown, with U+FFFD. Whatever a search can
//! find by an attribute is among the hashes of its chunk; there may be others.

use std::borrow::Cow;
use std::fmt::Write as _;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::model::{Resource, Scope, SpanKind, StatusCode};
use crate::otlp::{AnyValue, Fields, KeyValue, ResourceView, ScopeView, SpanView, Value};

/// The hash by which a pair is looked for; stored, hence fixed for ever.
pub fn tag_hash(key: &str, value: &str) -> u64 {
    xxh3_64_with_seed(value.as_bytes(), xxh3_64(key.as_bytes()))
}

/// The hash of a key, by which its pairs are hashed.
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(shown(key).as_bytes())
}

/// The pairs that resource and scope bring to every span of theirs.
pub(crate) fn source_tags(resource: &Resource, scope: &Scope) -> Vec<u64> {
    let (resource, scope) = (ResourceView::read(&resource.bytes), ScopeView::read(&scope.bytes));
    let named = [("otel.scope.name", &scope.name), ("otel.scope.version", &scope.version)];
    let named = named.iter().map(|(key, value)| tag_hash(key, value));
    resource.attributes.iter().chain(&scope.attributes).flat_map(pair_hashes).chain(named).collect()
}

/// Pairs of a chunk that there is room for in the next one.
const MAX_ROOM: usize = 1 << 18;

/// The pairs of one chunk.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    hashes: Vec<u64>,
    /// Room for the digits of a number.
    digits: String,
}

impl Tags {
    /// Forgets all, keeps the room unless it is more than any but the oddest chunks need.
    pub(crate) fn clear(&mut self) {
        self.hashes.clear();
        self.hashes.shrink_to(MAX_ROOM);
    }

    /// A plain attribute of a span: the hash of its key, and the `AnyValue` message.
    pub(crate) fn attribute(&mut self, key: u64, value: &[u8]) {
        let hash = match only_field(value) {
            Some((1, Value::Bytes(text))) => xxh3_64_with_seed(shown(text).as_bytes(), key),
            Some((2, Value::Varint(bit))) => {
                xxh3_64_with_seed(if bit == 0 { b"false" } else { b"true" }, key)
            }
            Some((3, Value::Varint(number))) => xxh3_64_with_seed(self.digits(number as i64), key),
            _ => {
                let value = AnyValue::read(value);
                let (text, other) = value.texts();
                self.hashes.extend(other.map(|text| xxh3_64_with_seed(text.as_bytes(), key)));
                xxh3_64_with_seed(text.as_bytes(), key)
            }
        };
        self.hashes.push(hash);
    }

    fn digits(&mut self, number: i64) -> &[u8] {
        self.digits.clear();
        // Writing to a String cannot fail.
        let _infallible = write!(self.digits, "{number}");
        self.digits.as_bytes()
    }

    /// Any other fields of a `Span` message: events, links, status, trace state, attributes in an unusual form.
    pub(crate) fn fields(&mut self, fields: &[u8]) {
        let view = SpanView::read(fields);
        let of_events = view.events.iter().flat_map(|event| &event.attributes);
        let of_links = view.links.iter().flat_map(|link| &link.attributes);
        self.hashes.extend(view.attributes.iter().chain(of_events).chain(of_links).flat_map(pair_hashes));
        self.hashes.extend(view.events.iter().map(|event| tag_hash("event", &event.name)));
        // A name in an unusual form may be empty and still be the one that holds.
        self.hashes.push(tag_hash("operation", &view.name));
        let said = [("otel.status_description", &view.status_message), ("w3c.tracestate", &view.trace_state)];
        let said = said.iter().filter(|(_, text)| !text.is_empty());
        self.hashes.extend(said.map(|(key, text)| tag_hash(key, text)));
    }

    /// A span's name; the empty one of a span without a name too.
    pub(crate) fn name(&mut self, name: &[u8]) {
        self.hashes.push(tag_hash("operation", &shown(name)));
    }

    /// A span's kind and status.
    pub(crate) fn outcome(&mut self, kind: SpanKind, status: StatusCode) {
        if kind != SpanKind::Unspecified {
            self.hashes.push(tag_hash("span.kind", kind.name()));
        }
        match status {
            StatusCode::Unset => {}
            StatusCode::Ok => self.hashes.push(tag_hash("otel.status_code", "OK")),
            StatusCode::Error => {
                self.hashes.push(tag_hash("otel.status_code", "ERROR"));
                self.hashes.push(tag_hash("error", "true"));
            }
        }
    }

    /// What [`source_tags`] made of a source.
    #[cfg(test)]
    pub(crate) fn source(&mut self, hashes: &[u64]) {
        self.hashes.extend_from_slice(hashes);
    }

    /// All of them, sorted, none twice.
    pub(crate) fn finish(&mut self) -> &[u64] {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        &self.hashes
    }
}

/// By each of the value's texts.
fn pair_hashes(pair: &KeyValue<'_>) -> impl Iterator<Item = u64> {
    let (text, other) = pair.value.texts();
    let other = other.map(|text| tag_hash(&pair.key, &text));
    std::iter::once(tag_hash(&pair.key, &text)).chain(other)
}

/// The field of a message that has just one.
fn only_field(message: &[u8]) -> Option<(u32, Value<'_>)> {
    let mut fields = Fields::new(message);
    let field = fields.next()?;
    (fields.offset() == message.len()).then_some(field)
}

/// Text as views show it.
fn shown(text: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::write;

    /// An `AnyValue` message with these fields.
    fn value(fields: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut message = Vec::new();
        fields(&mut message);
        message
    }

    #[test]
    fn a_pair_keeps_its_hash_for_ever() {
        assert_eq!(tag_hash("", ""), 4_696_993_233_866_070_003);
        assert_eq!(tag_hash("http.status_code", "500"), 15_676_838_404_369_552_356);
        assert_eq!(tag_hash("a", "bc"), 18_295_643_612_249_071_390);
    }

    #[test]
    fn a_value_of_any_kind_is_hashed_as_its_text() {
        let list = value(|list| write::message(list, 1, |inner| write::uint(inner, 3, 7)));
        for (message, text) in [
            (value(|value| write::string(value, 1, "läuft")), "läuft"),
            (value(|value| write::bytes(value, 1, b"l\xffuft")), "l\u{fffd}uft"),
            (value(|value| write::uint(value, 2, 2)), "true"),
            (value(|value| write::uint(value, 2, 0)), "false"),
            (value(|value| write::uint(value, 3, 200)), "200"),
            (value(|value| write::uint(value, 3, u64::MAX)), "-1"),
            (value(|value| write::double(value, 4, 0.25)), "0.25"),
            (value(|value| write::bytes(value, 5, &list)), "[7]"),
            // The last member holds; what is unknown says nothing.
            (
                [value(|value| write::uint(value, 3, 7)), value(|value| write::string(value, 1, "b"))]
                    .concat(),
                "b",
            ),
            (value(|value| write::uint(value, 99, 7)), ""),
            (Vec::new(), ""),
        ] {
            let mut tags = Tags::default();
            tags.attribute(key_hash(b"k\xff"), &message);
            assert_eq!(tags.finish(), [tag_hash("k\u{fffd}", text)], "{text}");
        }
    }

    #[test]
    fn a_value_of_two_texts_is_hashed_by_both() {
        let third = value(|value| write::double(value, 4, 1.0 / 3.0));
        let bytes = value(|value| write::bytes(value, 7, &[1]));
        for (message, texts) in [(third, ["0.3333333333333333", "0.3333333333"]), (bytes, ["AQ==", "01"])] {
            let mut expected = texts.map(|text| tag_hash("k", text));
            expected.sort_unstable();
            let mut plain = Tags::default();
            plain.attribute(key_hash(b"k"), &message);
            let mut in_an_event = Tags::default();
            let pair = value(|pair| {
                write::string(pair, 1, "k");
                write::bytes(pair, 2, &message);
            });
            in_an_event.fields(&value(|span| write::message(span, 13, |link| write::bytes(link, 4, &pair))));
            assert_eq!(plain.finish(), expected, "{texts:?}");
            assert!(expected.iter().all(|hash| in_an_event.finish().contains(hash)), "{texts:?}");
            let resource = Resource {
                bytes: value(|resource| write::bytes(resource, 1, &pair)).into(),
                ..Resource::default()
            };
            let of_resource = source_tags(&resource, &Scope::default());
            assert!(expected.iter().all(|hash| of_resource.contains(hash)), "{texts:?}");
        }
    }

    #[test]
    fn pairs_are_counted_once_and_forgotten_when_cleared() {
        let mut tags = Tags::default();
        let seven = value(|value| write::uint(value, 3, 7));
        for key in [&b"b"[..], b"a", b"b"] {
            tags.attribute(key_hash(key), &seven);
        }
        assert_eq!(tags.finish().len(), 2);
        assert!(tags.finish().is_sorted());
        tags.clear();
        assert!(tags.finish().is_empty());
    }
}
