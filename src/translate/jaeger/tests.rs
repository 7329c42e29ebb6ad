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
use crate::translate::documented::assert_documented;

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

/// A tag that some field of OTLP may say.
fn telling_tag() -> impl Strategy<Value = KeyValue> {
    let word = |key: &'static str, word: &'static str| KeyValue {
        key: key.into(),
        v_str: word.into(),
        ..KeyValue::default()
    };
    let number =
        |key: &'static str, v_int64| KeyValue { key: key.into(), v_type: 2, v_int64, ..KeyValue::default() };
    let error = |v_bool| KeyValue { key: "error".into(), v_type: 1, v_bool, ..KeyValue::default() };
    select(vec![
        word("span.kind", "server"),
        word("span.kind", "client"),
        word("span.kind", "client"),
        word("span.kind", "Server"),
        error(true),
        error(false),
        word("error", "true"),
        word("otel.status_code", "ok"),
        word("otel.status_code", "ERROR"),
        word("otel.status_code", "Unset"),
        word("otel.status_code", "good"),
        word("otel.status_description", "refused"),
        word("http.status_message", "not found"),
        word("http.status_code", "503"),
        word("http.status_code", "404"),
        number("http.status_code", 404),
        number("http.status_code", 200),
        number("http.response.status_code", 500),
        number("http.response.status_code", 404),
        word("w3c.tracestate", "a=b"),
        word("otel.scope.name", "lib"),
        word("otel.scope.version", "1"),
        word("otel.library.name", "old"),
        word("otel.library.version", "0"),
        word("event", "retry"),
    ])
}

fn any_tag() -> impl Strategy<Value = KeyValue> {
    let value = prop_oneof![
        text().prop_map(|v_str| KeyValue { v_str, ..KeyValue::default() }),
        any::<bool>().prop_map(|v_bool| KeyValue { v_type: 1, v_bool, ..KeyValue::default() }),
        any::<i64>().prop_map(|v_int64| KeyValue { v_type: 2, v_int64, ..KeyValue::default() }),
        any::<u64>().prop_map(|v_float64| KeyValue { v_type: 3, v_float64, ..KeyValue::default() }),
        Just(KeyValue { v_type: 3, v_float64: (-0.0f64).to_bits(), ..KeyValue::default() }),
        vec(any::<u8>(), 0..8).prop_map(|bytes| KeyValue {
            v_type: 4,
            v_binary: bytes.into(),
            ..KeyValue::default()
        }),
    ];
    (key(), value).prop_map(|(key, value)| KeyValue { key, ..value })
}

fn tag() -> impl Strategy<Value = KeyValue> {
    prop_oneof![any_tag(), telling_tag()]
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

fn process() -> impl Strategy<Value = Process> {
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

fn is_cut(sent: &Span, max_bytes: usize) -> Span {
    let cut = fitted(sent.clone(), max_bytes);
    assert!(cut.encoded_len() <= max_bytes.max(fit::LEAST_BYTES), "{} of {max_bytes}", cut.encoded_len());
    if sent.encoded_len() > max_bytes.max(fit::LEAST_BYTES) {
        assert!(cut.warnings.last().unwrap().starts_with(b"the span of "), "{cut:?}");
    } else {
        assert_eq!(cut.encode_to_vec(), sent.encode_to_vec());
    }
    cut
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_span_of_any_size_fits(
        sent in any_span(),
        [text, lists] in [1..500usize, 1..200],
        max_bytes in 0..50_000usize,
    ) {
        let mut sent = sent;
        let mut process = sent.process.take().unwrap_or_default();
        let fields = sent.logs.iter_mut().flat_map(|log| &mut log.fields);
        let tags = sent.tags.iter_mut().chain(&mut process.tags).chain(fields);
        tags.for_each(|tag| tag.v_str = tag.v_str.repeat(text).into());
        sent.operation_name = sent.operation_name.repeat(text).into();
        sent.tags = vec![std::mem::take(&mut sent.tags); lists].concat();
        sent.logs = vec![std::mem::take(&mut sent.logs); lists].concat();
        sent.references = vec![std::mem::take(&mut sent.references); lists].concat();
        sent.warnings = vec![std::mem::take(&mut sent.warnings); lists].concat();
        process.tags = vec![std::mem::take(&mut process.tags); lists].concat();
        sent.process = Some(process);
        let cut = is_cut(&sent, max_bytes);
        prop_assert!(request(&[cut]).is_ok());
    }
}

/// What the shapes of an adjusted trace take, but for the ends of lists that grew.
fn taken(trace: &[model::Span]) -> usize {
    use crate::translate::jaeger_json::{self, Log, Process, Reference, Tag, Value};

    let copied = |text: &std::borrow::Cow<'_, str>| match text {
        std::borrow::Cow::Borrowed(_) => 0,
        std::borrow::Cow::Owned(text) => text.len(),
    };
    let tags = |tags: &[Tag<'_>]| -> usize {
        let text = |tag: &Tag<'_>| if let Value::String(text) = &tag.value { copied(text) } else { 0 };
        tags.iter().map(|tag| size_of::<Tag<'_>>() + copied(&tag.key) + text(tag)).sum()
    };
    let shapes = jaeger_json::trace(trace, jaeger_json::View::Adjusted);
    let spans = shapes.spans.iter().map(|span| {
        let logs = span.logs.iter().map(|log| size_of::<Log<'_>>() + tags(&log.fields)).sum::<usize>();
        let references = span.references.len() * size_of::<Reference>();
        size_of::<jaeger_json::Span<'_>>() + tags(&span.tags) + logs + references
    });
    let processes = shapes.processes.iter().map(|process| size_of::<Process<'_>>() + tags(&process.tags));
    spans.sum::<usize>() + processes.sum::<usize>()
}

#[test]
fn what_a_trace_takes_adjusted_is_told_before_it_is() {
    let numbers = |count: i64| -> Vec<KeyValue> {
        let tag = |v_int64| KeyValue { key: "k".into(), v_type: 2, v_int64, ..KeyValue::default() };
        (0..count).map(tag).collect()
    };
    let text = KeyValue { key: "text".into(), v_str: "x".repeat(100_000).into(), ..KeyValue::default() };
    let log = Log { timestamp: None, fields: numbers(5) };
    let other = SpanRef { trace_id: vec![1; 16].into(), span_id: vec![1; 8].into(), ref_type: 1 };
    let cases = [
        Span { tags: numbers(5_000), ..Span::default() },
        Span { tags: vec![text], ..Span::default() },
        Span { logs: vec![log; 1_000], ..Span::default() },
        Span { references: vec![other; 1_000], ..Span::default() },
        Span { process: Some(Process { tags: numbers(5_000), ..Process::default() }), ..Span::default() },
    ];
    for (place, sent) in cases.into_iter().enumerate() {
        for origin in [Origin::Jaeger, Origin::Otlp] {
            let mut records = records(std::slice::from_ref(&sent));
            records[0].origin = origin;
            let told = adjusted_bytes(&records[0]) + adjusted_process_bytes(&records[0].resource, origin);
            let taken = taken(&records);
            assert!(taken <= told && told < 2 * taken + 1_000, "{place}, {origin:?}: {told} of {taken}");
        }
    }
}

#[test]
fn the_largest_values_are_cut_first() {
    let tag = |key: &'static str, length| KeyValue {
        key: key.into(),
        v_str: "x".repeat(length).into(),
        ..KeyValue::default()
    };
    let tags = vec![tag("large", 4_000_000), tag("small", 1_000), tag("larger", 5_000_000)];
    let cut = is_cut(&Span { tags, ..Span::default() }, 3_000_000);
    let lengths: Vec<_> = cut.tags.iter().map(|tag| tag.v_str.len()).collect();
    assert_eq!((lengths[0], lengths[1]), (lengths[2], 1_000));
    assert!(cut.encoded_len() > 2_999_000);
    let warning = String::from_utf8(cut.warnings[0].to_vec()).unwrap();
    let expected = format!("values cut to {} bytes: 2; it is stored whole", lengths[0]);
    assert!(warning.ends_with(&expected), "{warning}");
}

#[test]
fn of_many_small_things_the_last_go_logs_before_tags() {
    let tag = |number: i64| KeyValue { key: "k".into(), v_type: 2, v_int64: number, ..KeyValue::default() };
    let log = Log { timestamp: None, fields: (0..10).map(tag).collect() };
    let sent = Span { tags: (1..=10_000).map(tag).collect(), logs: vec![log; 10_000], ..Span::default() };
    let cut = is_cut(&sent, 200_000);
    assert_eq!(cut.tags, sent.tags);
    assert!((1..10_000).contains(&cut.logs.len()));
    let cut = is_cut(&sent, 50_000);
    assert!(cut.logs.is_empty() && sent.tags.starts_with(&cut.tags) && cut.tags.len() > 1_000);
    let warning = String::from_utf8(cut.warnings[0].to_vec()).unwrap();
    let expected = format!("logs left out: 10000; tags left out: {};", 10_000 - cut.tags.len());
    assert!(warning.contains(&expected), "{warning}");
}

#[test]
fn what_go_would_refuse_is_refused_by_name() {
    let ids = |trace: &'static [u8], span: &'static [u8]| Span {
        trace_id: trace.into(),
        span_id: span.into(),
        ..Span::default()
    };
    let refers = |trace_id: &'static [u8], span_id: &'static [u8]| {
        let reference = SpanRef { trace_id: trace_id.into(), span_id: span_id.into(), ref_type: 0 };
        Span { references: vec![reference], ..Span::default() }
    };
    let starts = |seconds, nanos| Span { start_time: Some(Timestamp { seconds, nanos }), ..Span::default() };
    let lasts = |seconds, nanos| Span { duration: Some(Duration { seconds, nanos }), ..Span::default() };
    let logs = |seconds, nanos| {
        let log = Log { timestamp: Some(Timestamp { seconds, nanos }), fields: Vec::new() };
        Span { logs: vec![log], ..Span::default() }
    };
    let refused = [
        (ids(&[1; 7], &[]), "trace id of 7 bytes, an id of 16 or 8 bytes was expected"),
        (ids(&[1; 17], &[]), "trace id of 17 bytes"),
        (ids(&[], &[1; 16]), "span id of 16 bytes, an id of 8 bytes was expected"),
        (refers(&[1; 15], &[]), "trace id of a reference of 15 bytes"),
        (refers(&[], &[1; 9]), "span id of a reference of 9 bytes"),
        (starts(YEAR_1 - 1, 0), "start time of -62135596801 seconds and 0 nanoseconds since 1970"),
        (starts(253_402_300_800, 0), "start time of 253402300800"),
        (starts(0, -1), "start time of 0 seconds and -1 nanoseconds"),
        (starts(0, 1_000_000_000), "start time of 0 seconds and 1000000000"),
        (logs(0, -1), "time of a log of 0 seconds and -1 nanoseconds"),
        (lasts(1, -1), "duration of 1 seconds and -1 nanoseconds"),
        (lasts(-1, 1), "duration of -1 seconds and 1 nanoseconds"),
        (lasts(0, 1_000_000_000), "duration of 0 seconds and 1000000000"),
        (lasts(i64::MAX / BILLION, 854_775_808), "duration of 9223372036 seconds and 854775808"),
        (lasts(i64::MIN, 0), "duration of -9223372036854775808"),
    ];
    for (span, expected) in refused {
        let error = request(&[span]).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let taken =
        [starts(YEAR_1, 0), starts(253_402_300_799, 999_999_999), lasts(i64::MAX / BILLION, 854_775_807)];
    for span in taken {
        records(&[span]);
    }
}

#[test]
fn what_is_absent_is_given_back_as_go_reads_it() {
    let short = Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8]);
    let long = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let parent = SpanRef { trace_id: long.clone(), span_id: short.clone(), ref_type: 0 };
    let sent = Span { trace_id: short.clone(), references: vec![parent.clone()], ..Span::default() };
    let record = records(&[sent]).remove(0);
    assert_eq!(record.parent_id.unwrap().0, short[..]);
    let expected = Span {
        trace_id: long,
        span_id: Bytes::from_static(&[0; 8]),
        references: vec![parent],
        start_time: Some(Timestamp { seconds: YEAR_1, nanos: 0 }),
        duration: Some(Duration::default()),
        process: Some(Process::default()),
        ..Span::default()
    };
    assert_eq!(span(&record), expected);
}

#[test]
fn spans_of_one_process_share_a_resource() {
    let of = |name: Option<&'static str>| Span {
        process: name.map(|name| Process { service_name: name.into(), tags: Vec::new() }),
        ..Span::default()
    };
    let sent = ["a", "b", "a", ""].map(|name| of(Some(name)));
    let records = records(&[&sent[..], &[of(None)]].concat());
    let services: Vec<_> = records.iter().map(|record| record.resource.service.as_str()).collect();
    assert_eq!(services, ["a", "a", "b", "", ""]);
    assert!(std::sync::Arc::ptr_eq(&records[0].resource, &records[1].resource));
    assert!(records[4].resource.bytes.is_empty() && !records[3].resource.bytes.is_empty());
}

#[test]
fn a_process_that_is_too_large_costs_only_the_spans_that_have_it() {
    let of = |tags, length| Process {
        service_name: vec![b'a'; length].into(),
        tags: vec![KeyValue::default(); tags],
    };
    let span = |process| Span { process, ..Span::default() };
    for process in [of(0, otlp::MAX_ENCLOSING_BYTES), of(otlp::MAX_VALUES, 0)] {
        let spans = vec![span(Some(process.clone())), span(None), span(Some(of(0, 4)))];
        let of_a_span = batch(&api_v2::Batch { spans: spans.clone(), process: None });
        assert_eq!((of_a_span.spans, of_a_span.left_out), (2, 1));
        assert!(matches!(of_a_span.first, Some(Error::Process { .. })), "{:?}", of_a_span.first);
        let scanned = otlp::scan(&of_a_span.request, &Limits::default());
        assert!(scanned.is_ok());
        let of_all = batch(&api_v2::Batch { spans, process: Some(process) });
        assert_eq!((of_all.spans, of_all.left_out), (1, 2));
    }
    let largest = of(otlp::MAX_VALUES - 1, 4);
    assert_eq!(batch(&api_v2::Batch { spans: vec![span(Some(largest))], process: None }).spans, 1);
}

#[test]
fn the_kept_form_is_the_documented_one() {
    let id = |id: u8| Bytes::from(vec![0, 0, 0, 0, 0, 0, 0, id]);
    let text = |key: &'static str, text: &'static str| KeyValue {
        key: key.into(),
        v_str: text.into(),
        ..KeyValue::default()
    };
    let process = Process { service_name: "cart".into(), tags: vec![text("hostname", "h1")] };
    let sent = Span {
        trace_id: id(7),
        span_id: id(2),
        operation_name: "pay".into(),
        references: vec![SpanRef { trace_id: id(7), span_id: id(1), ref_type: 0 }],
        flags: 3,
        start_time: Some(Timestamp { seconds: -1, nanos: 500_000_000 }),
        duration: Some(Duration { seconds: 0, nanos: -5 }),
        tags: vec![text("span.kind", "server"), text("@jaeger@format", "x")],
        logs: vec![Log { timestamp: None, fields: vec![text("event", "retry")] }],
        process: Some(process),
        process_id: "p1".into(),
        warnings: vec!["late".into()],
    };
    assert_documented(&request(&[sent]).unwrap(), "### A Jaeger span, byte by byte");
}
