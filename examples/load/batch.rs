//! What is sent: the same spans in the words of every protocol.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan};
use prost::Message as _;
use prost_types::{Duration, Timestamp};
use thrift::protocol::{TBinaryOutputProtocol, TCompactOutputProtocol};
use tracelodge::proto::jaeger::api_v2;

use super::thrift_fields::Out;
use super::{zipkin, zipkin_v1};

/// Spans of one generated trace.
pub(crate) const SPANS_PER_TRACE: u64 = 8;

/// What the service says of itself, its name first.
pub(crate) const SERVICE: [(&str, &str); 7] = [
    ("service.name", "load"),
    ("service.version", "1.4.2"),
    ("host.name", "worker-17"),
    ("os.type", "linux"),
    ("process.runtime.name", "rustc"),
    ("deployment.environment.name", "bench"),
    ("telemetry.sdk.language", "rust"),
];

const NANOS: u64 = 1_000_000_000;

/// A trace id that no other number has. Its low half takes ten bytes as a number of thrift's compact protocol, whichever
/// number it is.
pub(crate) fn trace_id(trace: u64) -> u128 {
    (0x7ace_10d6_u128 << 64) | 1 << 62 | u128::from(trace)
}

/// A span before it is said in anybody's words.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) trace_id: u128,
    pub(crate) id: u64,
    /// 0 is none.
    pub(crate) parent_id: u64,
    pub(crate) name: String,
    /// Nanoseconds; whole microseconds, because some protocols have no more.
    pub(crate) start: u64,
    pub(crate) duration: u64,
    pub(crate) path: String,
    pub(crate) number: i64,
}

impl Span {
    fn new(number: u64) -> Self {
        let in_trace = number % SPANS_PER_TRACE;
        Self {
            trace_id: trace_id(number / SPANS_PER_TRACE),
            id: number + 1,
            parent_id: if in_trace == 0 { 0 } else { number },
            name: format!("GET /items/{in_trace}"),
            start: 1_780_000_000 * NANOS + number * 1_000_000,
            duration: 350_000 + number * 1_000,
            path: format!("/items/{number}"),
            number: number as i64,
        }
    }

    pub(crate) fn texts(&self) -> [(&'static str, &str); 7] {
        [
            ("http.request.method", "GET"),
            ("url.path", &self.path),
            ("http.route", "/items/{id}"),
            ("server.address", "items.internal"),
            ("user_agent.original", "load/1.0"),
            ("network.protocol.version", "1.1"),
            ("client.address", "10.0.0.17"),
        ]
    }

    pub(crate) fn numbers(&self) -> [(&'static str, i64); 2] {
        [("http.response.status_code", 200), ("item.id", self.number)]
    }
}

fn spans(count: u64) -> Vec<Span> {
    (0..count).map(Span::new).collect()
}

/// How trace ids stand in the bytes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdForm {
    /// 16 bytes.
    Bytes,
    /// 32 digits.
    Hex,
    /// The low half as a number of thrift's binary protocol.
    LowHalf,
    /// The same of the compact one.
    LowHalfVarint,
}

impl IdForm {
    /// Writes the id of a trace so at the start of `to`; how many bytes that takes.
    fn write(self, trace: u64, to: &mut [u8; 32]) -> usize {
        let id = trace_id(trace);
        let digits = |digit: usize| b"0123456789abcdef"[(id >> (124 - 4 * digit)) as usize & 0xf];
        match self {
            Self::Bytes => to[..16].copy_from_slice(&id.to_be_bytes()),
            Self::Hex => *to = std::array::from_fn(digits),
            Self::LowHalf => to[..8].copy_from_slice(&(id as u64).to_be_bytes()),
            // Positive numbers are doubled there, and the last byte holds the 64th bit.
            Self::LowHalfVarint => {
                let doubled = (id as u64) << 1;
                let seven_bits = |place: usize| (doubled >> (7 * place)) as u8 | 0x80;
                to[..10].copy_from_slice(&std::array::from_fn::<_, 10, _>(seven_bits));
                to[9] = 1;
            }
        }
        self.length()
    }

    fn length(self) -> usize {
        match self {
            Self::Bytes => 16,
            Self::Hex => 32,
            Self::LowHalf => 8,
            Self::LowHalfVarint => 10,
        }
    }
}

/// A request whose trace ids can be changed in place.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    spans: u64,
    form: IdForm,
    /// Where they stand, and which of its traces each is.
    places: Vec<(usize, u64)>,
}

impl Template {
    fn new(bytes: Vec<u8>, form: IdForm, spans: u64) -> Self {
        let places_of = |trace| {
            let mut id = [0; 32];
            let length = form.write(trace, &mut id);
            let places: Vec<_> = memchr::memmem::find_iter(&bytes, &id[..length]).collect();
            assert!(places.len() as u64 >= SPANS_PER_TRACE, "each span names its trace");
            places.into_iter().map(move |place| (place, trace))
        };
        let places = (0..spans / SPANS_PER_TRACE).flat_map(places_of).collect();
        Self { bytes, spans, form, places }
    }

    /// `ExportTraceServiceRequest`.
    pub(crate) fn otlp(spans: u64) -> Self {
        Self::new(export_request(spans).encode_to_vec(), IdForm::Bytes, spans)
    }

    pub(crate) fn otlp_json(spans: u64) -> Self {
        let request = serde_json::to_vec(&export_request(spans)).expect("it has a form in JSON");
        Self::new(request, IdForm::Hex, spans)
    }

    /// `PostSpansRequest`.
    pub(crate) fn jaeger(count: u64) -> Self {
        let process = api_v2::Process {
            service_name: SERVICE[0].1.into(),
            tags: SERVICE[1..].iter().map(|(key, value)| text_tag(key, value)).collect(),
        };
        let spans = spans(count).iter().map(jaeger_span).collect();
        let batch = Some(api_v2::Batch { spans, process: Some(process) });
        Self::new(api_v2::PostSpansRequest { batch }.encode_to_vec(), IdForm::Bytes, count)
    }

    /// What is written in thrift's binary protocol.
    pub(crate) fn binary(count: u64, write: impl FnOnce(Out<'_>, &[Span]) -> thrift::Result<()>) -> Self {
        let mut bytes = Vec::new();
        let written = write(&mut TBinaryOutputProtocol::new(&mut bytes, true), &spans(count));
        written.expect("a vector takes everything");
        Self::new(bytes, IdForm::LowHalf, count)
    }

    /// What is written in its compact one.
    pub(crate) fn compact(count: u64, write: impl FnOnce(Out<'_>, &[Span]) -> thrift::Result<()>) -> Self {
        let mut bytes = Vec::new();
        let written = write(&mut TCompactOutputProtocol::new(&mut bytes), &spans(count));
        written.expect("a vector takes everything");
        Self::new(bytes, IdForm::LowHalfVarint, count)
    }

    pub(crate) fn zipkin_json(count: u64) -> Self {
        Self::new(zipkin::json(&spans(count)).to_string().into(), IdForm::Hex, count)
    }

    pub(crate) fn zipkin_json_v1(count: u64) -> Self {
        Self::new(zipkin_v1::json(&spans(count)).to_string().into(), IdForm::Hex, count)
    }

    pub(crate) fn zipkin_protobuf(count: u64) -> Self {
        Self::new(zipkin::protobuf(&spans(count)), IdForm::Bytes, count)
    }

    pub(crate) fn spans(&self) -> u64 {
        self.spans
    }

    pub(crate) fn traces(&self) -> u64 {
        self.spans / SPANS_PER_TRACE
    }

    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The request of a number: traces that no other has.
    pub(crate) fn request(&self, number: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let mut id = [0; 32];
        for (place, trace) in &self.places {
            let length = self.form.write(number * self.traces() + trace, &mut id);
            bytes[*place..place + length].copy_from_slice(&id[..length]);
        }
        bytes
    }
}

fn export_request(count: u64) -> ExportTraceServiceRequest {
    let attributes = SERVICE.map(|(key, value)| text_attribute(key, value)).to_vec();
    let spans = spans(count).iter().map(otlp_span).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn otlp_span(span: &Span) -> OtlpSpan {
    let texts = span.texts().map(|(key, value)| text_attribute(key, value));
    let numbers = span.numbers().map(|(key, value)| attribute(key, any_value::Value::IntValue(value)));
    let parent = span.parent_id.to_be_bytes();
    OtlpSpan {
        trace_id: span.trace_id.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: if span.parent_id == 0 { Vec::new() } else { parent.to_vec() },
        name: span.name.clone(),
        kind: 2,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.start + span.duration,
        attributes: texts.into_iter().chain(numbers).collect(),
        ..OtlpSpan::default()
    }
}

fn text_attribute(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn jaeger_span(span: &Span) -> api_v2::Span {
    let numbers = span.numbers().map(|(key, v_int64)| api_v2::KeyValue {
        key: key.into(),
        v_type: api_v2::ValueType::Int64.into(),
        v_int64,
        ..api_v2::KeyValue::default()
    });
    let texts = span.texts().map(|(key, value)| text_tag(key, value));
    let trace_id = Bytes::copy_from_slice(&span.trace_id.to_be_bytes());
    let parent = api_v2::SpanRef {
        trace_id: trace_id.clone(),
        span_id: Bytes::copy_from_slice(&span.parent_id.to_be_bytes()),
        ref_type: api_v2::SpanRefType::ChildOf.into(),
    };
    api_v2::Span {
        trace_id,
        span_id: Bytes::copy_from_slice(&span.id.to_be_bytes()),
        operation_name: span.name.clone().into(),
        references: (span.parent_id != 0).then_some(parent).into_iter().collect(),
        flags: 1,
        start_time: Some(Timestamp {
            seconds: (span.start / NANOS) as i64,
            nanos: (span.start % NANOS) as i32,
        }),
        duration: Some(Duration { seconds: 0, nanos: span.duration as i32 }),
        tags: [text_tag("span.kind", "server")].into_iter().chain(texts).chain(numbers).collect(),
        ..api_v2::Span::default()
    }
}

fn text_tag(key: &str, value: &str) -> api_v2::KeyValue {
    let [key, v_str] = [key, value].map(|text| Bytes::copy_from_slice(text.as_bytes()));
    api_v2::KeyValue { key, v_str, ..api_v2::KeyValue::default() }
}
