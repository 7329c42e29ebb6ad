//! Reading what stands inside stored messages: attributes, events, links.
//!
//! What is read here was checked when it was accepted, so reading never fails: damage ends the message early,
//! bytes that are not UTF-8 become U+FFFD.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;

use super::MAX_VALUE_DEPTH;
use super::wire::{Fields, Value};
use crate::model::{SpanId, Timestamp, TraceId};

/// A value of an attribute (`common.v1.AnyValue`).
#[derive(Debug, Clone, PartialEq)]
pub enum AnyValue<'a> {
    /// No value was set.
    Empty,
    /// Text.
    String(Cow<'a, str>),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating point number.
    Double(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list of values.
    Array(Vec<Self>),
    /// Named values, in the order they were sent.
    Map(Vec<KeyValue<'a>>),
}

/// An attribute (`common.v1.KeyValue`). Keys may repeat.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyValue<'a> {
    /// Its name.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: AnyValue<'a>,
}

/// What a `trace.v1.Span` message says beside the indexed header.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpanView<'a> {
    /// The operation's name.
    pub name: Cow<'a, str>,
    /// W3C `tracestate`.
    pub trace_state: Cow<'a, str>,
    /// The status' message.
    pub status_message: Cow<'a, str>,
    /// Attributes in the order they were sent.
    pub attributes: Vec<KeyValue<'a>>,
    /// Events in the order they were sent.
    pub events: Vec<EventView<'a>>,
    /// Links in the order they were sent.
    pub links: Vec<LinkView<'a>>,
    /// Attributes the client dropped.
    pub dropped_attributes: u32,
    /// Events the client dropped.
    pub dropped_events: u32,
    /// Links the client dropped.
    pub dropped_links: u32,
}

/// `trace.v1.Span.Event`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventView<'a> {
    /// When.
    pub time: Timestamp,
    /// What.
    pub name: Cow<'a, str>,
    /// Attributes in the order they were sent.
    pub attributes: Vec<KeyValue<'a>>,
    /// Attributes the client dropped.
    pub dropped_attributes: u32,
}

/// `trace.v1.Span.Link`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LinkView<'a> {
    /// The linked trace.
    pub trace_id: TraceId,
    /// The linked span.
    pub span_id: SpanId,
    /// W3C `tracestate` of the link.
    pub trace_state: Cow<'a, str>,
    /// Attributes in the order they were sent.
    pub attributes: Vec<KeyValue<'a>>,
    /// Attributes the client dropped.
    pub dropped_attributes: u32,
    /// The linked context's flags.
    pub flags: u32,
}

/// `resource.v1.Resource`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceView<'a> {
    /// Attributes in the order they were sent.
    pub attributes: Vec<KeyValue<'a>>,
    /// Attributes the client dropped.
    pub dropped_attributes: u32,
}

/// `common.v1.InstrumentationScope`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScopeView<'a> {
    /// The instrumentation's name.
    pub name: Cow<'a, str>,
    /// Its version.
    pub version: Cow<'a, str>,
    /// Attributes in the order they were sent.
    pub attributes: Vec<KeyValue<'a>>,
    /// Attributes the client dropped.
    pub dropped_attributes: u32,
}

impl<'a> SpanView<'a> {
    /// Reads a whole span message.
    pub fn read(body: &'a [u8]) -> Self {
        let [attributes, events, links] = room(body, [9, 11, 13]);
        let mut span = Self {
            attributes: Vec::with_capacity(attributes),
            events: Vec::with_capacity(events),
            links: Vec::with_capacity(links),
            ..Self::default()
        };
        for field in Fields::new(body) {
            match field {
                (3, Value::Bytes(text)) => span.trace_state = String::from_utf8_lossy(text),
                (5, Value::Bytes(text)) => span.name = String::from_utf8_lossy(text),
                (9, Value::Bytes(message)) => span.attributes.push(KeyValue::read(message, 0)),
                (10, Value::Varint(count)) => span.dropped_attributes = count as u32,
                (11, Value::Bytes(message)) => span.events.push(EventView::read(message)),
                (12, Value::Varint(count)) => span.dropped_events = count as u32,
                (13, Value::Bytes(message)) => span.links.push(LinkView::read(message)),
                (14, Value::Varint(count)) => span.dropped_links = count as u32,
                (15, Value::Bytes(status)) => {
                    for field in Fields::new(status) {
                        if let (2, Value::Bytes(text)) = field {
                            span.status_message = String::from_utf8_lossy(text);
                        }
                    }
                }
                _ => {}
            }
        }
        span
    }

    /// Only the name of a span message.
    pub fn name_of(body: &'a [u8]) -> Cow<'a, str> {
        let mut name = Cow::Borrowed("");
        for field in Fields::new(body) {
            if let (5, Value::Bytes(text)) = field {
                name = String::from_utf8_lossy(text);
            }
        }
        name
    }
}

impl<'a> EventView<'a> {
    fn read(message: &'a [u8]) -> Self {
        let [attributes] = room(message, [3]);
        let mut event = Self { attributes: Vec::with_capacity(attributes), ..Self::default() };
        for field in Fields::new(message) {
            match field {
                (1, Value::Fixed64(nanos)) => event.time = Timestamp(nanos),
                (2, Value::Bytes(text)) => event.name = String::from_utf8_lossy(text),
                (3, Value::Bytes(message)) => event.attributes.push(KeyValue::read(message, 0)),
                (4, Value::Varint(count)) => event.dropped_attributes = count as u32,
                _ => {}
            }
        }
        event
    }
}

impl<'a> LinkView<'a> {
    /// Reads a whole link message.
    pub fn read(message: &'a [u8]) -> Self {
        let [attributes] = room(message, [4]);
        let mut link = Self { attributes: Vec::with_capacity(attributes), ..Self::default() };
        for field in Fields::new(message) {
            match field {
                (1, Value::Bytes(id)) => link.trace_id = TraceId::from_slice(id).unwrap_or_default(),
                (2, Value::Bytes(id)) => link.span_id = SpanId::from_slice(id).unwrap_or_default(),
                (3, Value::Bytes(text)) => link.trace_state = String::from_utf8_lossy(text),
                (4, Value::Bytes(message)) => link.attributes.push(KeyValue::read(message, 0)),
                (5, Value::Varint(count)) => link.dropped_attributes = count as u32,
                (6, Value::Fixed32(flags)) => link.flags = flags,
                _ => {}
            }
        }
        link
    }
}

impl<'a> ResourceView<'a> {
    /// Reads a whole resource message.
    pub fn read(message: &'a [u8]) -> Self {
        let [attributes] = room(message, [1]);
        let mut resource = Self { attributes: Vec::with_capacity(attributes), ..Self::default() };
        for field in Fields::new(message) {
            match field {
                (1, Value::Bytes(message)) => resource.attributes.push(KeyValue::read(message, 0)),
                (2, Value::Varint(count)) => resource.dropped_attributes = count as u32,
                _ => {}
            }
        }
        resource
    }
}

impl<'a> ScopeView<'a> {
    /// Reads a whole scope message.
    pub fn read(message: &'a [u8]) -> Self {
        let [attributes] = room(message, [3]);
        let mut scope = Self { attributes: Vec::with_capacity(attributes), ..Self::default() };
        for field in Fields::new(message) {
            match field {
                (1, Value::Bytes(text)) => scope.name = String::from_utf8_lossy(text),
                (2, Value::Bytes(text)) => scope.version = String::from_utf8_lossy(text),
                (3, Value::Bytes(message)) => scope.attributes.push(KeyValue::read(message, 0)),
                (4, Value::Varint(count)) => scope.dropped_attributes = count as u32,
                _ => {}
            }
        }
        scope
    }
}

impl<'a> KeyValue<'a> {
    fn read(message: &'a [u8], depth: usize) -> Self {
        let mut pair = Self { key: Cow::Borrowed(""), value: AnyValue::Empty };
        for field in Fields::new(message) {
            match field {
                (1, Value::Bytes(text)) => pair.key = String::from_utf8_lossy(text),
                (2, Value::Bytes(message)) => pair.value.merge(message, depth),
                _ => {}
            }
        }
        pair
    }
}

impl<'a> AnyValue<'a> {
    /// Reads a whole value message.
    pub fn read(message: &'a [u8]) -> Self {
        Self::read_inside(message, 0)
    }

    /// Reads a value that stands inside `depth` lists.
    fn read_inside(message: &'a [u8], depth: usize) -> Self {
        let mut value = Self::Empty;
        value.merge(message, depth);
        value
    }

    /// Takes over what `message` says: the last member holds, but two lists of one kind are put end to end.
    fn merge(&mut self, message: &'a [u8], depth: usize) {
        for field in Fields::new(message) {
            match field {
                (1, Value::Bytes(text)) => *self = Self::String(String::from_utf8_lossy(text)),
                (2, Value::Varint(bit)) => *self = Self::Bool(bit != 0),
                (3, Value::Varint(number)) => *self = Self::Int(number as i64),
                (4, Value::Fixed64(bits)) => *self = Self::Double(f64::from_bits(bits)),
                (5, Value::Bytes(list)) if depth < MAX_VALUE_DEPTH => {
                    let more = messages(list).map(|message| Self::read_inside(message, depth + 1));
                    match self {
                        Self::Array(values) => values.extend(more),
                        _ => *self = Self::Array(exactly(list, more)),
                    }
                }
                (6, Value::Bytes(list)) if depth < MAX_VALUE_DEPTH => {
                    let more = messages(list).map(|message| KeyValue::read(message, depth + 1));
                    match self {
                        Self::Map(pairs) => pairs.extend(more),
                        _ => *self = Self::Map(exactly(list, more)),
                    }
                }
                (7, Value::Bytes(bytes)) => *self = Self::Bytes(bytes),
                // An index into a table of strings that only profiles have.
                (8, Value::Varint(_)) => *self = Self::Empty,
                _ => {}
            }
        }
    }

    /// The value as text, the form in which Jaeger 2 compares tags: numbers as Go and JavaScript write them
    /// (`0.25`, `1e+300`, `NaN`, `-Infinity`), bytes in base64, lists and maps as JSON.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::String(text) => Cow::Borrowed(text),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Double(number) => Cow::Owned(double_text(*number)),
            Self::Bytes(bytes) => Cow::Owned(base64::engine::general_purpose::STANDARD.encode(bytes)),
            Self::Array(_) | Self::Map(_) => {
                let mut json = String::new();
                self.write_json(&mut json);
                Cow::Owned(json)
            }
        }
    }

    /// The value's text, and the one by which Jaeger 1 compares tags where that is another one: doubles with ten
    /// significant digits (`0.3333333333`, `1e+10`, `-Inf`), bytes in hex.
    ///
    /// Source: jaeger-idl, `KeyValue.AsString`.
    pub fn texts(&self) -> (Cow<'_, str>, Option<String>) {
        let text = self.to_text();
        let other = match self {
            Self::Double(number) => rounded_text(*number, &text),
            Self::Bytes(bytes) if !bytes.is_empty() => Some(hex(bytes)),
            _ => None,
        };
        (text, other)
    }

    /// Whether this is one of the value's [`AnyValue::texts`].
    pub fn is_text(&self, text: &str) -> bool {
        let (one, other) = self.texts();
        one == text || other.is_some_and(|other| other == text)
    }

    /// The value as JSON: bytes in base64, numbers JSON cannot say as strings.
    pub fn write_json(&self, json: &mut String) {
        match self {
            Self::Empty => json.push_str("null"),
            Self::String(text) => write_json_string(json, text),
            Self::Double(number) if !number.is_finite() => write_json_string(json, &double_text(*number)),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) => {
                // Writing to a String cannot fail.
                let _infallible = write!(json, "{}", self.to_text());
            }
            Self::Bytes(_) => write_json_string(json, &self.to_text()),
            Self::Array(values) => {
                json.push('[');
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        json.push(',');
                    }
                    value.write_json(json);
                }
                json.push(']');
            }
            Self::Map(pairs) => {
                json.push('{');
                for (place, pair) in pairs.iter().enumerate() {
                    if place > 0 {
                        json.push(',');
                    }
                    write_json_string(json, &pair.key);
                    json.push(':');
                    pair.value.write_json(json);
                }
                json.push('}');
            }
        }
    }
}

/// Shortest digits that read back as the same number; an exponent where the plain form would be long.
fn double_text(number: f64) -> String {
    let size = number.abs();
    if size.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if size >= 1e21 {
        return format!("{number:e}").replace('e', "e+");
    }
    if size > 0.0 && size < 1e-6 { format!("{number:e}") } else { number.to_string() }
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _infallible = write!(hex, "{byte:02x}");
    }
    hex
}

/// As C's and Go's `%.10g` has it; none where that is the same as the exact text.
fn rounded_text(number: f64, exact: &str) -> Option<String> {
    const DIGITS: i32 = 10;
    if !number.is_finite() {
        return number.is_infinite().then(|| if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned());
    }
    let is_short = exact.bytes().filter(u8::is_ascii_digit).count() <= DIGITS as usize;
    if is_short && (number == 0.0 || (1e-4..1e10).contains(&number.abs())) {
        return None;
    }
    let scientific = format!("{number:.9e}");
    let (digits, exponent) = scientific.split_once('e')?;
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let exponent: i32 = exponent.parse().ok()?;
    let text = if (-4..DIGITS).contains(&exponent) {
        let decimals = (DIGITS - 1 - exponent) as usize;
        let plain = format!("{number:.decimals$}");
        if decimals > 0 { plain.trim_end_matches('0').trim_end_matches('.').to_owned() } else { plain }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    };
    (text != exact).then_some(text)
}

/// The attribute `service.name` of a `Resource` message: the first of that name; empty when it is not a string.
///
/// Read without making a view of the resource: this is asked about every resource before it is stored.
pub(super) fn service_name(resource: &[u8]) -> Cow<'_, str> {
    let named = messages(resource).find(|pair| last_key(pair) == b"service.name");
    named.and_then(last_string).map_or(Cow::Borrowed(""), String::from_utf8_lossy)
}

/// The key of a `KeyValue`: the last one holds.
fn last_key(pair: &[u8]) -> &[u8] {
    let keys = Fields::new(pair).filter_map(|field| match field {
        (1, Value::Bytes(key)) => Some(key),
        _ => None,
    });
    keys.last().unwrap_or_default()
}

/// The text of a `KeyValue` whose value is text: of its members the last one holds, in whichever piece it was sent.
fn last_string(pair: &[u8]) -> Option<&[u8]> {
    let mut text = None;
    for field in Fields::new(pair) {
        let (2, Value::Bytes(value)) = field else { continue };
        for member in Fields::new(value) {
            match member {
                (1, Value::Bytes(string)) => text = Some(string),
                (2 | 3 | 8, Value::Varint(_)) | (4, Value::Fixed64(_)) | (5..=7, Value::Bytes(_)) => {
                    text = None
                }
                _ => {}
            }
        }
    }
    text
}

/// How many embedded messages there are of each of these fields. A list that grows as it is read ends with up to twice
/// the room it needs; one that is counted first has exactly that.
fn room<const N: usize>(message: &[u8], numbers: [u32; N]) -> [usize; N] {
    let mut counts = [0; N];
    for field in Fields::new(message) {
        let (number, Value::Bytes(_)) = field else { continue };
        if let Some(place) = numbers.iter().position(|known| *known == number) {
            counts[place] += 1;
        }
    }
    counts
}

/// The items of a list, in no more room than they need.
fn exactly<T>(list: &[u8], items: impl Iterator<Item = T>) -> Vec<T> {
    let [count] = room(list, [1]);
    let mut exact = Vec::with_capacity(count);
    exact.extend(items);
    exact
}

/// The embedded messages of a list: field 1 of `ArrayValue`, `KeyValueList` and `Resource`.
fn messages(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields::new(list).filter_map(|field| match field {
        (1, Value::Bytes(message)) => Some(message),
        _ => None,
    })
}

fn write_json_string(json: &mut String, text: &str) {
    // serde_json escapes; a string always serializes.
    json.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_text() {
        let pair = |key, value| KeyValue { key: Cow::Borrowed(key), value };
        let cases = [
            (AnyValue::Empty, ""),
            (AnyValue::String("a\"b".into()), "a\"b"),
            (AnyValue::Bool(true), "true"),
            (AnyValue::Int(i64::MIN), "-9223372036854775808"),
            (AnyValue::Double(0.25), "0.25"),
            (AnyValue::Double(3.0), "3"),
            (AnyValue::Double(1e20), "100000000000000000000"),
            (AnyValue::Double(1e300), "1e+300"),
            (AnyValue::Double(-1.5e-9), "-1.5e-9"),
            (AnyValue::Double(f64::NAN), "NaN"),
            (AnyValue::Double(f64::INFINITY), "Infinity"),
            (AnyValue::Double(f64::NEG_INFINITY), "-Infinity"),
            (AnyValue::Bytes(&[0xfb, 0xff]), "+/8="),
            (AnyValue::Array(vec![]), "[]"),
            (
                AnyValue::Array(vec![
                    AnyValue::Int(1),
                    AnyValue::String("a\"b".into()),
                    AnyValue::Double(f64::NAN),
                    AnyValue::Empty,
                ]),
                r#"[1,"a\"b","NaN",null]"#,
            ),
            (
                AnyValue::Map(vec![pair("k", AnyValue::Bool(false)), pair("k", AnyValue::Bytes(b"\0"))]),
                r#"{"k":false,"k":"AA=="}"#,
            ),
        ];
        for (value, text) in cases {
            assert_eq!(value.to_text(), text, "{value:?}");
        }
    }

    #[test]
    fn doubles_and_bytes_have_another_text_in_jaeger_1() {
        // What Go's strconv.FormatFloat(number, 'g', 10, 64) gives.
        let doubles = [
            (0.0, "0"),
            (-0.0, "-0"),
            (72.5, "72.5"),
            (1.0 / 3.0, "0.3333333333"),
            (-2.0 / 3.0, "-0.6666666667"),
            (1e9, "1000000000"),
            (1e10, "1e+10"),
            (12_345_678_901.0, "1.23456789e+10"),
            (1_234_567_890.5, "1234567890"),
            (1_234_567_891.5, "1234567892"),
            (9_999_999_999.5, "1e+10"),
            (9_999_999_999.4, "9999999999"),
            (0.0001, "0.0001"),
            (0.000_123_456_789_12, "0.0001234567891"),
            (0.000_099_999_999_999, "0.0001"),
            (0.00001, "1e-05"),
            (1e-7, "1e-07"),
            (1e300, "1e+300"),
            (5e-324, "4.940656458e-324"),
            (99_999.999_999_999, "100000"),
            (0.999_999_999_99, "1"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (number, text) in doubles {
            let value = AnyValue::Double(number);
            let (exact, other) = value.texts();
            assert_eq!(other.as_deref().unwrap_or(&exact), text);
            // Another text is worth a second hash; the same one is not.
            assert_ne!(other.as_deref(), Some(&*exact), "{number}");
            assert!(value.is_text(text) && value.is_text(&exact) && !value.is_text("other"));
        }
        let bytes = AnyValue::Bytes(&[0xfb, 0x0f]);
        assert!(bytes.is_text("fb0f") && bytes.is_text("+w8=") && !bytes.is_text("FB0F"));
        for value in [AnyValue::Bytes(&[]), AnyValue::Int(10_000_000_000), AnyValue::String("fb".into())] {
            assert_eq!(value.texts().1, None);
        }
    }

    /// Bytes on the heap: room, not only what of it is used.
    fn room_of<T>(items: &Vec<T>, inner: impl Fn(&T) -> usize) -> usize {
        items.capacity() * size_of::<T>() + items.iter().map(inner).sum::<usize>()
    }

    #[expect(clippy::ptr_arg, reason = "only a Cow tells whether it takes room of its own")]
    fn text_room(text: &Cow<'_, str>) -> usize {
        match text {
            Cow::Borrowed(_) => 0,
            Cow::Owned(text) => text.capacity(),
        }
    }

    fn pairs_room(pairs: &Vec<KeyValue<'_>>) -> usize {
        room_of(pairs, |pair| text_room(&pair.key) + value_room(&pair.value))
    }

    fn value_room(value: &AnyValue<'_>) -> usize {
        match value {
            AnyValue::String(text) => text_room(text),
            AnyValue::Array(values) => room_of(values, value_room),
            AnyValue::Map(pairs) => pairs_room(pairs),
            _ => 0,
        }
    }

    fn span_room(span: &SpanView<'_>) -> usize {
        [&span.name, &span.trace_state, &span.status_message].map(text_room).iter().sum::<usize>()
            + pairs_room(&span.attributes)
            + room_of(&span.events, |event| text_room(&event.name) + pairs_room(&event.attributes))
            + room_of(&span.links, |link| text_room(&link.trace_state) + pairs_room(&link.attributes))
    }

    #[test]
    fn a_view_takes_at_most_fifty_times_the_bytes_it_shows() {
        let times = |count: usize, piece: &[u8]| piece.repeat(count);
        let list = |kind: u8, items: &[u8]| {
            let mut span = Vec::new();
            crate::otlp::write::message(&mut span, 9, |pair| {
                crate::otlp::write::message(pair, 2, |value| {
                    crate::otlp::write::bytes(value, u32::from(kind), items);
                });
            });
            span
        };
        // One more than a power of two is where a list that doubles wastes most.
        for count in [1, 2, 3, 5, 9, 1025, 65_537] {
            let spans = [
                times(count, b"\x4a\0"),
                times(count, b"\x5a\0"),
                times(count, b"\x6a\0"),
                times(count, b"\x5a\x02\x1a\0"),
                times(count, b"\x6a\x02\x22\0"),
                times(count, b"\x4a\x03\x0a\x01\xff"),
                times(count, b"\x4a\x04\x12\x02\x2a\0"),
                times(count, b"\x4a\x06\x12\x04\x2a\x02\x0a\0"),
                times(count, b"\x4a\x06\x12\x04\x32\x02\x0a\0"),
                list(5, &times(count, b"\x0a\0")),
                list(6, &times(count, b"\x0a\0")),
                list(5, &times(count, b"\x0a\x04\x2a\x02\x0a\0")),
                list(6, &times(count, b"\x0a\x06\x12\x04\x32\x02\x0a\0")),
            ];
            for (place, span) in spans.iter().enumerate() {
                let room = span_room(&SpanView::read(span));
                assert!(room <= 50 * span.len(), "{place}: {room} bytes for {} ({count} times)", span.len());
            }
            let resource = times(count, b"\x0a\0");
            assert!(pairs_room(&ResourceView::read(&resource).attributes) <= 50 * resource.len());
            let scope = times(count, b"\x1a\0");
            assert!(pairs_room(&ScopeView::read(&scope).attributes) <= 50 * scope.len());
        }
    }

    #[test]
    fn a_service_is_named_by_its_first_service_name() {
        use crate::otlp::write;
        let attribute = |out: &mut Vec<u8>, key: &str, value: &dyn Fn(&mut Vec<u8>)| {
            write::message(out, 1, |pair| {
                write::string(pair, 1, key);
                write::message(pair, 2, |any| value(any));
            });
        };
        let mut resource = Vec::new();
        attribute(&mut resource, "host.name", &|any| write::string(any, 1, "tinderbox"));
        assert_eq!(service_name(&resource), "");
        let mut number = resource.clone();
        attribute(&mut number, "service.name", &|any| write::uint(any, 3, 7));
        assert_eq!(service_name(&number), "");
        attribute(&mut resource, "service.name", &|any| write::bytes(any, 1, b"sh\xffp"));
        attribute(&mut resource, "service.name", &|any| write::string(any, 1, "other"));
        assert_eq!(service_name(&resource), "sh\u{fffd}p");
    }

    #[test]
    fn a_service_name_in_pieces_is_the_one_that_is_shown() {
        let text = |text: &str| [&[0x0a, text.len() as u8], text.as_bytes()].concat();
        let (key, other) = (text("service.name"), text("host.name"));
        let value = |members: &[u8]| [&[0x12, members.len() as u8], members].concat();
        let shop = value(&text("shop"));
        let cases: [(Vec<Vec<u8>>, &str); 9] = [
            (vec![key.clone(), shop.clone()], "shop"),
            (vec![shop.clone(), key.clone()], "shop"),
            (vec![other.clone(), shop.clone(), key.clone()], "shop"),
            (vec![key.clone(), shop.clone(), other], ""),
            (vec![key.clone(), shop.clone(), value(&[])], "shop"),
            (vec![key.clone(), shop.clone(), value(&text("cart"))], "cart"),
            (vec![key.clone(), value(&[&text("shop")[..], &[0x18, 1]].concat())], ""),
            (vec![key.clone(), value(b"\x2a\0\x32\0"), shop.clone()], "shop"),
            (vec![key, shop, value(b"\x32\0")], ""),
        ];
        for (pieces, name) in cases {
            let mut resource = Vec::new();
            crate::otlp::write::bytes(&mut resource, 1, &pieces.concat());
            assert_eq!(service_name(&resource), name, "{pieces:02x?}");
            let view = ResourceView::read(&resource);
            let pair = view.attributes.iter().find(|pair| pair.key == "service.name");
            let shown = pair.map_or(Cow::Borrowed(""), |pair| pair.value.to_text());
            assert_eq!(
                if matches!(pair, Some(KeyValue { value: AnyValue::String(_), .. })) {
                    shown
                } else {
                    "".into()
                },
                name
            );
        }
    }
}
