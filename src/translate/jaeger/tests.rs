//! Every span that Jaeger may write comes back as it was.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use prost_types::{Duration, Timestamp};

use super::checked::{BILLION, YEAR_1};
use super::*;
use crate::otlp::{self, Limits};
use crate::proto::jaeger::api_v2::{KeyValue, Log, Process, Span, SpanRef};

/// Any text, and what it is not: of every ten one is not UTF-8.
fn text() -> impl Strategy<Value = Bytes> {
    let words = ["event", "error", "span.kind", "server", "OK", "@jaeger@warnings", "@jaeger@@jaeger@start"];
    prop_oneof![
        5 => "[a-z.]{0,12}".prop_map(Bytes::from),
        3 => select(words.to_vec()).prop_map(|word| Bytes::from_static(word.as_bytes())),
        1 => vec(any::<u8>(), 0..8).prop_map(Bytes::from),
    ]
}

fn key() -> impl Strategy<Value = Bytes> {
    let known = [
        "span.kind",
        "error",
        "otel.status_code",
        "otel.status_description",
        "http.status_code",
        "http.status_message",
        "w3c.tracestate",
        "otel.scope.name",
        "otel.scope.version",
        "otel.library.name",
        "service.name",
        "hostname",
        "event",
        "opentracing.ref_type",
        WARNINGS,
        PROCESS_ID,
        START,
        DURATION,
        TIME,
        "@jaeger@",
        "@jaeger@@jaeger@warnings",
    ];
    prop_oneof![
        1 => text(),
        2 => select(known.to_vec()).prop_map(|key| Bytes::from_static(key.as_bytes())),
    ]
}

pub(crate) fn tag() -> impl Strategy<Value = KeyValue> {
    let words = ["server", "client", "consumer", "ok", "ERROR", "Unset", "true", "500", "404", "a=b", ""];
    let word = select(words.to_vec()).prop_map(|word| Bytes::from_static(word.as_bytes()));
    let value = prop_oneof![
        prop_oneof![text(), word].prop_map(|v_str| KeyValue { v_str, ..KeyValue::default() }),
        any::<bool>().prop_map(|v_bool| KeyValue { v_type: 1, v_bool, ..KeyValue::default() }),
        prop_oneof![any::<i64>(), select(vec![0, 200, 404, 500])].prop_map(|v_int64| KeyValue {
            v_type: 2,
            v_int64,
            ..KeyValue::default()
        }),
        any::<f64>().prop_map(|v_float64| KeyValue { v_type: 3, v_float64, ..KeyValue::default() }),
        vec(any::<u8>(), 0..8).prop_map(|bytes| KeyValue {
            v_type: 4,
            v_binary: bytes.into(),
            ..KeyValue::default()
        }),
    ];
    (key(), value).prop_map(|(key, value)| KeyValue { key, ..value })
}

/// Often with some twice.
fn tags() -> impl Strategy<Value = Vec<KeyValue>> {
    (vec(tag(), 0..5), any::<bool>()).prop_map(|(mut tags, twice)| {
        if twice {
            tags.extend_from_within(..tags.len() / 2);
        }
        tags
    })
}

fn time() -> impl Strategy<Value = Timestamp> {
    let seconds = prop_oneof![
        3 => 1_600_000_000..1_800_000_000i64,
        1 => select(vec![YEAR_1, -1, 0, 18_446_744_073, 18_446_744_074, 253_402_300_799]),
        1 => YEAR_1..253_402_300_799,
    ];
    (seconds, prop_oneof![Just(0), Just(999_999_999), 0..1_000_000_000])
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn any_duration() -> impl Strategy<Value = Duration> {
    let nanos = prop_oneof![3 => 0..10_000_000_000i64, 1 => any::<i64>(), 1 => Just(0), 1 => Just(-1)];
    nanos.prop_map(|nanos| Duration { seconds: nanos / BILLION, nanos: (nanos % BILLION) as i32 })
}

/// One of few, so that references meet spans; zeros among them.
fn trace_id() -> impl Strategy<Value = Bytes> {
    (0..3u8).prop_map(|id| Bytes::copy_from_slice(&u128::from(id).to_be_bytes()))
}

fn span_id() -> impl Strategy<Value = Bytes> {
    (0..4u8).prop_map(|id| Bytes::copy_from_slice(&u64::from(id).to_be_bytes()))
}

fn reference() -> impl Strategy<Value = SpanRef> {
    let ref_type = prop_oneof![8 => 0..2i32, 1 => any::<i32>()];
    (trace_id(), span_id(), ref_type).prop_map(|(trace_id, span_id, ref_type)| SpanRef {
        trace_id,
        span_id,
        ref_type,
    })
}

fn log() -> impl Strategy<Value = Log> {
    (time(), tags()).prop_map(|(time, fields)| Log { timestamp: Some(time), fields })
}

pub(crate) fn process() -> impl Strategy<Value = Process> {
    (text(), tags()).prop_map(|(service_name, tags)| Process { service_name, tags })
}

pub(crate) fn any_span() -> impl Strategy<Value = Span> {
    let ids = (trace_id(), span_id(), vec(reference(), 0..4));
    let what = (text(), any::<u32>(), time(), any_duration(), tags());
    let more = (vec(log(), 0..3), option::of(process()), text(), vec(text(), 0..3));
    (ids, what, more).prop_map(|((trace_id, span_id, references), what, more)| {
        let (operation_name, flags, start, duration, tags) = what;
        let (logs, process, process_id, warnings) = more;
        Span {
            trace_id,
            span_id,
            operation_name,
            references,
            flags,
            start_time: Some(start),
            duration: Some(duration),
            tags,
            logs,
            process,
            process_id,
            warnings,
        }
    })
}

/// The records that a request of these spans becomes.
pub(crate) fn records(spans: &[Span]) -> Vec<model::Span> {
    let request = Bytes::from(request(spans).unwrap());
    let scanned = otlp::scan(&request, &Limits::default()).unwrap();
    assert_eq!((scanned.accepted as usize, scanned.rejected), (spans.len(), 0), "{scanned:?}");
    otlp::spans(&request, &Limits::default()).unwrap()
}

/// What Jaeger does not tell apart: no process and one that says nothing.
fn with_process(span: &Span) -> Span {
    Span { process: Some(span.process.clone().unwrap_or_default()), ..span.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_jaeger_writes_it_reads(sent in any_span()) {
        let records = records(std::slice::from_ref(&sent));
        prop_assert_eq!(records.len(), 1);
        prop_assert_eq!(span(&records[0]).encode_to_vec(), with_process(&sent).encode_to_vec());
    }
}
