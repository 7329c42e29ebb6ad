//! Scanning export requests: words for every rejection, and requests of real SDKs.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tracelodge::otlp::{
    Limits, MAX_ENCLOSING_BYTES, MAX_VALUES, Scanned, SpanView, scan, spans, without_rejected, write,
};

use crate::judged::assert_judged_alike;
use crate::wire::captured;

/// Spans in a captured request.
const CAPTURED: [(&str, u32); 9] = [
    ("node-otlp-proto-none.pb", 6),
    ("node-otlp-proto-gzip.pb.gz", 6),
    ("node-otlp-grpc-none.grpcmsg.pb", 6),
    ("node-otlp-grpc-gzip.grpcmsg.pb", 6),
    ("node-otlp-proto-bulk1000.pb.gz", 1000),
    ("py-otlp-http-none.pb", 6),
    ("py-otlp-http-deflate.pb.zlib", 6),
    ("py-otlp-grpc-none.grpcmsg.pb", 6),
    ("py-otlp-http-bulk1000.pb.gz", 1000),
];

#[test]
fn every_span_of_a_real_sdk_is_taken_byte_for_byte() {
    for (name, count) in CAPTURED {
        let request = Bytes::from(captured(name));
        let scanned = scan(&request, &Limits::default()).unwrap();
        assert_eq!(scanned, Scanned { accepted: count, ..Scanned::default() }, "{name}");
        let records = spans(&request, &Limits::default()).unwrap();
        let decoded = ExportTraceServiceRequest::decode(&request[..]).unwrap();
        let decoded = decoded
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans);
        for (record, span) in records.iter().zip(decoded) {
            assert_eq!(record.span_id.0, span.span_id[..], "{name}");
            assert_eq!(SpanView::read(&record.body).attributes.len(), span.attributes.len(), "{name}");
            assert!(request.as_ptr_range().contains(&record.body.as_ptr()), "{name}: the body was copied");
            assert!(!record.resource.service.is_empty(), "{name}");
        }
        assert_eq!(without_rejected(&request, &Limits::default()).unwrap(), request, "{name}");
    }
}

#[test]
fn a_wrong_byte_anywhere_in_a_real_request_is_judged_as_prost_judges_it() {
    let request = captured("node-otlp-proto-none.pb");
    let id = request.windows(2).position(|key| key == [0x0a, 16]).expect("a span has a trace id");
    for place in 0..request.len() {
        assert_judged_alike(&request[..place]);
        let mut damaged = request.clone();
        // A span without a valid id excuses none of the others.
        damaged[id + 2..id + 18].fill(0);
        for flipped in [0x01, 0x08, 0x80, 0xff] {
            damaged[place] = request[place] ^ flipped;
            assert_judged_alike(&damaged);
        }
    }
}

/// A request with one resource, one scope and these spans.
fn request(spans: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Vec::new();
    write::message(&mut request, 1, |resource_spans| {
        write::message(resource_spans, 2, |scope_spans| {
            spans.iter().for_each(|span| write::bytes(scope_spans, 2, span));
        });
    });
    request
}

/// A good span, and what `more` appends to it.
fn span(more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut span = Vec::new();
    write::bytes(&mut span, 1, &[1; 16]);
    write::bytes(&mut span, 2, &[2; 8]);
    more(&mut span);
    span
}

/// An attribute whose value stands in `depth` arrays.
fn nested(out: &mut Vec<u8>, depth: usize) {
    fn value(out: &mut Vec<u8>, depth: usize) {
        if depth == 0 {
            return write::uint(out, 3, 7);
        }
        write::message(out, 5, |array| write::message(array, 1, |element| value(element, depth - 1)));
    }
    write::message(out, 9, |pair| {
        write::string(pair, 1, "deep");
        write::message(pair, 2, |out| value(out, depth));
    });
}

#[test]
fn each_unusable_span_is_rejected_alone_and_says_why() {
    let id = |field, id: &[u8]| span(|span| write::bytes(span, field, id));
    let message = |field, content: fn(&mut Vec<u8>)| span(|span| write::message(span, field, content));
    let link = |field, id: &[u8]| span(|span| write::message(span, 13, |link| write::bytes(link, field, id)));
    // The good part of a span is 28 bytes long: what is wrong follows it.
    let cases: Vec<(Vec<u8>, &str, usize)> = vec![
        (vec![], "no trace id", 0),
        (id(1, &[1; 15]), "trace id of 15 bytes, not 16,", 28),
        (id(1, &[0; 16]), "trace id is all zeros", 28),
        (id(2, &[]), "no span id", 28),
        (id(2, &[2; 9]), "span id of 9 bytes, not 8,", 28),
        (id(2, &[0; 8]), "span id is all zeros", 28),
        (id(4, &[3; 16]), "parent span id of 16 bytes, not 0 or 8,", 28),
        (link(1, &[3; 8]), "linked trace id of 8 bytes, not 0 or 16,", 30),
        (link(2, &[3; 16]), "linked span id of 16 bytes, not 0 or 8,", 30),
        (span(|span| span.push(0x0f)), "impossible wire type", 28),
        (span(|span| span.push(0x00)), "impossible field number", 28),
        (span(|span| span.extend([0x2a, 200])), "truncated field", 29),
        (span(|span| span.extend([0x2a, 9, b'a'])), "truncated field", 29),
        (span(|span| span.extend([0x39, 1, 2, 3])), "truncated field", 29),
        (span(|span| span.extend([0x30, 0xff])), "truncated field", 29),
        (span(|span| span.extend([0x30; 1].iter().chain(&[0xff; 11]))), "overlong varint", 29),
        (span(|span| span.extend([0x93, 0x03])), "truncated field", 30),
        (span(|span| span.extend([0x94, 0x03])), "unbalanced group", 28),
        (span(|span| write::uint(span, 5, 1)), "wrong wire type of field 5 of Span", 28),
        (span(|span| write::fixed64(span, 6, 1)), "wrong wire type of field 6 of Span", 28),
        (message(11, |out| write::uint(out, 1, 1)), "wrong wire type of field 1 of Event", 30),
        (message(13, |out| write::uint(out, 6, 1)), "wrong wire type of field 6 of Link", 30),
        (message(15, |out| write::string(out, 3, "")), "wrong wire type of field 3 of Status", 30),
        (message(9, |out| write::uint(out, 2, 1)), "wrong wire type of field 2 of KeyValue", 30),
        (
            message(9, |out| write::message(out, 2, |value| write::string(value, 3, "1"))),
            "wrong wire type of field 3 of AnyValue",
            32,
        ),
        (
            message(9, |out| {
                write::message(out, 2, |value| write::message(value, 5, |list| write::uint(list, 1, 1)));
            }),
            "wrong wire type of field 1 of ArrayValue",
            34,
        ),
        (
            message(9, |out| {
                write::string(out, 1, "k");
                write::message(out, 2, |value| value.extend([[0x18].as_slice(), &[0xff; 10], &[1]].concat()));
            }),
            "overlong varint",
            36,
        ),
        (span(|span| nested(span, 33)), "attribute value nested deeper than 32 levels", 171),
        (
            span(|span| write::bytes(span, 100, &[0; 1000])),
            "span of 1032 bytes, above receive.max_span_bytes = 1000",
            0,
        ),
    ];
    let limits = Limits { max_span_bytes: 1000 };
    let (good, other) = (span(|_| {}), span(|span| write::string(span, 5, "other")));
    for (bad, reason, offset) in cases {
        let bytes = request(&[good.clone(), bad.clone(), other.clone()]);
        let offset = offset + bytes.len() - (2 + other.len()) - bad.len();
        let scanned = scan(&bytes, &limits).unwrap();
        assert_eq!((scanned.accepted, scanned.rejected), (2, 1), "{reason}");
        let words = scanned.first_rejection.unwrap();
        assert_eq!(words, format!("resource_spans[0].scope_spans[0].spans[1]: {reason} at byte {offset}"));
        let kept = without_rejected(&bytes, &limits).unwrap();
        assert_eq!(kept, request(&[good.clone(), other.clone()]), "{reason}");
        let records = spans(&Bytes::from(bytes), &limits).unwrap();
        assert_eq!([&records[0].body, &records[1].body], [&good, &other], "{reason}");
    }
}

#[test]
fn damage_around_the_spans_fails_the_request_and_says_where() {
    let resource = |content: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = request(&[span(|_| {})]);
        write::message(&mut bytes, 1, content);
        bytes
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"hello".to_vec(), "request: unbalanced group at byte 2"),
        (b"{\"resourceSpans\":[]}".to_vec(), "request: truncated field at byte 2"),
        (vec![0x08, 0x01], "request: wrong wire type of field 1 of ExportTraceServiceRequest at byte 0"),
        (vec![0x0a, 0x05, 0x00], "request: truncated field at byte 1"),
        (resource(&|out| out.push(0x0a)), "resource_spans[1]: truncated field at byte 37"),
        (
            resource(&|out| write::uint(out, 2, 1)),
            "resource_spans[1]: wrong wire type of field 2 of ResourceSpans at byte 36",
        ),
        (
            resource(&|out| write::message(out, 1, |resource| write::uint(resource, 1, 1))),
            "resource_spans[1]: wrong wire type of field 1 of Resource at byte 38",
        ),
        (
            resource(&|out| write::message(out, 1, |resource| write::bytes(resource, 3, &[0x08, 0]))),
            "resource_spans[1]: wrong wire type of field 1 of EntityRef at byte 40",
        ),
        (
            resource(&|out| {
                write::message(out, 2, |_| {});
                write::message(out, 2, |scope| write::message(scope, 1, |scope| write::uint(scope, 1, 1)));
            }),
            "resource_spans[1].scope_spans[1]: wrong wire type of field 1 of InstrumentationScope at byte 42",
        ),
    ];
    for (bytes, words) in cases {
        let error = scan(&bytes, &Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), words);
        assert!(words.ends_with(&format!(" {}", error.offset())), "{words}");
        assert_eq!(without_rejected(&bytes, &Limits::default()).unwrap_err(), error);
        assert_eq!(spans(&Bytes::from(bytes), &Limits::default()).unwrap_err(), error);
    }
}

#[test]
fn values_may_nest_up_to_the_limit_and_no_deeper() {
    for (depth, accepted) in [(0, 1), (1, 1), (32, 1), (33, 0), (2000, 0)] {
        let bytes = request(&[span(|span| nested(span, depth))]);
        assert_eq!(scan(&bytes, &Limits::default()).unwrap().accepted, accepted, "{depth}");
    }
}

/// Appends this many values to a span.
type AppendValues<'a> = &'a dyn Fn(&mut Vec<u8>, usize);

#[test]
fn a_span_may_have_values_up_to_the_limit_and_no_more() {
    let empty =
        |field| move |out: &mut Vec<u8>, count| (0..count).for_each(|_| write::bytes(out, field, &[]));
    let event = |out: &mut Vec<u8>, count| write::message(out, 11, |event| empty(3)(event, count - 1));
    let link = |out: &mut Vec<u8>, count| write::message(out, 13, |link| empty(4)(link, count - 1));
    let list = |kind| {
        move |out: &mut Vec<u8>, count| {
            write::message(out, 9, |pair| {
                write::message(pair, 2, |value| {
                    write::message(value, kind, |list| empty(1)(list, count - 1))
                });
            });
        }
    };
    let mixed = |out: &mut Vec<u8>, count| {
        [9, 11, 13].iter().for_each(|field| empty(*field)(out, count / 4));
        list(5)(out, count - 3 * (count / 4));
    };
    let plain =
        |out: &mut Vec<u8>, count| (0..count).for_each(|_| write::bytes(out, 9, b"\x0a\0\x12\x02\x18\0"));
    let kinds: [(&str, AppendValues<'_>); 9] = [
        ("attributes", &empty(9)),
        ("plain attributes", &plain),
        ("events", &empty(11)),
        ("links", &empty(13)),
        ("attributes of an event", &event),
        ("attributes of a link", &link),
        ("members of an array", &list(5)),
        ("members of a map", &list(6)),
        ("of every kind", &mixed),
    ];
    for (kind, values) in kinds {
        let (full, beyond) = (span(|out| values(out, MAX_VALUES)), span(|out| values(out, MAX_VALUES + 1)));
        let bytes = request(&[full.clone(), beyond, full.clone()]);
        let scanned = scan(&bytes, &Limits::default()).unwrap();
        assert_eq!((scanned.accepted, scanned.rejected), (2, 1), "{kind}");
        let words = scanned.first_rejection.unwrap();
        let reason =
            "span with 65537 values (attributes, events, links, members of lists), above the limit of 65536,";
        assert!(
            words.starts_with(&format!("resource_spans[0].scope_spans[0].spans[1]: {reason}")),
            "{words}"
        );
        assert!(
            without_rejected(&bytes, &Limits::default()).unwrap() == request(&[full.clone(), full]),
            "{kind}"
        );
    }
}

#[test]
fn a_resource_or_scope_beyond_a_limit_refuses_the_request() {
    let around = |pieces: &[&[u8]], is_resource: bool| {
        let enclose = |out: &mut Vec<u8>| pieces.iter().for_each(|piece| write::bytes(out, 1, piece));
        let mut request = Vec::new();
        write::message(&mut request, 1, |resource_spans| {
            if is_resource {
                enclose(resource_spans);
            }
            write::message(resource_spans, 2, |scope_spans| {
                if !is_resource {
                    enclose(scope_spans);
                }
                write::bytes(scope_spans, 2, &span(|_| {}));
            });
        });
        request
    };
    for (is_resource, name, attribute, place) in [
        (true, "resource", 0x0a, "resource_spans[0]"),
        (false, "scope", 0x1a, "resource_spans[0].scope_spans[0]"),
    ] {
        let [long, longer] = [0, 1].map(|more| {
            let mut message = Vec::new();
            write::bytes(&mut message, 100, &vec![0; MAX_ENCLOSING_BYTES - 5 + more]);
            assert_eq!(message.len(), MAX_ENCLOSING_BYTES + more);
            message
        });
        let many = [attribute, 0].repeat(MAX_VALUES);
        for pieces in [&[&long[..]][..], &[&many[..]][..], &[&many[2..], &[attribute, 0]][..]] {
            let request = around(pieces, is_resource);
            assert_eq!(scan(&request, &Limits::default()).unwrap().accepted, 1, "{name}");
        }
        let too_long = format!("{name} of 1048577 bytes, above the limit of 1048576,");
        let too_many =
            "with 65537 values (attributes, events, links, members of lists), above the limit of 65536,";
        let too_many = format!("{name} {too_many}");
        let one = [attribute, 0];
        let cases: [(&[&[u8]], &str); 4] = [
            (&[&longer], &too_long),
            (&[&longer[..0], &longer], &too_long),
            (&[&many, &one], &too_many),
            (&[&[&many[..], &one].concat()], &too_many),
        ];
        for (pieces, words) in cases {
            let request = around(pieces, is_resource);
            let error = scan(&request, &Limits::default()).unwrap_err();
            let words = format!("{place}: {words} at byte {}", error.offset());
            assert_eq!(error.to_string(), words);
            assert_eq!(spans(&Bytes::from(request), &Limits::default()).unwrap_err(), error);
        }
    }
}

#[test]
fn fields_nobody_knows_are_stepped_over_and_kept() {
    // Groups of field 50, in each other.
    let groups = |depth: usize| {
        span(|span| span.extend([[0x93, 0x03].repeat(depth), [0x94, 0x03].repeat(depth)].concat()))
    };
    for (depth, accepted) in [(1, 1), (32, 1), (33, 0), (2000, 0)] {
        let bytes = request(&[groups(depth)]);
        let scanned = scan(&bytes, &Limits::default()).unwrap();
        assert_eq!(scanned.accepted, accepted, "{depth}: {:?}", scanned.first_rejection);
    }
    let unknown = span(|span| {
        write::uint(span, 1000, u64::MAX);
        write::fixed32(span, 0x1fff_ffff, 1);
        write::bytes(span, 99, b"\xff");
    });
    let records = spans(&Bytes::from(request(std::slice::from_ref(&unknown))), &Limits::default()).unwrap();
    assert_eq!(records[0].body, unknown);
}

#[test]
fn an_empty_request_holds_nothing() {
    assert_eq!(scan(&[], &Limits::default()).unwrap(), Scanned::default());
    assert_eq!(without_rejected(&[], &Limits::default()).unwrap(), b"");
    assert_eq!(spans(&Bytes::new(), &Limits::default()).unwrap(), []);
}

#[test]
fn text_that_is_not_utf8_is_kept_and_counted() {
    let broken = span(|span| write::bytes(span, 5, b"caf\xe9"));
    let fine = span(|span| write::string(span, 5, "café"));
    let scanned = scan(&request(&[fine.clone(), broken.clone()]), &Limits::default()).unwrap();
    assert_eq!((scanned.accepted, scanned.rejected, scanned.repaired), (2, 0, 1));
    let records = spans(&Bytes::from(request(std::slice::from_ref(&broken))), &Limits::default()).unwrap();
    assert_eq!(records[0].body, broken);
    assert_eq!(SpanView::name_of(&records[0].body), "caf\u{fffd}");
    // A resource with such text counts for each of its spans.
    let mut bytes = Vec::new();
    write::message(&mut bytes, 1, |resource_spans| {
        write::message(resource_spans, 2, |scope| {
            write::bytes(scope, 2, &fine);
            write::bytes(scope, 2, &fine);
        });
        write::bytes(resource_spans, 3, b"http://\xff");
    });
    assert_eq!(scan(&bytes, &Limits::default()).unwrap().repaired, 2);
}

#[test]
fn a_resource_may_come_late_and_in_pieces() {
    let attribute = |key: &'static str, value: &'static str| {
        move |resource: &mut Vec<u8>| {
            write::message(resource, 1, |pair| {
                write::string(pair, 1, key);
                write::message(pair, 2, |any| write::string(any, 1, value));
            });
        }
    };
    let mut bytes = Vec::new();
    write::message(&mut bytes, 1, |resource_spans| {
        write::message(resource_spans, 1, attribute("host.name", "tinderbox"));
        write::message(resource_spans, 2, |scope| write::bytes(scope, 2, &span(|_| {})));
        write::string(resource_spans, 3, "https://first");
        write::message(resource_spans, 1, attribute("service.name", "shop"));
        write::string(resource_spans, 3, "https://last");
    });
    let records = spans(&Bytes::from(bytes), &Limits::default()).unwrap();
    let mut merged = Vec::new();
    attribute("host.name", "tinderbox")(&mut merged);
    attribute("service.name", "shop")(&mut merged);
    let resource = &records[0].resource;
    assert_eq!((&resource.service[..], &resource.schema_url[..]), ("shop", "https://last"));
    assert_eq!(resource.bytes, merged);
}

#[test]
fn a_resource_in_very_many_pieces_costs_no_more_than_its_bytes() {
    let mut bytes = Vec::new();
    write::message(&mut bytes, 1, |resource_spans| {
        write::message(resource_spans, 1, |resource| write::bytes(resource, 100, &vec![0; 1 << 19]));
        (0..1 << 18).for_each(|_| write::bytes(resource_spans, 1, &[]));
    });
    // Copying the whole for each piece would take minutes.
    assert_eq!(scan(&bytes, &Limits::default()).unwrap(), Scanned::default());
}

#[test]
fn spans_of_one_scope_share_their_scope_and_resource() {
    let records =
        spans(&Bytes::from(captured("node-otlp-proto-bulk1000.pb.gz")), &Limits::default()).unwrap();
    let first = &records[0];
    assert!(records.iter().all(|span| std::sync::Arc::ptr_eq(&span.resource, &first.resource)));
    assert!(records.windows(2).all(|pair| pair[0].content_hash != pair[1].content_hash));
    let mut again = first.clone();
    again.resource = std::sync::Arc::new((*first.resource).clone());
    assert_eq!(
        tracelodge::model::content_hash(&again.resource, &again.scope, &again.body),
        first.content_hash
    );
}

#[test]
fn a_zero_parent_is_no_parent() {
    for parent in [&[][..], &[0; 8]] {
        let bytes = request(&[span(|span| write::bytes(span, 4, parent))]);
        let records = spans(&Bytes::from(bytes), &Limits::default()).unwrap();
        assert_eq!(records[0].parent_id, None);
    }
}

#[test]
fn an_enum_is_the_low_half_of_its_varint() {
    let odd = span(|span| {
        write::uint(span, 6, 1 << 32 | 2);
        write::message(span, 15, |status| write::uint(status, 3, 1 << 40 | 2));
    });
    let decoded = opentelemetry_proto::tonic::trace::v1::Span::decode(&odd[..]).unwrap();
    let records = spans(&Bytes::from(request(&[odd])), &Limits::default()).unwrap();
    assert_eq!((records[0].kind as i32, decoded.kind), (2, 2));
    assert_eq!((records[0].status as i32, decoded.status.unwrap().code), (2, 2));
}
