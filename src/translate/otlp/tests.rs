//! Messages: everything in them is what was stored, and none is larger than it may be.

use std::collections::HashSet;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::{for_others, has_links, messages, view};
use crate::model::{Origin, Resource, Scope, Span, Timestamp, content_hash, sketch};
use crate::otlp::arbitrary::{Shape, request, scrambled};
use crate::otlp::{self, AnyValue, Fields, Limits, ScopeView, SpanView, Value, write};
use crate::proto::jaeger::api_v2;
use crate::proto::opentelemetry::proto::trace::v1::TracesData;
use crate::translate::fit::LEAST_BYTES;
use crate::translate::jaeger::tests::{any_span, records};
use crate::translate::{jaeger, zipkin};

/// A span of a message, and what surrounds it: resource, scope, their schemas' urls.
type Placed = ([Bytes; 2], [Bytes; 2], Bytes);

fn bytes(field: u32, message: &Bytes) -> Vec<Bytes> {
    let of_number = |(number, value)| match value {
        Value::Bytes(bytes) if number == field => Some(message.slice_ref(bytes)),
        _ => None,
    };
    Fields::new(message).filter_map(of_number).collect()
}

fn envelope(message: &Bytes) -> [Bytes; 2] {
    [1, 3].map(|field| bytes(field, message).pop().unwrap_or_default())
}

/// The spans of a message, whose groups have spans and differ from each other.
fn placed(message: &TracesData) -> Vec<Placed> {
    let mut spans = Vec::new();
    let mut resources = HashSet::new();
    assert!(!message.resource_spans.is_empty());
    for resource_spans in &message.resource_spans {
        let only_known = Fields::new(resource_spans).all(|(number, _)| (1..=3).contains(&number));
        assert!(only_known, "who it came from is nobody else's business");
        let resource = envelope(resource_spans);
        assert!(resources.insert(resource.clone()), "the resource stands there twice");
        let mut scopes = HashSet::new();
        for scope_spans in bytes(2, resource_spans) {
            let scope = envelope(&scope_spans);
            assert!(scopes.insert(scope.clone()), "the scope stands there twice");
            let bodies = bytes(2, &scope_spans);
            assert!(!bodies.is_empty());
            spans.extend(bodies.into_iter().map(|body| (resource.clone(), scope.clone(), body)));
        }
        assert!(!scopes.is_empty());
    }
    spans
}

fn stored(span: &Span) -> Placed {
    let envelope = |message: &Bytes, url: &str| [message.clone(), Bytes::copy_from_slice(url.as_bytes())];
    (
        envelope(&span.resource.bytes, &span.resource.schema_url),
        envelope(&span.scope.bytes, &span.scope.schema_url),
        span.body.clone(),
    )
}

/// Stable, by first appearance of resource, then of scope.
fn grouped(spans: &[Placed]) -> Vec<Placed> {
    let first = |is_same: &dyn Fn(&Placed) -> bool| spans.iter().position(is_same);
    let mut grouped = spans.to_vec();
    grouped.sort_by_key(|(resource, scope, _)| {
        (first(&|other| other.0 == *resource), first(&|other| (&other.0, &other.1) == (resource, scope)))
    });
    grouped
}

/// All messages of these spans, none of them too large.
fn bounded(spans: &[Span], max_spans: usize, max_bytes: usize) -> Vec<TracesData> {
    let all: Vec<_> = messages(spans, max_spans, max_bytes).collect();
    for message in &all {
        let (length, count) = (message.encoded_len(), placed(message).len());
        assert!(length <= max_bytes.max(LEAST_BYTES), "{length} bytes, {max_bytes} are allowed");
        assert!((1..=max_spans.max(1)).contains(&count), "{count} spans, {max_spans} are allowed");
    }
    assert_eq!(all.iter().map(|message| placed(message).len()).sum::<usize>(), spans.len());
    all
}

/// Spans as they may arrive, of up to two requests.
fn spans() -> impl Strategy<Value = Vec<Span>> {
    (vec(request(), 1..3), vec(any::<u8>(), 0..200)).prop_map(|(requests, mut dice)| {
        let spans = requests.iter().flat_map(|request| {
            let bytes = Bytes::from(scrambled(&request.encode_to_vec(), Shape::Request, &mut dice));
            otlp::spans(&bytes, &Limits::default()).unwrap()
        });
        spans.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_came_as_otlp_leaves_byte_for_byte(spans in spans(), max_spans in 1..8usize) {
        let mut expected = spans.iter().map(stored);
        for message in bounded(&spans, max_spans, 1 << 20) {
            let found = placed(&message);
            let of_message: Vec<_> = expected.by_ref().take(found.len()).collect();
            prop_assert_eq!(found, grouped(&of_message));
        }
    }

    #[test]
    fn others_get_otlp_as_it_came_and_other_words_as_readers_do(parts in vec(part(), 0..5)) {
        let request = Bytes::from(parts.iter().map(|(bytes, _)| &bytes[..]).collect::<Vec<_>>().concat());
        let (mut expected, mut left_out) = (Vec::new(), 0);
        for (bytes, is_translated) in parts {
            if !is_translated {
                expected.extend_from_slice(&bytes);
                continue;
            }
            for group in bytes_of_groups(&bytes) {
                let (spans, others): (Vec<_>, Vec<_>) = otlp::accepted_spans(&group)
                    .unwrap()
                    .into_iter()
                    .partition(|span| !span.trace_id.is_zero() && !span.span_id.is_zero());
                left_out += others.len() as u32;
                expected.extend(bounded(&spans, usize::MAX, usize::MAX).iter().flat_map(prost::Message::encode_to_vec));
            }
        }
        let (said, others) = for_others(&request);
        prop_assert_eq!((&said[..], others), (&expected[..], left_out));
        prop_assert_eq!(for_others(&said), (said, 0));
    }

    #[test]
    fn whatever_the_bytes_others_get_something(
        parts in vec(part(), 1..3),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut request = parts.into_iter().map(|(bytes, _)| bytes).collect::<Vec<_>>().concat();
        for (at, byte) in damage {
            if !request.is_empty() {
                let at = at.index(request.len());
                request[at] = byte;
            }
        }
        for_others(&request.into());
    }

    #[test]
    fn any_bytes_can_be_said(span in any_bytes()) {
        let said = jaeger::span(&span);
        prop_assert_eq!((said.trace_id.len(), said.span_id.len()), (16, 8));
        prop_assert!(said.process.is_some() && said.start_time.is_some() && said.duration.is_some());
        prop_assert!(jaeger::request(&[said]).is_ok());
        zipkin::request(&[zipkin::span(&span)]);
        view(&span);
        bounded(std::slice::from_ref(&span), 1, 0);
        bounded(std::slice::from_ref(&span), 1, 1 << 20);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_message_is_too_large_whatever_is_in_it(
        spans in spans(),
        jaegers in vec(any_span(), 0..3),
        repeated in 1..400usize,
        max_bytes in 0..20_000usize,
    ) {
        let mut spans = [spans, records(&jaegers)].concat();
        spans.iter_mut().for_each(|span| span.body = span.body.repeat(repeated).into());
        bounded(&spans, 3, max_bytes);
    }
}

/// A request, and whether it is in Jaeger's or Zipkin's words.
fn part() -> impl Strategy<Value = (Vec<u8>, bool)> {
    prop_oneof![
        (request(), vec(any::<u8>(), 0..200)).prop_map(|(request, mut dice)| {
            (scrambled(&request.encode_to_vec(), Shape::Request, &mut dice), false)
        }),
        (vec(any_span(), 0..4), any::<bool>()).prop_map(|(mut spans, without_ids)| {
            if without_ids && let Some(span) = spans.first_mut() {
                span.span_id = Bytes::new();
            }
            (jaeger::request(&spans).unwrap(), true)
        }),
        vec(zipkin::tests::any_span(), 0..4).prop_map(|spans| (zipkin::request(&spans), true)),
    ]
}

/// The resources of a request, each as a request of its own.
fn bytes_of_groups(request: &[u8]) -> Vec<Bytes> {
    let group = |group: Bytes| {
        let mut request = Vec::new();
        write::bytes(&mut request, 1, &group);
        request.into()
    };
    bytes(1, &Bytes::copy_from_slice(request)).into_iter().map(group).collect()
}

/// A record whose messages are damaged, and that may have lied about its origin.
fn any_bytes() -> impl Strategy<Value = Span> {
    let body = prop_oneof![
        any_span().prop_map(|span| records(&[span]).remove(0).body.to_vec()),
        zipkin::tests::any_span().prop_map(|span| zipkin::tests::records(&[span]).remove(0).body.to_vec()),
        spans().prop_map(|spans| spans.first().map(|span| span.body.to_vec()).unwrap_or_default()),
    ];
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let origin = prop_oneof![Just(Origin::Otlp), Just(Origin::Jaeger), Just(Origin::Zipkin)];
    (body, damage, origin, any::<[u64; 2]>()).prop_map(|(mut body, damage, origin, times)| {
        for (at, byte) in damage {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
        }
        let mut span = sketch::trace(1, "shop | GET / | server | 0-1").remove(0);
        span.origin = origin;
        (span.start, span.end) = (Timestamp(times[0]), Timestamp(times[1]));
        span.resource = Resource { bytes: body.clone().into(), ..Resource::default() }.into();
        span.scope = Scope { bytes: body.clone().into(), ..Scope::default() }.into();
        span.body = body.into();
        span
    })
}

fn with_attributes(count: usize, length: usize) -> Span {
    let mut span = sketch::trace(1, "shop | GET / | server | 0-1 | !event=retry@0 !link=5").remove(0);
    let mut body = span.body.to_vec();
    for number in 0..count {
        write::message(&mut body, 9, |pair| {
            write::string(pair, 1, &format!("key.{number}"));
            write::message(pair, 2, |value| write::string(value, 1, &"ä".repeat(length / 2)));
        });
    }
    span.body = body.into();
    span.content_hash = content_hash(&span.resource, &span.scope, &span.body);
    span
}

/// What the only span of a message says.
fn only_span(messages: &[TracesData]) -> Bytes {
    assert_eq!(messages.len(), 1);
    placed(&messages[0]).remove(0).2
}

fn warnings(view: &SpanView<'_>) -> Vec<String> {
    let of_key: Vec<_> = view.attributes.iter().filter(|pair| pair.key == "@jaeger@warnings").collect();
    assert_eq!(of_key.len(), 1, "readers look at one");
    let AnyValue::Array(values) = &of_key[0].value else { panic!("{of_key:?}") };
    values.iter().map(|value| value.to_text().into_owned()).collect()
}

#[test]
fn a_request_in_otlps_words_is_not_copied_for_others() {
    let request = Bytes::from_static(&[10, 5, 0xfa, 0x3e, 2, b'o', b'k', 0xff]);
    let (said, left_out) = for_others(&request);
    assert_eq!((said.as_ptr(), said.len(), left_out), (request.as_ptr(), request.len(), 0));
}

#[test]
fn of_a_span_that_is_too_large_the_largest_values_are_cut() {
    let mut span = with_attributes(2, 5_000_000);
    let mut body = span.body.to_vec();
    super::from_jaeger::warnings(&mut body, [&b"late"[..]].into_iter());
    span.body = body.into();
    let body = only_span(&bounded(&[span], 1_000, 3_500_000));
    assert!(body.len() > 3_490_000, "{} bytes", body.len());
    let view = SpanView::read(&body);
    let lengths: Vec<_> = view.attributes.iter().map(|pair| pair.value.to_text().len()).collect();
    assert_eq!(lengths[0], lengths[1], "{lengths:?}");
    let whole = view.attributes.iter().all(|pair| !pair.value.to_text().contains('\u{fffd}'));
    assert!(whole, "a letter was cut in two");
    assert_eq!((view.events.len(), view.links.len()), (1, 1));
    let length = lengths[0].next_multiple_of(2);
    let said = warnings(&view);
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[0], "late");
    let expected = format!("values cut to {length} bytes: 2; it is stored whole");
    assert!(said[1].ends_with(&expected), "{} {expected}", said[1]);
}

#[test]
fn of_a_span_of_too_many_values_the_last_are_left_out() {
    let body = only_span(&bounded(&[with_attributes(60_000, 100)], 1_000, 1_000_000));
    assert!(body.len() > 990_000);
    let view = SpanView::read(&body);
    assert_eq!((view.events.len(), view.links.len()), (0, 0));
    let keys = view.attributes.iter().take(view.attributes.len() - 1).map(|pair| pair.key.to_string());
    assert!(keys.eq((0..view.attributes.len() - 1).map(|number| format!("key.{number}"))));
    let left_out = 60_001 - view.attributes.len();
    let said = warnings(&view).remove(0);
    let expected = format!("events left out: 1; links left out: 1; attributes left out: {left_out};");
    assert!(said.contains(&expected), "{said} {expected}");
}

#[test]
fn a_trace_of_many_spans_is_given_in_full_messages() {
    let tag =
        |word: &'static str| api_v2::KeyValue { key: "k".into(), v_str: word.into(), ..Default::default() };
    let jaegers: Vec<_> = (0..50_000u64)
        .map(|number| api_v2::Span {
            trace_id: Bytes::from_static(&[1; 16]),
            span_id: Bytes::copy_from_slice(&(number + 1).to_be_bytes()),
            tags: vec![tag("v")],
            ..Default::default()
        })
        .collect();
    let mut spans = vec![sketch::trace(1, "shop | GET / | server | 0-1").remove(0); 50_000];
    spans.extend(records(&jaegers));
    assert_eq!(bounded(&spans, 1_000, 3_500_000).len(), 100);
    let by_bytes = bounded(&spans, usize::MAX, 100_000);
    assert!(by_bytes[..by_bytes.len() - 1].iter().all(|message| message.encoded_len() > 99_000));
}

#[test]
fn a_message_is_closed_before_it_is_too_large() {
    let spans = vec![with_attributes(10, 300); 20];
    for max_bytes in (LEAST_BYTES..20_000).step_by(977) {
        assert!(bounded(&spans, 1_000, max_bytes).len() >= 20 * spans[0].body.len() / max_bytes);
    }
}

#[test]
fn a_resource_that_is_too_large_leaves_room_for_the_span() {
    let mut span = with_attributes(100, 1_000);
    let resource = with_attributes(20_000, 30).body.to_vec();
    let mut attributes = Vec::new();
    for pair in bytes(9, &resource.into()) {
        write::bytes(&mut attributes, 1, &pair);
    }
    let schema_url = "https://example.org/".repeat(10_000);
    span.resource = Resource { bytes: attributes.into(), schema_url, ..Resource::default() }.into();
    let found = placed(&bounded(&[span], 1, 40_000)[0]).remove(0);
    let [resource, url] = found.0;
    assert!((8_000..=10_000).contains(&resource.len()) && url.is_empty(), "{}", resource.len());
    assert!(found.2.len() > 25_000, "{}", found.2.len());
}

#[test]
fn of_a_jaeger_span_a_person_is_shown_nothing_twice() {
    let id = |id: u64| Bytes::copy_from_slice(&id.to_be_bytes());
    let reference = |span_id: u64, ref_type| api_v2::SpanRef {
        trace_id: Bytes::from_static(&[1; 16]),
        span_id: id(span_id),
        ref_type,
    };
    let text = |key: &'static str, text: &'static str| api_v2::KeyValue {
        key: key.into(),
        v_str: text.into(),
        ..Default::default()
    };
    let log = api_v2::Log { timestamp: None, fields: vec![text("event", "retry"), text("n", "1")] };
    let mut sent = api_v2::Span {
        trace_id: Bytes::from_static(&[1; 16]),
        span_id: id(1),
        references: vec![reference(2, 0)],
        logs: vec![log],
        ..Default::default()
    };
    let span = records(std::slice::from_ref(&sent)).remove(0);
    assert!(!has_links(&span));
    let shown = view(&span);
    assert!(shown.links.is_empty());
    let keys = |view: &SpanView<'_>| {
        view.events[0].attributes.iter().map(|pair| pair.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((&*shown.events[0].name, keys(&shown)), ("retry", vec!["n".into(), "@jaeger@time".into()]));
    for other in [reference(2, 0), reference(2, 1), reference(3, 0)] {
        sent.references = vec![reference(2, 0), other];
        let span = records(std::slice::from_ref(&sent)).remove(0);
        assert!(has_links(&span));
        assert_eq!(view(&span).links.len(), 1);
    }
}

#[test]
fn a_zipkin_span_is_said_once_and_without_what_is_zipkins_alone() {
    let list = r#"[{"traceId":"a","id":"b","kind":"CLIENT","shared":true,"debug":true,"timestamp":1,
        "remoteEndpoint":{"serviceName":"cart"},"tags":{"error":"boom","otel.status_code":"ERROR",
        "otel.status_description":"other","w3c.tracestate":"a=b","otel.library.name":"x","otel.scope.version":"2",
        "http.path":"/","span.kind":"client","peer.service":"tag"}}]"#;
    let spans = zipkin::tests::records(&zipkin::json::read(list.as_bytes()).unwrap().spans);
    let message = bounded(&spans, 1, 1 << 20).remove(0);
    let [(_, [scope, _], body)] = &placed(&message)[..] else { panic!("one span") };
    let view = SpanView::read(body);
    let pairs: Vec<_> =
        view.attributes.iter().map(|pair| format!("{}={}", pair.key, pair.value.to_text())).collect();
    assert_eq!(
        pairs,
        ["otel.status_description=other", "http.path=/", "peer.service=tag", "peer.service=cart"]
    );
    assert_eq!((&*view.status_message, &*view.trace_state), ("boom", "a=b"));
    let scope = ScopeView::read(scope);
    assert_eq!((&*scope.name, &*scope.version), ("x", "2"));
    assert!(Fields::new(body).all(|(number, _)| number <= 16));
}

#[test]
fn a_status_that_says_too_much_leaves_room_for_the_span() {
    let unknown: fn(&mut Vec<u8>) = |status| write::uint(status, 9, 1);
    let repeated: fn(&mut Vec<u8>) = |status| write::string(status, 2, "again");
    for fill in [unknown, repeated] {
        let mut span = with_attributes(10, 100);
        let mut body = span.body.to_vec();
        write::message(&mut body, 15, |status| {
            (0..100_000).for_each(|_| fill(status));
            write::string(status, 2, "broken");
            write::uint(status, 3, 2);
        });
        span.body = body.into();
        let body = only_span(&bounded(&[span], 1, 50_000));
        let view = SpanView::read(&body);
        assert_eq!((view.attributes.len(), view.events.len(), view.links.len()), (11, 1, 1));
        assert_eq!(view.status_message, "broken");
        assert_eq!(bytes(15, &body)[0][..], b"\x12\x06broken\x18\x02"[..]);
    }
}

#[test]
fn what_is_said_a_million_times_is_cut_in_no_time() {
    let mut span = with_attributes(60_000, 2);
    let mut body = span.body.to_vec();
    (0..1_000_000).for_each(|_| write::string(&mut body, 5, ""));
    span.body = body.into();
    let started = std::time::Instant::now();
    bounded(&[span], 1, 50_000);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
