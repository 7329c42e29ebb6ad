//! Jaeger's own shapes, and how they are written as JSON: names, order of fields, number forms.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Serialize, Serializer};

use super::words::hex_trace_id;
use crate::model::{SpanId, Timestamp, TraceId};

/// The largest whole number that JavaScript holds exactly.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// A trace, ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace<'a> {
    /// The id that all spans share.
    pub trace_id: TraceId,
    /// In the order they are written.
    pub spans: Vec<Span<'a>>,
    /// What spans refer to by [`Span::process`].
    pub processes: Vec<Process<'a>>,
    /// What a person should know about the whole; `null` when empty.
    pub warnings: Vec<Cow<'a, str>>,
}

/// A service's instance, as Jaeger has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process<'a> {
    /// Its name.
    pub service_name: Cow<'a, str>,
    /// What is known of it.
    pub tags: Vec<Tag<'a>>,
}

/// A span, as Jaeger has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Span<'a> {
    /// The trace.
    pub trace_id: TraceId,
    /// Its id in the trace.
    pub span_id: SpanId,
    /// 1 when it was sampled; not written when 0.
    pub flags: u32,
    /// Its name.
    pub operation_name: Cow<'a, str>,
    /// Parent and links.
    pub references: Vec<Reference>,
    /// When it started; written in µs.
    pub start: Timestamp,
    /// How long it took, in ns; written in µs.
    pub duration: u64,
    /// Attributes, and what Jaeger has no field for.
    pub tags: Vec<Tag<'a>>,
    /// Events.
    pub logs: Vec<Log<'a>>,
    /// Its place in [`Trace::processes`].
    pub process: usize,
    /// What a person should know about it; `null` when empty.
    pub warnings: Vec<Cow<'a, str>>,
}

/// How a span refers to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReferenceType {
    /// The other waits for this one.
    ChildOf,
    /// The other only caused this one.
    FollowsFrom,
}

/// A reference to another span, possibly of another trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reference {
    /// How.
    pub ref_type: ReferenceType,
    /// The other's trace.
    pub trace_id: TraceId,
    /// The other's id.
    pub span_id: SpanId,
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Log<'a> {
    /// When; written in µs.
    pub timestamp: Timestamp,
    /// What.
    pub fields: Vec<Tag<'a>>,
}

/// A named value. Orders by key, then by type, then by value, as Jaeger sorts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag<'a> {
    /// Its name; names may repeat.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: Value<'a>,
}

/// A value of one of Jaeger's five types.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// Text.
    String(Cow<'a, str>),
    /// True or false.
    Bool(bool),
    /// A whole number; a decimal string in JSON when JavaScript could not hold it.
    Int64(i64),
    /// A floating point number; a string in JSON when it is not finite.
    Float64(f64),
    /// Bytes; base64 in JSON.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Tag<'a> {
    /// A text tag.
    pub fn text(key: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        Self { key: key.into(), value: Value::String(value.into()) }
    }
}

impl Span<'_> {
    /// The parent: the first `CHILD_OF` reference within the trace.
    pub fn parent(&self) -> Option<SpanId> {
        let parent = |reference: &&Reference| {
            reference.ref_type == ReferenceType::ChildOf && reference.trace_id == self.trace_id
        };
        self.references.iter().find(parent).map(|reference| reference.span_id)
    }

    /// Whether the tag `span.kind` has this value.
    pub fn has_kind(&self, kind: &str) -> bool {
        self.tags
            .iter()
            .any(|tag| tag.key == "span.kind" && matches!(&tag.value, Value::String(value) if value == kind))
    }
}

impl Value<'_> {
    /// Jaeger's name of the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Bool(_) => "bool",
            Self::Int64(_) => "int64",
            Self::Float64(_) => "float64",
            Self::Binary(_) => "binary",
        }
    }

    /// The number of the type in `model.proto`.
    fn type_number(&self) -> u8 {
        match self {
            Self::String(_) => 0,
            Self::Bool(_) => 1,
            Self::Int64(_) => 2,
            Self::Float64(_) => 3,
            Self::Binary(_) => 4,
        }
    }
}

impl Ord for Value<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int64(a), Self::Int64(b)) => a.cmp(b),
            (Self::Float64(a), Self::Float64(b)) => a.total_cmp(b),
            (Self::Binary(a), Self::Binary(b)) => a.cmp(b),
            _ => self.type_number().cmp(&other.type_number()),
        }
    }
}

impl PartialOrd for Value<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

// Equality follows the order above, so that a NaN equals itself and duplicates are seen as such.
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value<'_> {}

impl std::hash::Hash for Value<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.type_number().hash(state);
        match self {
            Self::String(text) => text.hash(state),
            Self::Bool(bit) => bit.hash(state),
            Self::Int64(number) => number.hash(state),
            Self::Float64(number) => number.to_bits().hash(state),
            Self::Binary(bytes) => bytes.hash(state),
        }
    }
}

impl Serialize for Tag<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tag = serializer.serialize_struct("Tag", 3)?;
        tag.serialize_field("key", &self.key)?;
        tag.serialize_field("type", self.value.type_name())?;
        tag.serialize_field("value", &self.value)?;
        tag.end()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(text) => serializer.serialize_str(text),
            Self::Bool(bit) => serializer.serialize_bool(*bit),
            Self::Int64(number) if number.unsigned_abs() > MAX_SAFE_INTEGER => serializer.collect_str(number),
            Self::Int64(number) => serializer.serialize_i64(*number),
            Self::Float64(number) => match non_finite_word(*number) {
                Some(word) => serializer.serialize_str(word),
                None => serializer.serialize_f64(*number),
            },
            Self::Binary(bytes) => serializer.serialize_str(&STANDARD.encode(bytes)),
        }
    }
}

/// JSON has no word for these; the ones here are protobuf's (ProtoJSON, "double").
fn non_finite_word(number: f64) -> Option<&'static str> {
    match number {
        _ if number.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reference = serializer.serialize_struct("Reference", 3)?;
        reference.serialize_field("refType", &self.ref_type)?;
        reference.serialize_field("traceID", &hex_trace_id(self.trace_id))?;
        reference.serialize_field("spanID", &self.span_id.to_string())?;
        reference.end()
    }
}

impl Serialize for Log<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut log = serializer.serialize_struct("Log", 2)?;
        log.serialize_field("timestamp", &self.timestamp.micros())?;
        log.serialize_field("fields", &self.fields)?;
        log.end()
    }
}

impl Serialize for Trace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = ProcessKeys::of(self);
        let trace_id = hex_trace_id(self.trace_id);
        let spans: Vec<_> =
            self.spans.iter().map(|span| KeyedSpan { span, trace_id: &trace_id, keys: &keys }).collect();
        let mut trace = serializer.serialize_struct("Trace", 4)?;
        trace.serialize_field("traceID", &trace_id)?;
        trace.serialize_field("spans", &spans)?;
        trace.serialize_field("processes", &keys)?;
        trace.serialize_field("warnings", &(!self.warnings.is_empty()).then_some(&self.warnings))?;
        trace.end()
    }
}

/// `p1`, `p2` … in order of first appearance of a distinct service and tags.
struct ProcessKeys<'t, 'a> {
    /// What is written, in order.
    distinct: Vec<(String, &'t Process<'a>)>,
    /// For each place in [`Trace::processes`] its place in `distinct`.
    place: Vec<Option<usize>>,
}

impl<'t, 'a> ProcessKeys<'t, 'a> {
    fn of(trace: &'t Trace<'a>) -> Self {
        let mut keys = Self { distinct: Vec::new(), place: vec![None; trace.processes.len()] };
        let mut seen = HashMap::new();
        for span in &trace.spans {
            if keys.place[span.process].is_none() {
                let process = &trace.processes[span.process];
                let place = *seen.entry(process).or_insert(keys.distinct.len());
                if place == keys.distinct.len() {
                    keys.distinct.push((format!("p{}", place + 1), process));
                }
                keys.place[span.process] = Some(place);
            }
        }
        keys
    }

    fn key(&self, process: usize) -> &str {
        self.place[process].map_or("", |place| &self.distinct[place].0)
    }
}

impl Serialize for ProcessKeys<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.distinct.len()))?;
        for (key, process) in &self.distinct {
            map.serialize_entry(key, process)?;
        }
        map.end()
    }
}

/// A span beside the texts that are made once for the whole trace.
struct KeyedSpan<'t, 'a> {
    span: &'t Span<'a>,
    trace_id: &'t str,
    keys: &'t ProcessKeys<'t, 'a>,
}

impl Serialize for KeyedSpan<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = self.span;
        let mut fields = serializer.serialize_struct("Span", 11)?;
        fields.serialize_field("traceID", self.trace_id)?;
        fields.serialize_field("spanID", &span.span_id.to_string())?;
        if span.flags != 0 {
            fields.serialize_field("flags", &span.flags)?;
        }
        fields.serialize_field("operationName", &span.operation_name)?;
        fields.serialize_field("references", &span.references)?;
        fields.serialize_field("startTime", &span.start.micros())?;
        fields.serialize_field("duration", &(span.duration / 1_000))?;
        fields.serialize_field("tags", &span.tags)?;
        fields.serialize_field("logs", &span.logs)?;
        fields.serialize_field("processID", self.keys.key(span.process))?;
        fields.serialize_field("warnings", &(!span.warnings.is_empty()).then_some(&span.warnings))?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_written_as_javascript_can_read_it() {
        let cases = [
            (Value::String("x".into()), r#""string","value":"x""#),
            (Value::Bool(true), r#""bool","value":true"#),
            (Value::Int64(9_007_199_254_740_991), r#""int64","value":9007199254740991"#),
            (Value::Int64(9_007_199_254_740_992), r#""int64","value":"9007199254740992""#),
            (Value::Int64(-9_007_199_254_740_991), r#""int64","value":-9007199254740991"#),
            (Value::Int64(i64::MIN), r#""int64","value":"-9223372036854775808""#),
            (Value::Float64(0.5), r#""float64","value":0.5"#),
            (Value::Float64(f64::NAN), r#""float64","value":"NaN""#),
            (Value::Float64(f64::NEG_INFINITY), r#""float64","value":"-Infinity""#),
            (Value::Binary((&[0, 255][..]).into()), r#""binary","value":"AP8=""#),
        ];
        for (value, expected) in cases {
            let json = serde_json::to_string(&Tag { key: "k".into(), value }).unwrap();
            assert_eq!(json, format!(r#"{{"key":"k","type":{expected}}}"#));
        }
    }

    #[test]
    fn tags_order_by_key_then_type_then_value() {
        let mut tags = vec![
            Tag { key: "b".into(), value: Value::Int64(1) },
            Tag { key: "b".into(), value: Value::String("z".into()) },
            Tag { key: "a".into(), value: Value::Float64(2.0) },
            Tag { key: "a".into(), value: Value::Float64(-1.0) },
        ];
        tags.sort();
        let json = serde_json::to_string(&tags).unwrap();
        assert!(json.find("-1.0") < json.find("2.0"), "{json}");
        assert!(json.find("2.0") < json.find(r#""z""#), "{json}");
        assert!(json.ends_with(r#"{"key":"b","type":"int64","value":1}]"#), "{json}");
    }
}
