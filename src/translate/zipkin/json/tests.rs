//! What senders write, and what is written back.

use proptest::prelude::*;

use super::*;
use crate::model::{SpanId, TraceId};
use crate::translate::zipkin::tests::any_span;
use crate::translate::zipkin::{Annotation, Endpoint, Kind, Read, Span};

fn read_v1(body: &[u8]) -> Result<Read, Error> {
    Read::of(|sink| each_v1(&Bytes::copy_from_slice(body), sink))
}

fn one(json: &str) -> Span {
    let read = read(json.as_bytes()).unwrap();
    assert_eq!((read.spans.len(), read.left_out), (1, 0), "{json}: {:?}", read.first);
    read.spans.into_iter().next().unwrap()
}

fn with(members: &str) -> Span {
    one(&format!(r#"[{{"traceId":"1","id":"2",{members}}}]"#))
}

fn bare() -> Span {
    Span {
        trace_id: TraceId::parse_hex("1").unwrap(),
        id: SpanId::parse_hex("2").unwrap(),
        ..Span::default()
    }
}

const WHOLE: &str = concat!(
    r#"{"traceId":"463ac35c9f6413ad48485a3953bb6124","parentId":"0000000000000001","id":"000000000000000a","#,
    r#""kind":"CLIENT","name":"get /","timestamp":1472470996199000,"duration":207000,"#,
    r#""localEndpoint":{"serviceName":"frontend","ipv4":"127.0.0.1"},"#,
    r#""remoteEndpoint":{"serviceName":"backend","ipv4":"192.168.99.101","ipv6":"2001:db8::c001","port":9000},"#,
    r#""annotations":[{"timestamp":1472470996238000,"value":"foo"},{"timestamp":1472470996403000,"value":"b\"r"}],"#,
    r#""tags":{"http.path":"/api","clnt/finagle.version":"6.45.0"},"debug":true,"shared":true}"#
);

#[test]
fn a_whole_span_is_read_and_written_as_zipkin_writes_it() {
    let text = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    let span = one(&format!("[{WHOLE}]"));
    let expected = Span {
        trace_id: TraceId::parse_hex("463ac35c9f6413ad48485a3953bb6124").unwrap(),
        id: SpanId::parse_hex("a").unwrap(),
        parent_id: Some(SpanId::parse_hex("1").unwrap()),
        kind: Some(Kind::Client),
        name: text("get /"),
        timestamp: Some(1_472_470_996_199_000),
        duration: Some(207_000),
        local_endpoint: Some(Endpoint {
            service_name: text("frontend"),
            ipv4: Some([127, 0, 0, 1].into()),
            ..Endpoint::default()
        }),
        remote_endpoint: Some(Endpoint {
            service_name: text("backend"),
            ipv4: Some([192, 168, 99, 101].into()),
            ipv6: Some("2001:db8::c001".parse().unwrap()),
            port: Some(9_000),
        }),
        annotations: vec![
            Annotation { timestamp: 1_472_470_996_238_000, value: text("foo") },
            Annotation { timestamp: 1_472_470_996_403_000, value: text("b\"r") },
        ],
        tags: vec![(text("http.path"), text("/api")), (text("clnt/finagle.version"), text("6.45.0"))],
        debug: true,
        shared: true,
    };
    assert_eq!(span, expected);
    let mut out = Vec::new();
    write(&mut out, &span);
    assert_eq!(String::from_utf8(out).unwrap(), WHOLE);
    let mut out = Vec::new();
    write(&mut out, &bare());
    assert_eq!(out, br#"{"traceId":"0000000000000001","id":"0000000000000002"}"#);
}

#[test]
fn what_senders_mean_is_understood() {
    let text = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    let tags = |pairs: &[(&'static str, &'static str)]| {
        let tags = pairs.iter().map(|(key, value)| (text(key), text(value))).collect();
        Span { tags, ..bare() }
    };
    let local = |endpoint| Span { local_endpoint: Some(endpoint), ..bare() };
    let named = Endpoint { service_name: text("a"), ..Endpoint::default() };
    let started = |timestamp| Span { timestamp: Some(timestamp), ..bare() };
    let cases = [
        (
            r#""kind":null,"name":null,"tags":null,"annotations":null,"localEndpoint":null,"debug":null"#,
            bare(),
        ),
        (r#""parentId":null,"timestamp":null,"duration":0"#, bare()),
        (r#""parentId":"2""#, bare()),
        (r#""parentId":"0""#, bare()),
        (r#""parentId":"""#, bare()),
        (
            r#""tags":{"a":1.50,"b":true,"c":null,"d":[1,{"x":2}],"a":"2"}"#,
            tags(&[("a", "1.50"), ("b", "true"), ("d", r#"[1,{"x":2}]"#), ("a", "2")]),
        ),
        (r#""tags":[1],"annotations":{"a":2},"kind":"OTHER","localEndpoint":7"#, bare()),
        (r#""kind":"server""#, Span { kind: Some(Kind::Server), ..bare() }),
        (r#""timestamp":1472470996199000.7"#, started(1_472_470_996_199_000)),
        (r#""timestamp":1.472470996199e15"#, started(1_472_470_996_199_000)),
        (r#""timestamp":"1472470996199000""#, started(1_472_470_996_199_000)),
        (r#""timestamp":-1,"duration":-0.5"#, bare()),
        (r#""duration":5,"duration":6"#, Span { duration: Some(6), ..bare() }),
        (r#""debug":true,"shared":false"#, Span { debug: true, ..bare() }),
        (r#""unknown":{"a":[{}]},"name":7"#, Span { name: text("7"), ..bare() }),
        (r#""localEndpoint":{"serviceName":"a","ipv4":null,"ipv6":"x","port":0}"#, local(named.clone())),
        (
            r#""localEndpoint":{"serviceName":"a","port":"8080"}"#,
            local(Endpoint { port: Some(8_080), ..named.clone() }),
        ),
        (r#""localEndpoint":{"serviceName":"a","port":70000}"#, local(named.clone())),
        (
            r#""localEndpoint":{"serviceName":"a","ipv4":"::1"}"#,
            local(Endpoint { ipv6: Some("::1".parse().unwrap()), ..named }),
        ),
        (r#""localEndpoint":{"serviceName":""}"#, bare()),
        (
            r#""annotations":[{"timestamp":5,"value":"x"},7,{"value":null}]"#,
            Span { annotations: vec![Annotation { timestamp: 5, value: text("x") }], ..bare() },
        ),
    ];
    for (members, expected) in cases {
        assert_eq!(with(members), expected, "{members}");
    }
    assert_eq!(one(" {\"traceId\":\"0000000000000001\",\"id\":\"0000000000000002\"} "), bare());
    assert_eq!(one(r#"[{"id":"2","traceId":"0000000000000000000000000000000A"}]"#).trace_id.0[15], 10);
}

#[test]
fn a_span_that_cannot_be_kept_is_left_out_alone() {
    let cases = [
        (r#"{"id":"2"}"#, "span 1: no trace id"),
        (r#"{"traceId":"1"}"#, "span 1: no id"),
        (r#"{"traceId":"x","id":"2"}"#, "span 1: 'x' is not a trace id of 1 to 32 hex digits"),
        (
            r#"{"traceId":"1","id":"12345678901234567"}"#,
            "span 1: '12345678901234567' is not a span id of 1 to 16 hex digits",
        ),
        (r#"{"traceId":"1","id":""}"#, "span 1: '' is not a span id of 1 to 16 hex digits"),
        (r#"{"traceId":"1","id":2}"#, "span 1: id is not a text"),
        (
            r#"{"traceId":"0","id":"2"}"#,
            "span 1: an id of zeros: trace 00000000000000000000000000000000, span 0000000000000002",
        ),
        (r#"{"traceId":"1","id":"2","timestamp":"soon"}"#, "span 1: timestamp is not a number"),
        (r#"{"traceId":"1","id":"2","duration":[1]}"#, "span 1: duration is not a number"),
        ("null", "span 1: not an object"),
        ("[[]]", "span 1: not an object"),
    ];
    for (bad, why) in cases {
        let list = format!(r#"[{{"traceId":"1","id":"2"}}, {bad}, {{"traceId":"1","id":"3"}}]"#);
        for read in [read, read_v1] {
            let read = read(list.as_bytes()).unwrap();
            assert_eq!((read.spans.len(), read.left_out), (2, 1), "{bad}");
            assert_eq!(read.first.unwrap().0, why);
        }
    }
}

#[test]
fn too_many_tags_cost_their_span() {
    let tags = vec!["\"\":1"; crate::otlp::MAX_VALUES + 1].join(",");
    let read = read(format!(r#"[{{"traceId":"1","id":"2","tags":{{{tags}}}}}]"#).as_bytes()).unwrap();
    assert_eq!(read.left_out, 1);
    assert_eq!(read.first.unwrap().0, "span 0: more than 65536 tags and annotations");
}

#[test]
fn what_is_no_list_is_refused_by_its_place() {
    let cases = [
        ("7", "a list of spans was expected at line 1, column 1"),
        ("[{\"id\":1},\n {\"id\" 2}]", "a colon was expected at line 2, column 8"),
        ("[{}", "a comma or a closing bracket was expected at line 1, column 4"),
        ("[{},]", "a value was expected at line 1, column 5"),
        ("[] x", "nothing may follow here at line 1, column 4"),
        ("[{\"a\":\"b", "a text does not end at line 1, column 9"),
    ];
    for (json, why) in cases {
        assert_eq!(read(json.as_bytes()).unwrap_err().0, why, "{json}");
        assert_eq!(read_v1(json.as_bytes()).unwrap_err().0, why, "{json}");
    }
    for nothing in ["", "  ", "[]", "[ ]"] {
        assert_eq!(read(nothing.as_bytes()).unwrap(), Read::default());
    }
}

#[test]
fn the_first_version_is_read_with_values_of_any_type() {
    let json = concat!(
        r#"[{"traceId":"1","name":"get","id":"2","parentId":null,"timestamp":1472470996199000,"duration":207000,"#,
        r#""annotations":[{"timestamp":1472470996199000,"value":"cs","endpoint":{"serviceName":"a","ipv4":"127.0.0.1"}},"#,
        r#"{"timestamp":1472470996238000,"value":"foo","endpoint":null},"#,
        r#"{"timestamp":1472470996406000,"value":"cr","endpoint":{"serviceName":"a"}}],"#,
        r#""binaryAnnotations":[{"key":"http.path","value":"/api","endpoint":{"serviceName":"a"}},"#,
        r#"{"key":"code","value":200,"type":"I16"},{"key":"ok","value":false},{"key":"none","value":null},"#,
        r#"{"key":"sa","value":true,"endpoint":{"serviceName":"b","port":65535}}],"debug":true}]"#
    );
    let read = read_v1(json.as_bytes()).unwrap();
    let text = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    let expected = Span {
        kind: Some(Kind::Client),
        name: text("get"),
        timestamp: Some(1_472_470_996_199_000),
        duration: Some(207_000),
        local_endpoint: Some(Endpoint {
            service_name: text("a"),
            ipv4: Some([127, 0, 0, 1].into()),
            ..Endpoint::default()
        }),
        remote_endpoint: Some(Endpoint {
            service_name: text("b"),
            port: Some(65_535),
            ..Endpoint::default()
        }),
        annotations: vec![Annotation { timestamp: 1_472_470_996_238_000, value: text("foo") }],
        tags: vec![
            (text("http.path"), text("/api")),
            (text("code"), text("200")),
            (text("ok"), text("false")),
        ],
        debug: true,
        ..bare()
    };
    assert_eq!(read.spans, [expected]);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(mut span in any_span()) {
        prop_assume!(!span.trace_id.is_zero() && !span.id.is_zero() && span.parent_id != Some(span.id));
        prop_assume!(span.parent_id.is_none_or(|id| !id.is_zero()));
        let mut json = b"[".to_vec();
        write(&mut json, &span);
        json.push(b']');
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
        // JSON has no other text than UTF-8, and zero is none.
        let legible = |text: &mut bytes::Bytes| *text = String::from_utf8_lossy(text).into_owned().into();
        legible(&mut span.name);
        span.tags.iter_mut().for_each(|(key, value)| { legible(key); legible(value); });
        span.annotations.iter_mut().for_each(|annotation| legible(&mut annotation.value));
        let endpoints = [&mut span.local_endpoint, &mut span.remote_endpoint];
        for place in endpoints {
            if let Some(endpoint) = place {
                legible(&mut endpoint.service_name);
                endpoint.port = endpoint.port.filter(|port| *port != 0);
            }
            *place = place.take().and_then(|endpoint| (endpoint != Endpoint::default()).then_some(endpoint));
        }
        span.annotations.retain(|annotation| *annotation != Annotation::default());
        span.timestamp = span.timestamp.filter(|micros| *micros != 0);
        span.duration = span.duration.filter(|micros| *micros != 0);
        prop_assert_eq!(read(&json).unwrap().spans, [span]);
    }

    #[test]
    fn any_text_is_read_without_harm(
        text in r#"\[?\{("(traceId|id|timestamp|tags|annotations|localEndpoint|binaryAnnotations)":([0-9"\[{,}\]:a]{0,6}),?){0,4}\}?\]?"#,
    ) {
        let _either = (read(text.as_bytes()), read_v1(text.as_bytes()));
    }
}

#[test]
fn a_list_of_millions_of_spans_is_refused() {
    let list = |spans: usize| format!("[{}]", vec!["{}"; spans].join(",")).into_bytes();
    assert_eq!(read(&list(1_000)).unwrap().left_out, 1_000);
    let error = read(&list((512 << 10) + 1)).unwrap_err().to_string();
    assert!(error.starts_with("a list has at most 524288 spans"), "{error}");
}
