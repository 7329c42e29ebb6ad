//! Zipkin's spans, deep, wide and without measure.

use crate::attack::{Attack, Door, Means, PART};
use crate::ground;
use crate::packed::gzip;
use crate::protobuf::{announced, field};

const DOOR: Door = Door::Named("Zipkin");

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const PACKED_JSON: &[(&str, &str)] = &[("content-type", "application/json"), ("content-encoding", "gzip")];
const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
const THRIFT: &[(&str, &str)] = &[("content-type", "application/x-thrift")];

const V1: &str = "/api/v1/spans";
const V2: &str = "/api/v2/spans";

fn post(
    name: &'static str,
    answers: &'static [&'static str],
    (path, headers): (&'static str, &'static [(&'static str, &'static str)]),
    body: fn() -> Vec<u8>,
) -> Attack {
    Attack { name, answers, door: DOOR, means: Means::Post { path, headers, body } }
}

/// A list with one span that has this besides.
fn span(more: &str) -> Vec<u8> {
    format!(r#"[{{"traceId":"000000000000000a","id":"000000000000000b",{more}}}]"#).into_bytes()
}

fn attacks() -> Vec<Attack> {
    const TAKEN: &[&str] = &["202", "400", "413"];
    const REFUSED: &[&str] = &["400", "413"];
    vec![
        post("Zipkin: JSON of a million levels", REFUSED, (V2, JSON), || vec![b'['; 1_000_000]),
        post("Zipkin: a tag of a million levels", REFUSED, (V2, JSON), || {
            [&br#"[{"tags":{"a":"#[..], &br#"{"a":"#.repeat(1_000_000)].concat()
        }),
        post("Zipkin: 20 million levels, packed", REFUSED, (V2, PACKED_JSON), || gzip(&vec![b'['; 20 << 20])),
        post("Zipkin: seven million empty spans, packed", REFUSED, (V2, PACKED_JSON), || {
            gzip(format!("[{}]", vec!["{}"; 6_900_000 / PART].join(",")).as_bytes())
        }),
        post("Zipkin: half a million tags", TAKEN, (V2, JSON), || {
            let tags: Vec<_> = (0..500_000 / PART).map(|number| format!(r#""{number}":"""#)).collect();
            span(&format!(r#""tags":{{{}}}"#, tags.join(",")))
        }),
        post("Zipkin: a million empty annotations, packed", TAKEN, (V2, PACKED_JSON), || {
            gzip(&span(&format!(r#""annotations":[{}]"#, vec!["{}"; 1_000_000 / PART].join(","))))
        }),
        post("Zipkin: a name of 19 MiB", TAKEN, (V2, JSON), || {
            span(&format!(r#""name":"{}""#, "n".repeat(19 << 20)))
        }),
        post("Zipkin: an id of 19 million digits", REFUSED, (V2, JSON), || {
            format!(r#"[{{"traceId":"{}","id":"1"}}]"#, "a".repeat(19_000_000 / PART)).into_bytes()
        }),
        post("Zipkin: a time of a million digits", TAKEN, (V2, JSON), || {
            span(&format!(r#""timestamp":{}"#, "9".repeat(1_000_000)))
        }),
        post("Zipkin v1: JSON of a million levels", REFUSED, (V1, JSON), || vec![b'['; 1_000_000]),
        post("Zipkin v1: a million binary annotations, packed", TAKEN, (V1, PACKED_JSON), || {
            gzip(&span(&format!(r#""binaryAnnotations":[{}]"#, vec!["{}"; 1_000_000 / PART].join(","))))
        }),
        post("Zipkin v1: a value of 200 000 levels", TAKEN, (V1, JSON), || {
            let value = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
            span(&format!(r#""binaryAnnotations":[{{"key":"a","value":{value}}}]"#))
        }),
        post("Zipkin v1: 2^31 spans in five bytes", REFUSED, (V1, THRIFT), || {
            vec![12, 0x7f, 0xff, 0xff, 0xff]
        }),
        post("Zipkin v1: 20 million empty spans of thrift", REFUSED, (V1, THRIFT), || {
            let count = 20_000_000_u32 / PART as u32;
            [&[12][..], &count.to_be_bytes(), &vec![0; count as usize]].concat()
        }),
        post("Zipkin v1: 200 000 structs in structs", REFUSED, (V1, THRIFT), || {
            [&[12, 0, 0, 0, 1][..], &[12, 0, 99].repeat(200_000)].concat()
        }),
        post("Zipkin: a span of 2 GiB in six bytes", REFUSED, (V2, PROTOBUF), || {
            announced(1, i32::MAX as u64)
        }),
        post("Zipkin: ten million empty spans of protobuf", REFUSED, (V2, PROTOBUF), || {
            field(1, &[]).repeat((10 << 20) / PART)
        }),
        post("Zipkin: a million empty tags of protobuf", TAKEN, (V2, PROTOBUF), || {
            field(
                1,
                &[field(1, &[1; 16]), field(3, &[1; 8]), field(11, &[]).repeat(1_000_000 / PART)].concat(),
            )
        }),
        post("Zipkin: 20 million groups", REFUSED, (V2, PROTOBUF), || vec![0x0b; 20_000_000]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_of_zipkins_are_bounded() {
    ground::withstands(&attacks()).await;
}
