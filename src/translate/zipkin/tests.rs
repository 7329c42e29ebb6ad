//! Spans as they were sent, after having been kept.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::v1::{Annotation as Event, BinaryAnnotation, Span as First, Value};
use super::*;
use crate::model::{SpanKind, StatusCode, Timestamp};
use crate::otlp::{Limits, ScopeView, SpanView, derived_attributes, scan, spans, write};
use crate::translate::documented::assert_documented;

/// The last time that nanoseconds in 64 bits can say, in µs.
const LAST: u64 = u64::MAX / 1_000;

/// Text of any bytes, words that mean something among them.
pub(in crate::translate) fn any_text() -> impl Strategy<Value = Bytes> {
    let words = [
        "",
        "a",
        "error",
        "true",
        "false",
        "ERROR",
        "Ok",
        "unset",
        "span.kind",
        "INTERNAL",
        "server",
        "peer.service",
        "net.peer.ip",
        "net.peer.port",
        "1.2.3.4",
        "::1",
        "8080",
        "otel.status_code",
        "otel.status_description",
        "w3c.tracestate",
        "otel.scope.name",
        "otel.scope.version",
        "otel.library.name",
        "service.name",
        "@jaeger@warnings",
    ];
    prop_oneof![
        3 => proptest::sample::select(words.to_vec()).prop_map(|word| Bytes::from_static(word.as_bytes())),
        1 => vec(any::<u8>(), 0..6).prop_map(Bytes::from),
        1 => any::<String>().prop_map(Bytes::from),
    ]
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let name = prop_oneof![Just(Bytes::from_static(b"cart")), any_text()];
    let parts = (name, option::of(any::<[u8; 4]>()), option::of(any::<[u8; 16]>()), option::of(any::<u16>()));
    parts.prop_map(|(service_name, ipv4, ipv6, port)| Endpoint {
        service_name,
        ipv4: ipv4.map(Into::into),
        ipv6: ipv6.map(Into::into),
        port,
    })
}

prop_compose! {
    fn any_times()(
        timestamp in option::of(prop_oneof![Just(0), Just(LAST), 0..=LAST]),
        share in 0..=4_u64,
        duration in option::of(any::<u64>()),
        annotations in vec((0..=LAST, any_text()), 0..4),
    ) -> (Option<u64>, Option<u64>, Vec<Annotation>) {
        let annotations: Vec<_> =
            annotations.into_iter().map(|(timestamp, value)| Annotation { timestamp, value }).collect();
        let start = timestamp.or(annotations.iter().map(|annotation| annotation.timestamp).min());
        let room = LAST - start.unwrap_or_default();
        (timestamp, duration.map(|duration| if share == 0 { room } else { duration % (room + 1) }), annotations)
    }
}

prop_compose! {
    pub(in crate::translate) fn any_span()(
        (trace_id, id, parent_id) in (any::<[u8; 16]>(), any::<[u8; 8]>(), option::of(any::<[u8; 8]>())),
        kind in option::of(proptest::sample::select(&[Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer][..])),
        name in any_text(),
        (timestamp, duration, annotations) in any_times(),
        (local_endpoint, remote_endpoint) in (option::of(any_endpoint()), option::of(any_endpoint())),
        tags in vec((any_text(), any_text()), 0..6),
        (debug, shared) in any::<(bool, bool)>(),
    ) -> Span {
        Span {
            trace_id: TraceId(trace_id),
            id: SpanId(id),
            parent_id: parent_id.map(SpanId),
            kind,
            name,
            timestamp,
            duration,
            local_endpoint: local_endpoint.and_then(Endpoint::unless_silent),
            remote_endpoint: remote_endpoint.and_then(Endpoint::unless_silent),
            annotations,
            tags,
            debug,
            shared,
        }
    }
}

pub(in crate::translate) fn records(sent: &[Span]) -> Vec<model::Span> {
    spans(&Bytes::from(request(sent)), &Limits::default()).unwrap()
}

fn record(sent: &Span) -> model::Span {
    records(std::slice::from_ref(sent)).remove(0)
}

fn tagged(tags: &[(&'static str, &'static str)]) -> Span {
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    Span {
        trace_id: TraceId([1; 16]),
        id: SpanId([2; 8]),
        tags: tags.iter().map(|(key, value)| (text(key), text(value))).collect(),
        ..Span::default()
    }
}

proptest! {
    #[test]
    fn a_span_comes_back_as_it_was_sent(sent in vec(any_span(), 0..5)) {
        let whole = |span: &Span| !span.trace_id.is_zero() && !span.id.is_zero() && span.parent_id.is_none_or(|id| !id.is_zero());
        prop_assume!(sent.iter().all(whole));
        let mut read: Vec<_> = records(&sent).iter().map(span).collect();
        // Groups of one resource come together.
        let mut sent = sent;
        let key = |span: &Span| (span.trace_id, span.id, format!("{span:?}"));
        read.sort_by_key(key);
        sent.sort_by_key(key);
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn any_bytes_that_claim_to_be_a_span_are_said(body in vec(any::<u8>(), 0..64), resource in vec(any::<u8>(), 0..32)) {
        let mut span = record(&tagged(&[]));
        span.body = body.into();
        span.resource = std::sync::Arc::new(model::Resource { bytes: resource.into(), ..model::Resource::default() });
        let _whatever = super::span(&span);
        let _said = crate::translate::otlp::messages(&[span], 1, 0).count();
    }

    #[test]
    fn any_bytes_are_read_without_harm(body in vec(any::<u8>(), 0..64)) {
        let body = Bytes::from(body);
        for format in [Format::JsonV1, Format::JsonV2, Format::Protobuf] {
            let _either = batch(format, &body, &mut |_| true);
        }
        let _either = sniff(&body);
    }
}

#[test]
fn spans_of_one_endpoint_share_a_resource() {
    let endpoint = |name: &'static str| Some(Endpoint { service_name: name.into(), ..Endpoint::default() });
    let of = |name: &'static str| Span { local_endpoint: endpoint(name), ..tagged(&[]) };
    let sent = [of("a"), of("b"), of("a"), of("b"), tagged(&[])];
    let request = Bytes::from(request(&sent));
    assert_eq!(crate::otlp::Fields::new(&request).count(), 3);
    let services: Vec<_> = records(&sent).iter().map(|span| span.resource.service.clone()).collect();
    assert_eq!(services, ["a", "a", "b", "b", ""]);
    assert!(super::request(&[]).is_empty());
}

#[test]
fn however_many_endpoints_there_are_every_span_is_kept() {
    let of = |number: usize| {
        let service_name = Bytes::from(format!("service {}", number % 2_500));
        Span { local_endpoint: Some(Endpoint { service_name, ..Endpoint::default() }), ..tagged(&[]) }
    };
    let mut sent: Vec<_> = (0..5_000).map(of).collect();
    let large = Bytes::from(vec![b'x'; 300 << 10]);
    sent.extend((0..8).map(|_| Span { name: large.clone(), ..of(0) }));
    let mut read: Vec<_> = records(&sent).iter().map(span).collect();
    let key =
        |span: &Span| (span.local_endpoint.clone().map(|endpoint| endpoint.service_name), span.name.len());
    read.sort_by_key(key);
    sent.sort_by_key(key);
    assert!(read == sent);
}

#[test]
fn a_name_that_no_resource_holds_costs_its_span_only() {
    let endpoint = Endpoint { service_name: vec![b'a'; 2 << 20].into(), ..Endpoint::default() };
    let sent = [Span { local_endpoint: Some(endpoint), ..tagged(&[]) }, tagged(&[])];
    let request = Bytes::from(request(&sent));
    assert_eq!(scan(&request, &Limits::default()).unwrap().accepted, 1);
}

#[test]
fn tags_that_mean_something_fill_the_fields_of_otlp() {
    use SpanKind::{Internal, Unspecified};
    use StatusCode::{Error, Ok, Unset};
    type Case = (&'static [(&'static str, &'static str)], SpanKind, StatusCode, &'static str, &'static str);
    let cases: [Case; 13] = [
        (&[], Unspecified, Unset, "", ""),
        (&[("error", "")], Unspecified, Error, "", ""),
        (&[("error", "true")], Unspecified, Error, "", ""),
        (&[("error", "false")], Unspecified, Unset, "", ""),
        (&[("error", "no route")], Unspecified, Error, "no route", ""),
        (&[("error", "true"), ("otel.status_description", "late")], Unspecified, Error, "late", ""),
        (&[("error", "no route"), ("otel.status_description", "late")], Unspecified, Error, "no route", ""),
        (&[("otel.status_code", "OK")], Unspecified, Ok, "", ""),
        (&[("otel.status_code", "error"), ("error", "x")], Unspecified, Error, "x", ""),
        (&[("otel.status_code", "maybe"), ("otel.status_code", "ERROR")], Unspecified, Error, "", ""),
        (&[("w3c.tracestate", ""), ("w3c.tracestate", "a=b")], Unspecified, Unset, "", "a=b"),
        (&[("span.kind", "internal")], Internal, Unset, "", ""),
        (&[("span.kind", "other")], Unspecified, Unset, "", ""),
    ];
    for (tags, kind, status, message, state) in cases {
        let sent = tagged(tags);
        let record = record(&sent);
        let view = SpanView::read(&record.body);
        assert_eq!((record.kind, record.status), (kind, status), "{tags:?}");
        assert_eq!((&*view.status_message, &*view.trace_state), (message, state), "{tags:?}");
        assert_eq!(span(&record), sent);
    }
}

#[test]
fn a_span_without_a_start_starts_with_what_happened_first() {
    let annotation = |timestamp| Annotation { timestamp, value: "x".into() };
    let sent = Span { duration: Some(5), annotations: vec![annotation(9), annotation(7)], ..tagged(&[]) };
    let record = record(&sent);
    assert_eq!((record.start, record.end), (Timestamp(7_000), Timestamp(12_000)));
    assert_eq!(span(&record), sent);
    let late = Span { timestamp: Some(u64::MAX), duration: Some(u64::MAX), ..tagged(&[]) };
    let kept = super::tests::record(&late);
    assert_eq!((kept.start, kept.end), (Timestamp::MAX, Timestamp::MAX));
}

#[test]
fn a_list_is_told_by_how_it_begins() {
    let cases: [(&[u8], Option<Format>); 12] = [
        (b"", None),
        (b"  ", None),
        (b"traces", None),
        (br#" [{"id":"1","localEndpoint":{}}]"#, Some(Format::JsonV2)),
        (b"\xef\xbb\xbf{\"tags\":{}}", Some(Format::JsonV2)),
        (br#"[{"id":"1","annotations":[{"endpoint":{}}]}]"#, Some(Format::JsonV1)),
        (b"[]", Some(Format::JsonV1)),
        (b"\x0a\x05.....", Some(Format::Protobuf)),
        (b"\x0a\x00\x01", None),
        (b"\x0c\x00\x00\x00\x01", Some(Format::Thrift)),
        (b"\x0b\x00\x00\x00\x01", Some(Format::Thrift)),
        (b"\x12", None),
    ];
    for (body, expected) in cases {
        assert_eq!(sniff(body), expected, "{}", body.escape_ascii());
    }
}

mod protobuf_spans {
    use super::*;

    fn read(body: &Bytes) -> Result<Read, Error> {
        Read::of(|sink| protobuf::each(body, sink))
    }

    fn endpoint(name: &str, ipv4: &[u8], port: u64) -> Vec<u8> {
        let mut out = Vec::new();
        write::string(&mut out, 1, name);
        write::bytes(&mut out, 2, ipv4);
        write::uint(&mut out, 4, port);
        out
    }

    fn ids(out: &mut Vec<u8>, trace_id: &[u8], id: &[u8]) {
        write::bytes(out, 1, trace_id);
        write::bytes(out, 3, id);
    }

    fn list(spans: &[Vec<u8>]) -> Bytes {
        let mut out = Vec::new();
        spans.iter().for_each(|span| write::bytes(&mut out, 1, span));
        out.into()
    }

    #[test]
    fn every_field_is_read() {
        let mut message = Vec::new();
        ids(&mut message, &[1; 8], &[2; 8]);
        write::bytes(&mut message, 2, &[3; 8]);
        write::uint(&mut message, 4, 3);
        write::bytes(&mut message, 5, b"se\xffnd");
        write::fixed64(&mut message, 6, 1_000);
        write::uint(&mut message, 7, 5);
        write::bytes(&mut message, 8, &endpoint("cart", &[1, 2, 3, 4], 65_535));
        write::bytes(&mut message, 9, &endpoint("", &[1, 2, 3], 65_536));
        write::message(&mut message, 10, |out| {
            write::fixed64(out, 1, 7);
            write::string(out, 2, "ws");
        });
        for value in ["1", "2"] {
            write::message(&mut message, 11, |out| {
                write::string(out, 1, "k");
                write::string(out, 2, value);
            });
        }
        write::uint(&mut message, 12, 1);
        write::uint(&mut message, 13, 1);
        let expected = Span {
            trace_id: TraceId([[0; 8], [1; 8]].concat().try_into().unwrap()),
            id: SpanId([2; 8]),
            parent_id: Some(SpanId([3; 8])),
            kind: Some(Kind::Producer),
            name: Bytes::from_static(b"se\xffnd"),
            timestamp: Some(1_000),
            duration: Some(5),
            local_endpoint: Some(Endpoint {
                service_name: "cart".into(),
                ipv4: Some([1, 2, 3, 4].into()),
                ipv6: None,
                port: Some(65_535),
            }),
            remote_endpoint: None,
            annotations: vec![Annotation { timestamp: 7, value: "ws".into() }],
            tags: vec![("k".into(), "1".into()), ("k".into(), "2".into())],
            debug: true,
            shared: true,
        };
        assert_eq!(read(&list(&[message])).unwrap().spans, [expected]);
    }

    #[test]
    fn a_span_that_cannot_be_kept_is_left_out_alone() {
        let span = |trace_id: &[u8], id: &[u8]| {
            let mut out = Vec::new();
            ids(&mut out, trace_id, id);
            out
        };
        let bad = [
            (
                span(&[0; 16], &[2; 8]),
                "span 1: an id of zeros: trace 00000000000000000000000000000000, span 0202020202020202",
            ),
            (span(&[1; 5], &[2; 8]), "span 1: a trace id of 5 bytes, where 8 or 16 are right"),
            (span(&[1; 16], &[]), "span 1: a span id of 0 bytes, where 8 are right"),
            (vec![0x0a, 0x05, 1], "span 1: truncated field at byte 1"),
        ];
        for (bad, why) in bad {
            let read = read(&list(&[span(&[1; 16], &[2; 8]), bad, span(&[1; 8], &[3; 8])])).unwrap();
            assert_eq!((read.spans.len(), read.left_out), (2, 1));
            assert_eq!(read.first.unwrap().to_string(), why);
        }
        assert_eq!(read(&Bytes::from_static(&[0x0a, 0x05])).unwrap_err().0, "truncated field at byte 1");
        assert_eq!(read(&Bytes::new()).unwrap(), Read::default());
    }
}

mod first_version {
    use super::*;

    fn host(name: &'static str) -> Endpoint {
        Endpoint { service_name: name.into(), port: Some(80), ..Endpoint::default() }
    }

    fn first(
        events: &[(i64, &'static str, &'static str)],
        addresses: &[(&'static str, &'static str)],
    ) -> First {
        let event = |&(timestamp, value, name)| Event {
            timestamp,
            value: Bytes::from_static(str::as_bytes(value)),
            endpoint: Some(host(name)),
        };
        let address = |&(key, name): &(&'static str, _)| BinaryAnnotation {
            key: key.into(),
            value: Value::Bool(true),
            endpoint: Some(host(name)),
        };
        First {
            trace_id: TraceId([1; 16]),
            id: SpanId([2; 8]),
            annotations: events.iter().map(event).collect(),
            binary_annotations: addresses.iter().map(address).collect(),
            ..First::default()
        }
    }

    /// Kind, service, remote service, start, duration, whether it is shared, events.
    fn outline(span: &Span) -> String {
        let name = |endpoint: &Option<Endpoint>| {
            let name = endpoint.as_ref().map(|endpoint| endpoint.service_name.clone()).unwrap_or_default();
            String::from_utf8(name.to_vec()).unwrap()
        };
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let events = span.annotations.iter().map(|event| String::from_utf8(event.value.to_vec()).unwrap());
        format!(
            "{} {}>{} {}+{}{} {}",
            span.kind.map_or("LOCAL", Kind::word),
            name(&span.local_endpoint),
            name(&span.remote_endpoint),
            number(span.timestamp),
            number(span.duration),
            if span.shared { " shared" } else { "" },
            events.collect::<Vec<_>>().join(",")
        )
    }

    #[test]
    fn events_tell_of_the_sides_of_a_call() {
        type Case = (
            &'static [(i64, &'static str, &'static str)],
            &'static [(&'static str, &'static str)],
            &'static [&'static str],
        );
        let cases: [Case; 17] = [
            (&[(10, "cs", "a"), (15, "cr", "a")], &[("sa", "b")], &["CLIENT a>b 10+5 "]),
            (&[(10, "sr", "b"), (15, "ss", "b")], &[("ca", "a")], &["SERVER b>a 10+5 shared "]),
            (&[(10, "cs", "a"), (10, "cr", "a")], &[], &["CLIENT a> 10+1 "]),
            (&[(10, "cs", "a")], &[], &["CLIENT a> 10+- "]),
            (&[(15, "cr", "a")], &[], &["CLIENT a> -+- cr"]),
            (&[(15, "ss", "b")], &[], &["SERVER b> -+- ss"]),
            (
                &[(10, "cs", "a"), (11, "sr", "b"), (12, "wow", "b"), (13, "ss", "b"), (15, "cr", "a")],
                &[("ca", "a"), ("sa", "b")],
                &["CLIENT a>b 10+5 ", "SERVER b>a 11+2 shared wow"],
            ),
            (
                &[(10, "cs", "a"), (11, "sr", "a"), (12, "wow", "a"), (13, "ss", "a"), (15, "cr", "a")],
                &[],
                &["CLIENT a> 10+5 wow", "SERVER a> 11+2 shared "],
            ),
            (&[(10, "cs", "a"), (11, "sr", "b")], &[], &["CLIENT a> 10+- ", "SERVER b> 11+- shared "]),
            (&[(10, "ms", "a"), (12, "ws", "a")], &[("ma", "kafka")], &["PRODUCER a>kafka 10+2 "]),
            (&[(10, "wr", "b"), (12, "mr", "b")], &[("ma", "kafka")], &["CONSUMER b>kafka 10+2 "]),
            (&[(12, "mr", "b")], &[], &["CONSUMER b> 12+- "]),
            (&[(10, "ms", "a"), (12, "mr", "b")], &[], &["PRODUCER a> 10+- ", "CONSUMER b> 12+- shared "]),
            (&[(10, "ws", "a")], &[], &["LOCAL a> -+- ws"]),
            (&[], &[("ca", "a"), ("sa", "b")], &["LOCAL a>b -+- "]),
            (&[], &[("sa", "b")], &["LOCAL >b -+- "]),
            (&[], &[("ca", "a")], &["SERVER >a -+- "]),
        ];
        for (events, addresses, expected) in cases {
            let spans = first(events, addresses).into_v2();
            assert_eq!(spans.iter().map(outline).collect::<Vec<_>>(), expected, "{events:?} {addresses:?}");
        }
    }

    #[test]
    fn a_spans_own_times_are_those_of_who_asked() {
        let asked = First {
            timestamp: Some(9),
            duration: Some(8),
            ..first(&[(10, "cs", "a"), (15, "cr", "a"), (11, "sr", "b")], &[])
        };
        let spans: Vec<_> = asked.into_v2().iter().map(outline).collect();
        // What its times do not say stays.
        assert_eq!(spans, ["CLIENT a> 9+8 cs,cr", "SERVER b> 11+- shared "]);
        let answered = First {
            timestamp: Some(10),
            duration: Some(5),
            ..first(&[(10, "sr", "b"), (15, "ss", "b")], &[])
        };
        assert_eq!(outline(&answered.into_v2()[0]), "SERVER b> 10+5 ");
        let negative = First { timestamp: Some(-1), duration: Some(-5), ..first(&[], &[]) };
        assert_eq!(outline(&negative.into_v2()[0]), "LOCAL > -+- ");
    }

    #[test]
    fn values_become_tags_of_their_service() {
        let value = |key: &'static str, value, name| BinaryAnnotation {
            key: key.into(),
            value,
            endpoint: Some(host(name)),
        };
        let mut span = first(&[(10, "cs", "a"), (11, "sr", "b")], &[]);
        span.binary_annotations = vec![
            value("lc", Value::Text(Bytes::new()), "a"),
            value("yes", Value::Bool(true), "a"),
            value("sa", Value::Text("x".into()), "c"),
            value("bytes", Value::Bytes(Bytes::from_static(&[0xfb, 0xff])), "b"),
            value("int", Value::Integer(-5), "b"),
            value("double", Value::Double(0.5), "b"),
        ];
        let tags = span.into_v2().into_iter().map(|span| span.tags).collect::<Vec<_>>();
        let tag = |key: &'static str, value: &'static str| (Bytes::from(key), Bytes::from(value));
        assert_eq!(tags[0], [tag("yes", "true"), tag("sa", "x")]);
        assert_eq!(tags[1], [tag("bytes", "-_8="), tag("int", "-5"), tag("double", "0.5")]);
    }

    #[test]
    fn a_local_component_says_where_a_span_was_recorded() {
        let mut span = first(&[], &[]);
        span.parent_id = Some(span.id);
        let value = |text: &'static str| BinaryAnnotation {
            key: "lc".into(),
            value: Value::Text(text.into()),
            endpoint: Some(host("a")),
        };
        span.binary_annotations = vec![value("jvm")];
        let read = span.into_v2().remove(0);
        assert_eq!((read.local_endpoint, read.parent_id), (Some(host("a")), None));
        assert_eq!(read.tags, [("lc".into(), "jvm".into())]);
    }

    #[test]
    fn finagles_name_for_a_caller_is_left_out() {
        let read = first(&[(10, "sr", "b")], &[("ca", "b")]).into_v2().remove(0);
        assert_eq!(read.remote_endpoint, None);
        let mut elsewhere = first(&[(10, "sr", "b")], &[("ca", "b")]);
        elsewhere.binary_annotations[0].endpoint = Some(Endpoint { port: Some(81), ..host("b") });
        let remote = elsewhere.into_v2().remove(0).remote_endpoint;
        assert_eq!(remote, Some(Endpoint { port: Some(81), ..Endpoint::default() }));
    }
}

/// One line of JSON.
fn said(span: &model::Span) -> String {
    let mut out = Vec::new();
    json::write(&mut out, &super::span(span));
    String::from_utf8(out).unwrap()
}

#[test]
fn a_span_of_otlp_is_said_by_opentelemetrys_rules() {
    use crate::model::sketch::trace;

    let said = |drawing: &str| said(&trace(1, drawing).remove(0));
    let span = said("shop | get | client | 0-9 | server.address=10.0.0.1 server.port=80 n=5 error=false");
    let tail = span.split_once("\"kind\"").unwrap().1;
    let expected = concat!(
        r#":"CLIENT","name":"get","timestamp":1700000000000000,"duration":9000,"#,
        r#""localEndpoint":{"serviceName":"shop"},"remoteEndpoint":{"ipv4":"10.0.0.1","port":80},"tags":{"#,
    );
    assert!(tail.starts_with(expected), "{tail}");
    assert!(tail.contains(r#""server.address":"10.0.0.1","server.port":"80","n":"5""#), "{tail}");
    assert!(!tail.contains("error") && !tail.contains("span.kind"), "{tail}");
    let span = said("shop | get | internal | 0-0 | peer.service=cart");
    assert!(
        !span.contains("kind") && !span.contains("remoteEndpoint") && span.contains(r#""duration":1"#),
        "{span}"
    );
}

#[test]
fn the_other_side_is_whoever_is_named_best() {
    use crate::otlp::{AnyValue, KeyValue};

    let pair = |key: &'static str, value: &'static str| KeyValue {
        key: key.into(),
        value: AnyValue::String(value.into()),
    };
    let named = |name: &'static str| Some(Endpoint { service_name: name.into(), ..Endpoint::default() });
    let cases = [
        (vec![pair("db.name", "d"), pair("server.address", "s"), pair("peer.service", "p")], named("p")),
        (vec![pair("net.peer.name", "n"), pair("server.address", "s")], named("s")),
        (vec![pair("peer.service", ""), pair("db.name", "d")], named("d")),
        (
            vec![pair("network.peer.address", "::1"), pair("network.peer.port", "80")],
            Some(Endpoint { ipv6: Some("::1".parse().unwrap()), port: Some(80), ..Endpoint::default() }),
        ),
        (vec![pair("http.path", "/")], None),
    ];
    for (attributes, expected) in cases {
        assert_eq!(super::said::remote(&attributes), expected, "{attributes:?}");
    }
}

#[test]
fn a_jaeger_span_is_said_by_opentelemetrys_rules() {
    use crate::proto::jaeger::api_v2;
    use crate::translate::jaeger;

    let text = |key: &'static str, value: &'static str| api_v2::KeyValue {
        key: key.into(),
        v_str: value.into(),
        ..Default::default()
    };
    let log =
        |fields| api_v2::Log { timestamp: Some(prost_types::Timestamp { seconds: 1, nanos: 2_000 }), fields };
    let sent = api_v2::Span {
        trace_id: Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 10]),
        span_id: Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 11]),
        flags: 3,
        operation_name: "get".into(),
        start_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        duration: Some(prost_types::Duration { seconds: 0, nanos: 5_000 }),
        tags: vec![
            text("span.kind", "server"),
            api_v2::KeyValue { key: "error".into(), v_type: 1, v_bool: true, ..Default::default() },
            text("otel.status_description", "boom"),
            text("peer.service", "web"),
        ],
        logs: vec![
            log(vec![text("event", "retry"), text("n", "1")]),
            log(vec![text("event", "done")]),
            log(vec![text("n", "1")]),
        ],
        process: Some(api_v2::Process { service_name: "shop".into(), tags: vec![text("hostname", "h1")] }),
        ..Default::default()
    };
    let record = spans(&jaeger::request(&[sent]).unwrap().into(), &Limits::default()).unwrap().remove(0);
    let expected = concat!(
        r#"{"traceId":"000000000000000a","id":"000000000000000b","kind":"SERVER","name":"get","timestamp":1000000,"#,
        r#""duration":5,"localEndpoint":{"serviceName":"shop"},"remoteEndpoint":{"serviceName":"web"},"#,
        r#""annotations":[{"timestamp":1000002,"value":"\"retry\": {\"n\":\"1\"}"},"#,
        r#"{"timestamp":1000002,"value":"done"},{"timestamp":1000002,"value":"{\"n\":\"1\"}"}],"#,
        r#""tags":{"hostname":"h1","peer.service":"web","otel.status_code":"ERROR","error":"boom"},"debug":true}"#,
    );
    assert_eq!(said(&record), expected);
}

/// What is searched and shown of the span besides its attributes.
#[test]
fn fields_of_otlp_are_derived_once() {
    let record = record(&tagged(&[("error", "boom"), ("otel.status_code", "ERROR")]));
    let view = SpanView::read(&record.body);
    let derived = derived_attributes(&record, &view, &ScopeView::default());
    let keys: Vec<_> = derived.iter().flatten().map(|pair| pair.key.to_string()).collect();
    assert_eq!(keys, ["otel.status_code", "error", "otel.status_description"]);
}

#[test]
fn the_kept_form_is_the_documented_one() {
    let named = |name: &'static str| Endpoint { service_name: name.into(), ..Endpoint::default() };
    let sent = Span {
        trace_id: TraceId(7_u128.to_be_bytes()),
        id: SpanId(2_u64.to_be_bytes()),
        kind: Some(Kind::Client),
        name: "pay".into(),
        duration: Some(3),
        local_endpoint: Some(Endpoint { ipv4: Some([10, 0, 0, 1].into()), ..named("cart") }),
        remote_endpoint: Some(Endpoint { port: Some(443), ..named("bank") }),
        annotations: vec![Annotation { timestamp: 5, value: "ws".into() }],
        tags: vec![("error".into(), "late".into())],
        debug: true,
        ..Span::default()
    };
    assert_documented(&request(&[sent]), "### A Zipkin span, byte by byte");
}

/// A list of the shortest spans there are, each recorded by a service of its own.
fn list_of_strangers(count: u32) -> Bytes {
    let mut list = Vec::new();
    for number in 1..=count {
        write::message(&mut list, 1, |span| {
            write::bytes(span, 1, &7_u64.to_be_bytes());
            write::bytes(span, 3, &u64::from(number).to_be_bytes());
            write::message(span, 8, |endpoint| write::string(endpoint, 1, &number.to_string()));
        });
    }
    list.into()
}

#[test]
fn a_list_holds_no_more_than_there_is_room_for() {
    let list = list_of_strangers(20_000);
    let mut asked = 0;
    let kept = batch(Format::Protobuf, &list, &mut |bytes| {
        assert!(bytes > asked, "it asks for more each time");
        asked = bytes;
        true
    });
    let kept = kept.unwrap();
    assert_eq!((kept.spans, kept.left_out), (20_000, 0));
    assert!(asked >= kept.request.len(), "{asked}");
    let request = Bytes::from(kept.request);
    assert_eq!(scan(&request, &Limits::default()).unwrap().accepted, 20_000);
    let told = spans(&request, &Limits::default()).unwrap();
    assert!(told.iter().all(|span| span.resource.service == u64::from_be_bytes(span.span_id.0).to_string()));

    let refused = batch(Format::Protobuf, &list, &mut |bytes| bytes < 1 << 20);
    assert_eq!(refused, Err(Error("there is no room for its spans".to_owned())));
}
