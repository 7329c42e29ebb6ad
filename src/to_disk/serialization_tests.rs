//! What the SDK hands over is what stands on disk: each fact of a span, a log record and a metric, read back by a
//! decoder that knows nothing of the encoder.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use opentelemetry::logs::{AnyValue as LogValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value as SdkValue};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue as Pair, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, NumberDataPoint};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality,
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use prost::Message;

use crate::buffer::{DelimitedStorage, FileStorageConfig, FolderReader, Found, HostDisk, SignalStorage};
use crate::to_disk::{LogRecordToDiskExporter, MetricToDiskExporter, SpanToDiskExporter};

const PATIENCE: Duration = Duration::from_secs(20);

/// What `export` has left in a storage, decoded.
fn stored<M: Message + Default>(export: impl FnOnce(Arc<dyn SignalStorage>)) -> Vec<M> {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(DelimitedStorage::create(folder.path(), FileStorageConfig::default()).unwrap());
    export(Arc::clone(&storage) as Arc<dyn SignalStorage>);
    storage.close().unwrap();
    // A thread of the SDK may have it a moment longer, and with it the folder's lock.
    let deadline = Instant::now() + PATIENCE;
    while Arc::strong_count(&storage) > 1 {
        assert!(Instant::now() < deadline, "the SDK goes on using what is shut down");
        thread::yield_now();
    }
    drop(storage);
    requests(folder.path()).into_iter().map(|request| M::decode(request).unwrap()).collect()
}

fn requests(folder: &Path) -> Vec<Bytes> {
    let reader = FolderReader::open(folder, Arc::new(HostDisk)).unwrap();
    let request = |found| match found {
        Found::Request { payload, .. } => payload,
        Found::Damage(damage) => panic!("{damage}"),
    };
    reader.map(request).collect()
}

fn at(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

fn resource() -> Resource {
    let attributes = [KeyValue::new("service.name", "shop")];
    Resource::builder_empty().with_schema_url(attributes, "https://schema/1").build()
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(text: &str) -> AnyValue {
    any(Value::StringValue(text.to_owned()))
}

fn list(values: Vec<AnyValue>) -> AnyValue {
    any(Value::ArrayValue(ArrayValue { values }))
}

fn pair(key: &str, value: AnyValue) -> Pair {
    Pair { key: key.to_owned(), value: Some(value), ..Pair::default() }
}

pub(super) fn scope(name: &'static str) -> InstrumentationScope {
    InstrumentationScope::builder(name)
        .with_version("2.1")
        .with_schema_url("https://schema/2")
        .with_attributes([KeyValue::new("kept", true)])
        .build()
}

fn context(span: u64, flags: u8, remote: bool, state: &str) -> SpanContext {
    let state = state.parse::<TraceState>().unwrap();
    let trace = TraceId::from_bytes([7; 16]);
    SpanContext::new(trace, SpanId::from_bytes(span.to_be_bytes()), TraceFlags::new(flags), remote, state)
}

pub(super) fn plain_span(name: &'static str, scope: InstrumentationScope) -> SpanData {
    SpanData {
        span_context: context(1, 0, false, ""),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: at(5),
        end_time: at(9),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope,
    }
}

fn export_spans(storage: Arc<dyn SignalStorage>, spans: Vec<SpanData>) {
    let mut exporter = SpanToDiskExporter::new(storage);
    exporter.set_resource(&resource());
    finished(exporter.export(spans)).unwrap();
}

/// The exporters' futures are ready when they are returned.
pub(super) fn finished<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("an export is done when it returns"),
    }
}

#[test]
fn a_span_keeps_flags_trace_state_links_events_status_and_what_was_dropped() {
    let mut events = SpanEvents::default();
    events.events.push(Event::new("retry", at(6), vec![KeyValue::new("try", 2)], 3));
    events.dropped_count = 4;
    let mut links = SpanLinks::default();
    links.links.push(Link::new(context(8, 1, true, "a=b"), vec![KeyValue::new("why", "batch")], 5));
    links.links.push(Link::new(context(9, 0, false, ""), Vec::new(), 0));
    links.dropped_count = 6;
    let span = SpanData {
        span_context: context(2, 1, false, "vendor=x,other=y"),
        parent_span_id: SpanId::from_bytes([3; 8]),
        parent_span_is_remote: true,
        span_kind: SpanKind::Consumer,
        dropped_attributes_count: 7,
        events,
        links,
        status: Status::error("out of stock"),
        ..plain_span("checkout", scope("cart"))
    };
    let [request]: [ExportTraceServiceRequest; 1] =
        stored(|storage| export_spans(storage, vec![span])).try_into().unwrap();
    let resource_spans = &request.resource_spans[0];
    assert_eq!(resource_spans.schema_url, "https://schema/1");
    let attributes = &resource_spans.resource.as_ref().unwrap().attributes;
    assert_eq!(attributes[..], [pair("service.name", text("shop"))]);
    let scope_spans = &resource_spans.scope_spans[0];
    let said = scope_spans.scope.as_ref().unwrap();
    assert_eq!((said.name.as_str(), said.version.as_str()), ("cart", "2.1"));
    assert_eq!(said.attributes, [pair("kept", any(Value::BoolValue(true)))]);
    assert_eq!(scope_spans.schema_url, "https://schema/2");

    let span = &scope_spans.spans[0];
    assert_eq!((&span.trace_id[..], &span.span_id[..]), (&[7; 16][..], &2u64.to_be_bytes()[..]));
    assert_eq!((&span.parent_span_id[..], span.trace_state.as_str()), (&[3; 8][..], "vendor=x,other=y"));
    // Sampled; the parent's remoteness is known (bit 8), and it is remote (bit 9).
    assert_eq!((span.flags, span.kind, span.name.as_str()), (0x301, 5, "checkout"));
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5, 9));
    let dropped = (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count);
    assert_eq!(dropped, (7, 4, 6));
    let event = &span.events[0];
    assert_eq!((event.name.as_str(), event.time_unix_nano, event.dropped_attributes_count), ("retry", 6, 3));
    assert_eq!(event.attributes, [pair("try", any(Value::IntValue(2)))]);
    let [first, second] = &span.links[..] else { panic!("{:?}", span.links) };
    assert_eq!((&first.span_id[..], first.flags), (&8u64.to_be_bytes()[..], 0x301));
    assert_eq!((first.trace_state.as_str(), first.dropped_attributes_count), ("a=b", 5));
    assert_eq!(first.attributes, [pair("why", text("batch"))]);
    assert_eq!((second.flags, second.trace_state.as_str()), (0x100, ""));
    let status = span.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "out of stock"));
}

#[test]
fn each_span_kind_and_status_has_its_number() {
    let kinds =
        [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
    let statuses = [Status::Unset, Status::Ok, Status::error("no")];
    let spans = kinds.into_iter().flat_map(|kind| {
        let of = move |status: &Status| SpanData {
            span_kind: kind.clone(),
            status: status.clone(),
            ..plain_span("one", scope("cart"))
        };
        statuses.clone().iter().map(of).collect::<Vec<_>>()
    });
    let spans = spans.collect();
    let [request]: [ExportTraceServiceRequest; 1] =
        stored(|storage| export_spans(storage, spans)).try_into().unwrap();
    let spans = &request.resource_spans[0].scope_spans[0].spans;
    let said: Vec<_> = spans.iter().map(|span| (span.kind, span.status.as_ref().unwrap().code)).collect();
    let expected: Vec<_> = (1..=5).flat_map(|kind| (0..=2).map(move |status| (kind, status))).collect();
    assert_eq!(said, expected);
}

#[test]
fn each_kind_of_span_attribute_comes_back() {
    let arrays = [
        (
            "bools",
            Array::from(vec![true, false]),
            list(vec![any(Value::BoolValue(true)), any(Value::BoolValue(false))]),
        ),
        (
            "ints",
            Array::from(vec![i64::MIN, 0]),
            list(vec![any(Value::IntValue(i64::MIN)), any(Value::IntValue(0))]),
        ),
        ("doubles", Array::from(vec![0.5]), list(vec![any(Value::DoubleValue(0.5))])),
        ("texts", Array::String(vec!["a".into(), "".into()]), list(vec![text("a"), text("")])),
        ("none", Array::I64(Vec::new()), list(Vec::new())),
    ];
    let plain = [
        ("text", SdkValue::from("wörd"), text("wörd")),
        ("empty", SdkValue::from(""), text("")),
        ("yes", SdkValue::from(true), any(Value::BoolValue(true))),
        ("least", SdkValue::from(i64::MIN), any(Value::IntValue(i64::MIN))),
        ("double", SdkValue::from(-0.25), any(Value::DoubleValue(-0.25))),
    ];
    let arrays = arrays.into_iter().map(|(key, array, value)| (key, SdkValue::Array(array), value));
    let (mut given, mut expected) = (Vec::new(), Vec::new());
    for (key, value, encoded) in plain.into_iter().chain(arrays) {
        given.push(KeyValue::new(key, value));
        expected.push(pair(key, encoded));
    }
    let span = SpanData { attributes: given, ..plain_span("one", scope("cart")) };
    let [request]: [ExportTraceServiceRequest; 1] =
        stored(|storage| export_spans(storage, vec![span])).try_into().unwrap();
    assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].attributes, expected);
}

#[test]
fn spans_stay_with_their_scope_in_their_order() {
    let spans = vec![
        plain_span("first", scope("cart")),
        plain_span("second", scope("pay")),
        plain_span("third", scope("cart")),
    ];
    let [request]: [ExportTraceServiceRequest; 1] =
        stored(|storage| export_spans(storage, spans)).try_into().unwrap();
    assert_eq!(request.resource_spans.len(), 1);
    let said: Vec<_> = request.resource_spans[0]
        .scope_spans
        .iter()
        .map(|scope_spans| {
            let names: Vec<_> = scope_spans.spans.iter().map(|span| span.name.as_str()).collect();
            (scope_spans.scope.as_ref().unwrap().name.as_str(), names)
        })
        .collect();
    assert_eq!(said, [("cart", vec!["first", "third"]), ("pay", vec!["second"])]);
}

/// The log records that `emit` has left in a storage, one per export.
fn logged(emit: impl FnOnce(&opentelemetry_sdk::logs::SdkLogger)) -> Vec<LogRecord> {
    let requests: Vec<ExportLogsServiceRequest> = stored(|storage| {
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource())
            .with_simple_exporter(LogRecordToDiskExporter::new(storage))
            .build();
        emit(&provider.logger_with_scope(scope("till")));
        provider.shutdown().unwrap();
    });
    let record = |request: ExportLogsServiceRequest| {
        let [resource_logs] = <[_; 1]>::try_from(request.resource_logs).unwrap();
        assert_eq!(resource_logs.resource.unwrap().attributes, [pair("service.name", text("shop"))]);
        let [scope_logs] = <[_; 1]>::try_from(resource_logs.scope_logs).unwrap();
        assert_eq!(scope_logs.scope.unwrap().name, "till");
        let [record] = <[_; 1]>::try_from(scope_logs.log_records).unwrap();
        record
    };
    requests.into_iter().map(record).collect()
}

#[test]
fn a_log_record_keeps_its_event_name_its_severity_and_its_trace() {
    let records = logged(|logger| {
        let mut record = logger.create_log_record();
        record.set_event_name("sold");
        record.set_timestamp(at(11));
        record.set_observed_timestamp(at(12));
        record.set_severity_number(Severity::Warn2);
        record.set_severity_text("WARN2");
        record.set_body(LogValue::from("a cake"));
        record.set_trace_context(
            TraceId::from_bytes([1; 16]),
            SpanId::from_bytes([2; 8]),
            Some(TraceFlags::SAMPLED),
        );
        logger.emit(record);
    });
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (11, 12));
    assert_eq!((record.event_name.as_str(), record.severity_text.as_str()), ("sold", "WARN2"));
    assert_eq!((record.severity_number, record.flags), (14, 1));
    assert_eq!(record.body, Some(text("a cake")));
    assert_eq!((&record.trace_id[..], &record.span_id[..]), (&[1; 16][..], &[2; 8][..]));
}

#[test]
fn a_log_record_without_body_and_severity_has_none() {
    let records = logged(|logger| logger.emit(logger.create_log_record()));
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.severity_number, record.severity_text.as_str()), (0, ""));
    assert_eq!((record.body.as_ref(), record.event_name.as_str()), (None, ""));
    assert_eq!((record.time_unix_nano, record.trace_id.len()), (0, 0));
}

#[test]
fn each_kind_of_log_value_comes_back_nested_and_empty_ones_too() {
    let nested =
        LogValue::Map(Box::new([("inner".into(), LogValue::Map(Box::default()))].into_iter().collect()));
    let inner = pair("inner", any(Value::KvlistValue(KeyValueList::default())));
    let cases = [
        (LogValue::from("text"), text("text")),
        (LogValue::from(-1), any(Value::IntValue(-1))),
        (LogValue::from(1.5), any(Value::DoubleValue(1.5))),
        (LogValue::from(false), any(Value::BoolValue(false))),
        (LogValue::Bytes(Box::new(vec![0, 255])), any(Value::BytesValue(vec![0, 255]))),
        (LogValue::Bytes(Box::default()), any(Value::BytesValue(Vec::new()))),
        (
            LogValue::ListAny(Box::new(vec!["a".into(), 2.into()])),
            list(vec![text("a"), any(Value::IntValue(2))]),
        ),
        (LogValue::ListAny(Box::default()), list(Vec::new())),
        (nested, any(Value::KvlistValue(KeyValueList { values: vec![inner] }))),
    ];
    let records = logged(|logger| {
        for (given, _) in &cases {
            let mut record = logger.create_log_record();
            record.set_body(given.clone());
            record.add_attribute("same", given.clone());
            logger.emit(record);
        }
    });
    assert_eq!(records.len(), cases.len());
    for (record, (_, expected)) in records.into_iter().zip(cases) {
        assert_eq!(record.body.as_ref(), Some(&expected));
        assert_eq!(record.attributes, [pair("same", expected)]);
    }
}

/// The metrics that `record` has left in a storage, in the order of their names.
fn measured(temporality: Temporality, record: impl FnOnce(&opentelemetry::metrics::Meter)) -> Vec<Metric> {
    let requests: Vec<ExportMetricsServiceRequest> = stored(|storage| {
        let exporter = MetricToDiskExporter::new(storage).with_temporality(temporality);
        let exponential = |instrument: &Instrument| {
            let aggregation =
                Aggregation::Base2ExponentialHistogram { max_size: 160, max_scale: 20, record_min_max: true };
            let stream = Stream::builder().with_aggregation(aggregation).build().ok();
            stream.filter(|_| instrument.name() == "exponential")
        };
        let provider = SdkMeterProvider::builder()
            .with_resource(resource())
            .with_reader(PeriodicReader::builder(exporter).with_interval(Duration::from_secs(3600)).build())
            .with_view(exponential)
            .build();
        record(&provider.meter_with_scope(scope("scale")));
        provider.force_flush().unwrap();
    });
    let request = requests.into_iter().next().unwrap();
    let [resource_metrics] = <[_; 1]>::try_from(request.resource_metrics).unwrap();
    assert_eq!(resource_metrics.resource.unwrap().attributes, [pair("service.name", text("shop"))]);
    let [scope_metrics] = <[_; 1]>::try_from(resource_metrics.scope_metrics).unwrap();
    assert_eq!(scope_metrics.scope.unwrap().name, "scale");
    let mut metrics = scope_metrics.metrics;
    metrics.sort_by(|one, other| one.name.cmp(&other.name));
    metrics
}

fn data(metric: &Metric) -> &Data {
    metric.data.as_ref().unwrap()
}

fn only(points: &[NumberDataPoint]) -> Number {
    let [point] = points else { panic!("{points:?}") };
    assert_eq!(point.attributes, [pair("kind", text("cake"))]);
    assert!(point.time_unix_nano >= point.start_time_unix_nano && point.time_unix_nano > 0);
    point.value.unwrap()
}

#[test]
fn gauges_and_sums_of_both_kinds_of_numbers_come_back() {
    let kind = [KeyValue::new("kind", "cake")];
    let metrics = measured(Temporality::Cumulative, |meter| {
        meter.i64_gauge("a").with_unit("g").with_description("weight").build().record(-3, &kind);
        meter.f64_gauge("b").build().record(0.5, &kind);
        meter.u64_counter("c").build().add(4, &kind);
        meter.f64_counter("d").build().add(1.25, &kind);
        meter.i64_up_down_counter("e").build().add(-7, &kind);
    });
    let [a, b, c, d, e] = &metrics[..] else { panic!("{metrics:?}") };
    assert_eq!((a.unit.as_str(), a.description.as_str()), ("g", "weight"));
    let gauge = |metric: &Metric| match data(metric) {
        Data::Gauge(gauge) => only(&gauge.data_points),
        other => panic!("{other:?}"),
    };
    assert_eq!((gauge(a), gauge(b)), (Number::AsInt(-3), Number::AsDouble(0.5)));
    let sum = |metric: &Metric| match data(metric) {
        Data::Sum(sum) => {
            assert_eq!(sum.aggregation_temporality, AggregationTemporality::Cumulative as i32);
            (only(&sum.data_points), sum.is_monotonic)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(sum(c), (Number::AsInt(4), true));
    assert_eq!(sum(d), (Number::AsDouble(1.25), true));
    assert_eq!(sum(e), (Number::AsInt(-7), false));
}

#[test]
fn histograms_of_both_kinds_come_back() {
    let metrics = measured(Temporality::Cumulative, |meter| {
        let histogram = meter.f64_histogram("bounds").with_boundaries(vec![1.0, 10.0]).build();
        let exponential = meter.f64_histogram("exponential").build();
        for value in [0.5, 5.0, 6.0] {
            histogram.record(value, &[]);
            exponential.record(value, &[]);
        }
        exponential.record(-2.0, &[]);
        exponential.record(0.0, &[]);
    });
    let [bounds, exponential] = &metrics[..] else { panic!("{metrics:?}") };
    let Data::Histogram(histogram) = data(bounds) else { panic!("{bounds:?}") };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum, point.min, point.max), (3, Some(11.5), Some(0.5), Some(6.0)));
    assert_eq!((&point.explicit_bounds[..], &point.bucket_counts[..]), (&[1.0, 10.0][..], &[1, 2, 0][..]));
    let Data::ExponentialHistogram(histogram) = data(exponential) else { panic!("{exponential:?}") };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum, point.zero_count), (5, Some(9.5), 1));
    assert_eq!((point.min, point.max), (Some(-2.0), Some(6.0)));
    // Bucket `index` ends with 2 to the power of (index + 1) / 2^scale.
    let upper = |index: i32| 2_f64.powf(f64::from(index + 1) / 2_f64.powi(point.scale));
    let filled = |buckets: &Buckets| {
        let counted = (buckets.offset..).zip(buckets.bucket_counts.clone());
        counted
            .filter(|(_, count)| *count > 0)
            .map(|(index, count)| (upper(index), count))
            .collect::<Vec<_>>()
    };
    let width = 2_f64.powf(1.0 / 2_f64.powi(point.scale));
    let hold = |buckets: &[(f64, u64)], values: &[f64]| {
        let pairs = buckets.iter().zip(values);
        buckets.len() == values.len()
            && pairs.into_iter().all(|((upper, count), value)| {
                *count == 1 && *value <= upper * (1.0 + 1e-9) && upper / width <= value * (1.0 + 1e-9)
            })
    };
    assert!((3..=20).contains(&point.scale), "{}: 160 buckets are many for so few values", point.scale);
    let (positive, negative) = (point.positive.as_ref().unwrap(), point.negative.as_ref().unwrap());
    assert!(hold(&filled(positive), &[0.5, 5.0, 6.0]), "{positive:?}");
    assert!(hold(&filled(negative), &[2.0]), "{negative:?}");
}

#[test]
fn the_temporality_is_the_one_that_was_chosen() {
    for (chosen, said) in [
        (Temporality::Cumulative, AggregationTemporality::Cumulative),
        (Temporality::Delta, AggregationTemporality::Delta),
    ] {
        let metrics = measured(chosen, |meter| meter.u64_counter("c").build().add(1, &[]));
        let Data::Sum(sum) = data(&metrics[0]) else { panic!("{metrics:?}") };
        assert_eq!(sum.aggregation_temporality, said as i32);
    }
}
