//! Batches by hand, and every batch that a client can say, written by thrift's own crate.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::translate::thrift::written::{Value, any_value, fields, with_unknown_fields};

const PROTOCOLS: [Protocol; 2] = [Protocol::Compact, Protocol::Binary];

/// A batch whose spans, as thrift has them, are these structs.
fn batch_of(spans: impl IntoIterator<Item = Vec<(i16, Value)>>) -> Value {
    let process = Value::Struct(vec![(1, Value::text("cart"))]);
    Value::Struct(vec![(1, process), (2, Value::structs(spans))])
}

/// A span that has what it must have and nothing else.
fn bare_span() -> Vec<(i16, Value)> {
    vec![
        (1, Value::I64(0x0102_0304_0506_0708)),
        (2, Value::I64(-2)),
        (3, Value::I64(9)),
        (4, Value::I64(0)),
        (5, Value::text("GET /")),
        (7, Value::I32(1)),
        (8, Value::I64(1_700_000_000_000_001)),
        (9, Value::I64(12)),
    ]
}

fn bare_tag() -> Vec<(i16, Value)> {
    vec![(1, Value::text("key")), (2, Value::I32(0)), (3, Value::text("value"))]
}

fn with(mut fields: Vec<(i16, Value)>, id: i16, value: Value) -> Vec<(i16, Value)> {
    fields.retain(|(other, _)| *other != id);
    fields.push((id, value));
    fields
}

fn without(mut fields: Vec<(i16, Value)>, id: i16) -> Vec<(i16, Value)> {
    fields.retain(|(other, _)| *other != id);
    fields
}

fn read(value: &Value) -> Emitted {
    let [compact, binary] = PROTOCOLS.map(|protocol| batch(protocol, &value.bytes(protocol)).unwrap());
    assert_eq!(compact, binary);
    compact
}

fn only_span(span: Vec<(i16, Value)>) -> Span {
    let mut emitted = read(&batch_of([span]));
    assert_eq!((emitted.batch.spans.len(), emitted.left_out), (1, 0));
    emitted.batch.spans.remove(0)
}

fn reference_to(ref_type: i32, low: i64, span_id: i64) -> Vec<(i16, Value)> {
    let (high, low, span_id) = (Value::I64(-2), Value::I64(low), Value::I64(span_id));
    vec![(1, Value::I32(ref_type)), (2, low), (3, high), (4, span_id)]
}

/// What `bare_span` is.
fn expected_span() -> Span {
    let trace_id = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8];
    Span {
        trace_id: Bytes::copy_from_slice(&trace_id),
        span_id: Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 9]),
        operation_name: "GET /".into(),
        flags: 1,
        start_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 1_000 }),
        duration: Some(Duration { seconds: 0, nanos: 12_000 }),
        ..Span::default()
    }
}

#[test]
fn a_compact_batch_by_hand() {
    let bytes: &[u8] = &[
        0x1c, // 1: process
        0x18, 4, b'c', b'a', b'r', b't', // 1: serviceName
        0x00, //
        0x19, 0x1c, // 2: spans, one struct
        0x16, 0x02, // 1: traceIdLow 1
        0x16, 0x03, // 2: traceIdHigh −2
        0x16, 0x10, // 3: spanId 8
        0x16, 0x00, // 4: parentSpanId
        0x18, 1, b'a', // 5: operationName
        0x25, 0x02, // 7: flags 1
        0x16, 0xd0, 0x0f, // 8: startTime 1 000 µs
        0x16, 0x01, // 9: duration −1 µs
        0x19, 0x2c, // 10: tags, two structs
        0x18, 1, b'b', 0x15, 0x04, 0x31, 0x00, // key b, vType BOOL 2, vBool true
        0x18, 1, b'd', 0x15, 0x02, 0x27, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x00, // key d, DOUBLE 1, 1.5
        0x00, //
        0x16, 0x0e, // 3: seqNo 7
        0x1c, 0x16, 0x02, 0x16, 0x04, 0x16, 0x06, 0x00, // 4: stats 1, 2, 3
        0x00,
    ];
    let emitted = batch(Protocol::Compact, &Bytes::from_static(bytes)).unwrap();
    let tag = |key: &'static str, v_type: ValueType| KeyValue {
        key: key.into(),
        v_type: v_type.into(),
        ..KeyValue::default()
    };
    let span = Span {
        trace_id: Bytes::copy_from_slice(&((u128::MAX << 64 | 1) - (1 << 64)).to_be_bytes()),
        span_id: Bytes::copy_from_slice(&8u64.to_be_bytes()),
        operation_name: "a".into(),
        flags: 1,
        start_time: Some(Timestamp { seconds: 0, nanos: 1_000_000 }),
        duration: Some(Duration { seconds: 0, nanos: -1_000 }),
        tags: vec![
            KeyValue { v_bool: true, ..tag("b", ValueType::Bool) },
            KeyValue { v_float64: 1.5f64.to_bits(), ..tag("d", ValueType::Float64) },
        ],
        ..Span::default()
    };
    let process = Process { service_name: "cart".into(), tags: Vec::new() };
    let expected = Emitted {
        batch: Batch { spans: vec![span], process: Some(process) },
        left_out: 0,
        sequence: Some(7),
        losses: Some(ClientLosses { full_queue: 1, too_large: 2, failed: 3 }),
    };
    assert_eq!(emitted, expected);
}

#[test]
fn a_binary_batch_by_hand() {
    let bytes: &[u8] = &[
        12, 0, 1, // process
        11, 0, 1, 0, 0, 0, 4, b'c', b'a', b'r', b't', // serviceName
        0,    //
        15, 0, 2, 12, 0, 0, 0, 1, // spans, one struct
        10, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, // traceIdLow
        10, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, // traceIdHigh
        10, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, // spanId
        10, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, // parentSpanId
        11, 0, 5, 0, 0, 0, 5, b'G', b'E', b'T', b' ', b'/', // operationName
        8, 0, 7, 0, 0, 0, 1, // flags
        10, 0, 8, 0x00, 0x06, 0x0a, 0x24, 0x18, 0x1e, 0x40, 0x01, // startTime
        10, 0, 9, 0, 0, 0, 0, 0, 0, 0, 12, // duration
        0, 0,
    ];
    let emitted = batch(Protocol::Binary, &Bytes::from_static(bytes)).unwrap();
    assert_eq!(emitted.batch.spans, [expected_span()]);
    assert_eq!(emitted.batch.process.unwrap().service_name, "cart");
    assert_eq!((emitted.sequence, emitted.losses), (None, None));
}

#[test]
fn a_parent_is_the_first_reference_unless_one_says_it() {
    let low = 0x0102_0304_0506_0708;
    let types = |references: Vec<Vec<(i16, Value)>>| {
        let span = with(with(bare_span(), 4, Value::I64(5)), 6, Value::structs(references));
        let references = only_span(span).references;
        references.iter().map(|found| (found.ref_type, found.span_id[7])).collect::<Vec<_>>()
    };
    assert_eq!(types(vec![]), [(0, 5)]);
    assert_eq!(types(vec![reference_to(1, low, 6)]), [(0, 5), (1, 6)]);
    // Said already, in whatever place and as whatever type.
    assert_eq!(types(vec![reference_to(1, low, 6), reference_to(0, low, 5)]), [(1, 6), (0, 5)]);
    assert_eq!(types(vec![reference_to(1, low, 5)]), [(1, 5)]);
    // The same span id in another trace is another span.
    assert_eq!(types(vec![reference_to(0, 1, 5)]), [(0, 5), (0, 5)]);
    let parent = &only_span(with(bare_span(), 4, Value::I64(5))).references[0];
    assert_eq!(parent.trace_id, expected_span().trace_id);
    assert_eq!(only_span(bare_span()).references, []);
}

#[test]
fn times_are_microseconds_of_either_sign() {
    let times = [
        (0, (0, 0), (0, 0)),
        (1_500_000, (1, 500_000_000), (1, 500_000_000)),
        (-1, (-1, 999_999_000), (0, -1_000)),
        (-1_500_000, (-2, 500_000_000), (-1, -500_000_000)),
        (i64::MAX, (9_223_372_036_854, 775_807_000), (9_223_372_036_854, 775_807_000)),
        (i64::MIN, (-9_223_372_036_855, 224_192_000), (-9_223_372_036_854, -775_808_000)),
    ];
    for (micros, start, duration) in times {
        let span = only_span(with(with(bare_span(), 8, Value::I64(micros)), 9, Value::I64(micros)));
        let (start_time, lasted) = (span.start_time.unwrap(), span.duration.unwrap());
        assert_eq!((start_time.seconds, start_time.nanos), start, "{micros}");
        assert_eq!((lasted.seconds, lasted.nanos), duration, "{micros}");
    }
}

#[test]
fn the_types_of_tags_are_numbered_otherwise() {
    let everything = [
        (3, Value::text("s")),
        (4, Value::Double(-0.0)),
        (5, Value::Bool(true)),
        (6, Value::I64(-3)),
        (7, Value::Bytes(vec![0xff])),
    ];
    let of = |tag_type: i32| {
        let mut tag = vec![(1, Value::text("k")), (2, Value::I32(tag_type))];
        tag.extend(everything.clone());
        only_span(with(bare_span(), 10, Value::structs([tag]))).tags.remove(0)
    };
    let tag = |v_type: ValueType| KeyValue { key: "k".into(), v_type: v_type.into(), ..KeyValue::default() };
    assert_eq!(of(0), KeyValue { v_str: "s".into(), ..tag(ValueType::String) });
    assert_eq!(of(1), KeyValue { v_float64: (-0.0f64).to_bits(), ..tag(ValueType::Float64) });
    assert_eq!(of(2), KeyValue { v_bool: true, ..tag(ValueType::Bool) });
    assert_eq!(of(3), KeyValue { v_int64: -3, ..tag(ValueType::Int64) });
    assert_eq!(of(4), KeyValue { v_binary: Bytes::from_static(&[0xff]), ..tag(ValueType::Binary) });
    let other = vec![(1, Value::text("k")), (2, Value::I32(0)), (6, Value::I64(3))];
    let span = only_span(with(bare_span(), 10, Value::structs([other])));
    assert_eq!(span.tags, [tag(ValueType::String)], "a value of another type than the tag's is none");
    assert_eq!(of(9), KeyValue { v_str: "s".into(), ..tag(ValueType::String) });
}

#[test]
fn text_that_is_not_utf8_is_kept_as_it_is() {
    let tag = vec![(1, Value::Bytes(vec![b'k', 0xff])), (2, Value::I32(0)), (3, Value::Bytes(vec![0xc3]))];
    let span = with(with(bare_span(), 5, Value::Bytes(vec![0x80])), 10, Value::structs([tag]));
    let span = only_span(span);
    assert_eq!((&span.operation_name[..], &span.tags[0].key[..]), (&[0x80][..], &[b'k', 0xff][..]));
    assert_eq!(span.tags[0].v_str[..], [0xc3]);
}

#[test]
fn a_span_that_lacks_something_is_left_out_alone() {
    let log = |fields: Vec<(i16, Value)>| Value::structs([fields]);
    let tags = |tag: Vec<(i16, Value)>| Value::structs([bare_tag(), tag]);
    let whole_log = vec![(1, Value::I64(5)), (2, Value::structs([bare_tag()]))];
    let mut lacking: Vec<_> = [1, 2, 3, 4, 5, 7, 8, 9].map(|id| without(bare_span(), id)).to_vec();
    lacking.extend([1, 2].map(|id| with(bare_span(), 10, tags(without(bare_tag(), id)))));
    lacking.extend([1, 2].map(|id| with(bare_span(), 11, log(without(whole_log.clone(), id)))));
    lacking.push(with(bare_span(), 11, log(with(whole_log, 2, tags(without(bare_tag(), 1))))));
    lacking.extend(
        [1, 2, 3, 4].map(|id| with(bare_span(), 6, Value::structs([without(reference_to(0, 1, 5), id)]))),
    );
    // A field of another type than its own is not that field.
    lacking.push(with(bare_span(), 5, Value::I64(1)));
    for span in lacking {
        let emitted = read(&batch_of([bare_span(), span.clone(), bare_span()]));
        assert_eq!(emitted.left_out, 1, "{span:?}");
        assert_eq!(emitted.batch.spans, [expected_span(), expected_span()]);
    }
}

#[test]
fn a_batch_may_lack_its_process_but_not_its_spans() {
    let spans = Value::structs([bare_span()]);
    let emitted = read(&Value::Struct(vec![(2, spans)]));
    assert_eq!((emitted.batch.process, emitted.batch.spans.len()), (None, 1));
    let nameless = Value::Struct(vec![(2, Value::structs([bare_tag(), without(bare_tag(), 2)]))]);
    let emitted = read(&Value::Struct(vec![(1, nameless.clone()), (2, Value::structs([]))]));
    let process = emitted.batch.process.unwrap();
    assert_eq!((process.service_name.len(), process.tags.len()), (0, 1));
    for protocol in PROTOCOLS {
        for spanless in [Value::Struct(vec![]), Value::Struct(vec![(1, nameless.clone())])] {
            let error = batch(protocol, &spanless.bytes(protocol)).unwrap_err();
            assert_eq!(error.to_string(), "a batch without a list of spans at byte 0");
        }
    }
}

#[test]
fn spans_become_a_request_with_the_process_of_their_batch() {
    let mut emitted = read(&batch_of([bare_span(), with(bare_span(), 8, Value::I64(i64::MAX))]));
    let batched = crate::translate::jaeger::batch(&emitted.batch);
    assert_eq!((batched.spans, batched.left_out), (1, 1));
    let records = crate::otlp::spans(&batched.request.into(), &crate::otlp::Limits::default()).unwrap();
    let span = crate::translate::jaeger::span(&records[0]);
    let process = emitted.batch.process.take();
    assert_eq!(span, Span { process, ..expected_span() });
}

#[test]
fn batches_of_many_small_things_take_what_they_need() {
    let tags = vec![bare_tag(); 5_000];
    let emitted = read(&batch_of([with(bare_span(), 10, Value::structs(tags))]));
    assert_eq!(emitted.batch.spans[0].tags.len(), 5_000);
    let emitted = read(&batch_of(vec![bare_span(); 2_000]));
    assert!(emitted.batch.spans.iter().all(|span| *span == expected_span()));
}

/// What a client says: a batch in the words of protobuf, and of each span whether its first reference is told as its
/// parent alone, as both, or as a reference only.
#[derive(Debug, Clone)]
struct Said {
    emitted: Emitted,
    parents: Vec<Parent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    Alone,
    AsWell,
    No,
}

fn text() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => "[a-z./]{0,20}".prop_map(Bytes::from),
        1 => vec(any::<u8>(), 0..140).prop_map(Bytes::from),
    ]
}

fn any_tag() -> impl Strategy<Value = KeyValue> {
    let value = prop_oneof![
        text().prop_map(|v_str| KeyValue { v_str, ..KeyValue::default() }),
        any::<bool>().prop_map(|v_bool| KeyValue { v_type: 1, v_bool, ..KeyValue::default() }),
        any::<i64>().prop_map(|v_int64| KeyValue { v_type: 2, v_int64, ..KeyValue::default() }),
        any::<f64>().prop_map(|value| KeyValue {
            v_type: 3,
            v_float64: value.to_bits(),
            ..KeyValue::default()
        }),
        text().prop_map(|v_binary| KeyValue { v_type: 4, v_binary, ..KeyValue::default() }),
    ];
    (text(), value).prop_map(|(key, value)| KeyValue { key, ..value })
}

fn any_tags() -> impl Strategy<Value = Vec<KeyValue>> {
    prop_oneof![4 => vec(any_tag(), 0..3), 1 => vec(any_tag(), 14..18)]
}

fn id<const N: usize>() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        any::<[u8; N]>().prop_map(|id| Bytes::copy_from_slice(&id)),
        (1u8..4).prop_map(|last| Bytes::copy_from_slice(&[&[0; N][1..], &[last]].concat())),
    ]
}

fn any_reference() -> impl Strategy<Value = SpanRef> {
    (id::<16>(), id::<8>(), prop_oneof![4 => 0..2, 1 => any::<i32>()])
        .prop_map(|(trace_id, span_id, ref_type)| SpanRef { trace_id, span_id, ref_type })
}

fn any_span() -> impl Strategy<Value = (Span, Parent)> {
    let ids = (id::<16>(), id::<8>(), vec(any_reference(), 0..3));
    let times = (any::<i64>(), any::<i64>());
    let log = (any::<i64>(), any_tags())
        .prop_map(|(time, fields)| Log { timestamp: Some(timestamp(time)), fields });
    let parent = (id::<8>(), select(vec![Parent::Alone, Parent::AsWell, Parent::No]));
    (ids, text(), any::<u32>(), times, any_tags(), vec(log, 0..3), parent).prop_map(
        |((trace_id, span_id, mut references), operation_name, flags, times, tags, logs, (own, parent))| {
            if parent != Parent::No && own[..] != [0; 8] {
                references.retain(|other| (&other.trace_id, &other.span_id) != (&trace_id, &own));
                references.insert(0, SpanRef { trace_id: trace_id.clone(), span_id: own, ref_type: 0 });
            }
            let span = Span {
                trace_id,
                span_id,
                operation_name,
                references,
                flags,
                start_time: Some(timestamp(times.0)),
                duration: Some(duration(times.1)),
                tags,
                logs,
                ..Span::default()
            };
            (span, parent)
        },
    )
}

fn any_batch() -> impl Strategy<Value = Said> {
    let process = (text(), any_tags()).prop_map(|(service_name, tags)| Process { service_name, tags });
    let losses = (any::<i64>(), any::<i64>(), any::<i64>())
        .prop_map(|(full_queue, too_large, failed)| ClientLosses { full_queue, too_large, failed });
    (process, vec(any_span(), 0..3), option::of(any::<i64>()), option::of(losses)).prop_map(
        |(process, spans, sequence, losses)| {
            let (spans, parents) = spans.into_iter().unzip();
            let batch = Batch { spans, process: Some(process) };
            Said { emitted: Emitted { batch, left_out: 0, sequence, losses }, parents }
        },
    )
}

/// The same in thrift's words, written down from `jaeger.thrift` again.
impl Said {
    fn thrift(&self) -> Value {
        let Emitted { batch, sequence, losses, .. } = &self.emitted;
        let spans = batch.spans.iter().zip(&self.parents).map(|(span, parent)| said_span(span, *parent));
        let process = batch.process.as_ref().unwrap();
        let tags = Value::structs(process.tags.iter().map(said_tag));
        let losses = losses.map(|losses| {
            let numbers = [(1, losses.full_queue), (2, losses.too_large), (3, losses.failed)];
            Value::Struct(numbers.map(|(id, number)| (id, Value::I64(number))).to_vec())
        });
        Value::Struct(fields([
            Some((1, Value::Struct(vec![(1, Value::text(&process.service_name)), (2, tags)]))),
            Some((2, Value::structs(spans))),
            sequence.map(|number| (3, Value::I64(number))),
            losses.map(|losses| (4, losses)),
        ]))
    }
}

fn number(id: &[u8]) -> Value {
    Value::I64(i64::from_be_bytes(id.try_into().unwrap()))
}

fn said_span(span: &Span, parent: Parent) -> Vec<(i16, Value)> {
    let has_parent = parent != Parent::No
        && span
            .references
            .first()
            .is_some_and(|first| first.trace_id == span.trace_id && first.ref_type == 0);
    let told = &span.references[usize::from(has_parent && parent == Parent::Alone)..];
    let references = told.iter().map(|reference| {
        vec![
            (1, Value::I32(reference.ref_type)),
            (2, number(&reference.trace_id[8..])),
            (3, number(&reference.trace_id[..8])),
            (4, number(&reference.span_id)),
        ]
    });
    let logs = span.logs.iter().map(|log| {
        let time = log.timestamp.as_ref().unwrap();
        vec![(1, micros(time.seconds, time.nanos)), (2, Value::structs(log.fields.iter().map(said_tag)))]
    });
    let (start, lasted) = (span.start_time.as_ref().unwrap(), span.duration.as_ref().unwrap());
    fields([
        Some((1, number(&span.trace_id[8..]))),
        Some((2, number(&span.trace_id[..8]))),
        Some((3, number(&span.span_id))),
        Some((4, if has_parent { number(&span.references[0].span_id) } else { Value::I64(0) })),
        Some((5, Value::text(&span.operation_name))),
        (!told.is_empty()).then(|| (6, Value::structs(references))),
        Some((7, Value::I32(span.flags as i32))),
        Some((8, micros(start.seconds, start.nanos))),
        Some((9, micros(lasted.seconds, lasted.nanos))),
        Some((10, Value::structs(span.tags.iter().map(said_tag)))),
        Some((11, Value::structs(logs))),
    ])
}

fn micros(seconds: i64, nanos: i32) -> Value {
    let micros = i128::from(seconds) * 1_000_000 + i128::from(nanos / 1_000);
    Value::I64(micros.try_into().unwrap())
}

fn said_tag(tag: &KeyValue) -> Vec<(i16, Value)> {
    let (tag_type, value) = match tag.v_type() {
        ValueType::String => (0, (3, Value::text(&tag.v_str))),
        ValueType::Float64 => (1, (4, Value::Double(f64::from_bits(tag.v_float64)))),
        ValueType::Bool => (2, (5, Value::Bool(tag.v_bool))),
        ValueType::Int64 => (3, (6, Value::I64(tag.v_int64))),
        ValueType::Binary => (4, (7, Value::text(&tag.v_binary))),
    };
    vec![(1, Value::text(&tag.key)), (2, Value::I32(tag_type)), value]
}

proptest! {
    #[test]
    fn every_batch_is_read_as_it_was_said(
        said in any_batch(),
        unknown in vec((any::<usize>(), any_value(1)), 0..3),
    ) {
        let value = with_unknown_fields(said.thrift(), &unknown);
        for protocol in PROTOCOLS {
            prop_assert_eq!(&batch(protocol, &value.bytes(protocol)).unwrap(), &said.emitted);
        }
    }

    #[test]
    fn a_batch_that_ends_early_is_refused(said in any_batch(), cut in any::<prop::sample::Index>()) {
        for protocol in PROTOCOLS {
            let whole = said.thrift().bytes(protocol);
            prop_assert!(batch(protocol, &whole.slice(..cut.index(whole.len()))).is_err());
        }
    }

    #[test]
    fn a_batch_with_a_wrong_byte_is_read_or_refused(
        said in any_batch(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for protocol in PROTOCOLS {
            let mut damaged = said.thrift().bytes(protocol).to_vec();
            for (place, byte) in &damage {
                let place = place.index(damaged.len());
                damaged[place] = *byte;
            }
            if let Err(error) = batch(protocol, &damaged.clone().into()) {
                prop_assert!(error.offset <= damaged.len());
            }
        }
    }
}
