//! Counting what is not stored: log records and data points.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, Gauge, Histogram, Metric, ResourceMetrics, ScopeMetrics, Sum, Summary, metric,
};
use prost::Message as _;
use tracelodge::otlp::{count_data_points, count_log_records, write};

#[test]
fn log_records_are_counted_over_all_resources_and_scopes() {
    let scope = |count| ScopeLogs { log_records: vec![LogRecord::default(); count], ..Default::default() };
    let resource = |scope_logs| ResourceLogs { scope_logs, ..Default::default() };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![
            resource(vec![scope(2), scope(0), scope(3)]),
            resource(vec![]),
            resource(vec![scope(1)]),
        ],
    };
    assert_eq!(count_log_records(&request.encode_to_vec()), Ok(6));
    assert_eq!(count_log_records(&[]), Ok(0));
}

#[test]
fn data_points_of_every_kind_are_counted() {
    let kinds = [
        metric::Data::Gauge(Gauge { data_points: vec![Default::default(); 1] }),
        metric::Data::Sum(Sum { data_points: vec![Default::default(); 10], ..Default::default() }),
        metric::Data::Histogram(Histogram {
            data_points: vec![Default::default(); 100],
            ..Default::default()
        }),
        metric::Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![Default::default(); 1000],
            ..Default::default()
        }),
        metric::Data::Summary(Summary { data_points: vec![Default::default(); 10_000] }),
    ];
    let metrics =
        kinds.map(|data| Metric { name: "m".into(), data: Some(data), ..Default::default() }).into();
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics { metrics, ..Default::default() }],
            ..Default::default()
        }],
    };
    assert_eq!(count_data_points(&request.encode_to_vec()), Ok(11_111));
}

#[test]
fn of_two_kinds_of_data_in_one_metric_the_last_holds() {
    let points = |metric: &mut Vec<u8>, kind: u32, count: usize| {
        write::message(metric, kind, |data| (0..count).for_each(|_| write::bytes(data, 1, &[])));
    };
    let mut request = Vec::new();
    write::message(&mut request, 1, |resource| {
        write::message(resource, 2, |scope| {
            write::message(scope, 2, |metric| {
                points(metric, 5, 3);
                points(metric, 7, 1);
                points(metric, 7, 1);
            });
        });
    });
    assert_eq!(count_data_points(&request), Ok(2));
    let decoded = ExportMetricsServiceRequest::decode(&request[..]).unwrap();
    let data = decoded.resource_metrics[0].scope_metrics[0].metrics[0].data.clone();
    assert!(matches!(data, Some(metric::Data::Sum(sum)) if sum.data_points.len() == 2));
}

#[test]
fn a_field_is_unknown_or_not_depending_on_the_message_it_stands_in() {
    // Only field 1 of a request has a meaning; below it 2 and 3 have one too.
    for (request, is_sound) in [
        (&b"\x10\x01"[..], true),
        (b"\x18\x01", true),
        (b"\x08\x01", false),
        (b"\x0a\x02\x08\x01", false),
        (b"\x0a\x02\x10\x01", false),
        (b"\x0a\x02\x18\x01", false),
        (b"\x0a\x02\x20\x01", true),
        (b"\x0a\x04\x12\x02\x18\x01", false),
        (b"\x0a\x04\x12\x02\x20\x01", true),
    ] {
        assert_eq!(count_log_records(request).is_ok(), is_sound, "{request:02x?}");
        assert_eq!(count_data_points(request).is_ok(), is_sound, "{request:02x?}");
        assert_eq!(ExportLogsServiceRequest::decode(request).is_ok(), is_sound, "{request:02x?}");
        assert_eq!(ExportMetricsServiceRequest::decode(request).is_ok(), is_sound, "{request:02x?}");
    }
}

#[test]
fn a_request_that_is_not_one_is_refused_and_says_where() {
    let mut request = Vec::new();
    write::message(&mut request, 1, |resource| {
        write::message(resource, 2, |scope| {
            write::message(scope, 2, |_| {});
            write::message(scope, 2, |metric| write::message(metric, 9, |data| write::uint(data, 1, 1)));
        });
    });
    let error = count_data_points(&request).unwrap_err().to_string();
    let place = "resource_metrics[0].scope_metrics[0].metrics[1]";
    assert_eq!(error, format!("{place}: wrong wire type of field 1 of metric data at byte 10"));
    let error = count_log_records(b"\x0a\x02\x12\x7f").unwrap_err().to_string();
    assert_eq!(error, "resource_logs[0]: truncated field at byte 3");
    assert!(count_log_records(b"<html>").is_err());
}
