//! Thrift that announces what it does not have: twenty bytes that want to be gigabytes.

use crate::attack::{Attack, Door, Means, PART};
use crate::ground;

const COLLECTOR: Door = Door::Named("Jaeger thrift");
const COMPACT: Door = Door::Named("agent, compact");
const BINARY: Door = Door::Named("agent, binary");
const OLD_ZIPKIN: Door = Door::Named("agent, old Zipkin");

const THRIFT: &[(&str, &str)] = &[("content-type", "application/x-thrift")];
const PACKED: &[(&str, &str)] = &[("content-type", "application/x-thrift"), ("content-encoding", "gzip")];

/// As long as a datagram can be (65 535 bytes, less what IPv4 and UDP take).
const DATAGRAM: usize = 65_507;

/// Types of the binary protocol.
const STRING: u8 = 11;
const STRUCT: u8 = 12;
const MAP: u8 = 13;
const LIST: u8 = 15;

/// `Batch.process`, `Batch.spans`.
const PROCESS: [u8; 3] = [STRUCT, 0, 1];
const SPANS: [u8; 3] = [LIST, 0, 2];

/// A field that no batch has.
const UNKNOWN: u8 = 99;

/// 2^31 - 1.
const MOST: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];

/// A message of the binary protocol that calls `method`, and the argument's first bytes.
fn binary(method: &[u8], argument: &[u8]) -> Vec<u8> {
    let length = (method.len() as u32).to_be_bytes();
    [&[0x80, 1, 0, 4][..], &length, method, &[0, 0, 0, 1], argument].concat()
}

/// The same of the compact protocol.
fn compact(method: &[u8], argument: &[u8]) -> Vec<u8> {
    [&[0x82, 0x81, 1, method.len() as u8][..], method, argument].concat()
}

fn post(
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: fn() -> Vec<u8>,
) -> Attack {
    let means = Means::Post { path: "/api/traces?format=jaeger.thrift", headers, body };
    Attack { name, answers: &["400", "413"], door: COLLECTOR, means }
}

fn thrown(name: &'static str, door: Door, bytes: fn() -> Vec<u8>) -> Attack {
    Attack { name, answers: &["thrown"], door, means: Means::Datagram(bytes) }
}

fn over_http() -> Vec<Attack> {
    vec![
        post("thrift: 2^31 spans in eight bytes", THRIFT, || [&SPANS[..], &[STRUCT], &MOST].concat()),
        post("thrift: a name of 2 GiB", THRIFT, || [&PROCESS[..], &[STRING, 0, 1], &MOST].concat()),
        post("thrift: a name of minus one byte", THRIFT, || {
            [&PROCESS[..], &[STRING, 0, 1], &[0xff; 4]].concat()
        }),
        post("thrift: minus one span", THRIFT, || [&SPANS[..], &[STRUCT], &[0xff; 4]].concat()),
        post("thrift: 2^31 of what takes no bytes", THRIFT, || [&[LIST, 0, UNKNOWN, 1][..], &MOST].concat()),
        post("thrift: a map of 2^31 of what takes no bytes", THRIFT, || {
            [&[MAP, 0, UNKNOWN, 1, 1][..], &MOST].concat()
        }),
        post("thrift: a map of 2^31 names", THRIFT, || {
            [&[MAP, 0, UNKNOWN, STRING, STRING][..], &MOST].concat()
        }),
        post("thrift: 200 000 structs in structs", THRIFT, || [STRUCT, 0, UNKNOWN].repeat(200_000)),
        post("thrift: 200 000 lists in lists", THRIFT, || {
            [&[LIST, 0, UNKNOWN][..], &[LIST, 0, 0, 0, 1].repeat(200_000)].concat()
        }),
        post("thrift: 20 million empty spans", THRIFT, || {
            let count = 20_000_000_u32 / PART as u32 - 100;
            [&SPANS[..], &[STRUCT], &count.to_be_bytes(), &vec![0; count as usize], &[0]].concat()
        }),
        post("thrift: 20 million empty spans, packed", PACKED, || {
            let count = 20_000_000_u32 / PART as u32 - 100;
            let spans =
                [&SPANS[..], &[STRUCT], &count.to_be_bytes(), &vec![0; count as usize], &[0]].concat();
            crate::packed::gzip(&spans)
        }),
        post("thrift: a body of nothing but fields", THRIFT, || [2, 0, UNKNOWN, 1].repeat(5_000_000)),
    ]
}

fn in_datagrams() -> Vec<Attack> {
    vec![
        thrown("a datagram of 2^31 spans", COMPACT, || {
            // A struct as the first argument, in it a list as its second field, of so many structs.
            compact(b"emitBatch", &[0x1c, 0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07])
        }),
        thrown("a datagram with a name of 2 GiB", COMPACT, || {
            compact(b"emitBatch", &[0x1c, 0x1c, 0x18, 0xff, 0xff, 0xff, 0xff, 0x07])
        }),
        thrown("a datagram whose method has 4 GiB of a name", COMPACT, || {
            vec![0x82, 0x81, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]
        }),
        thrown("a datagram with a map of 2^31", COMPACT, || {
            compact(b"emitBatch", &[0x1c, 0x9b, 0xff, 0xff, 0xff, 0xff, 0x07, 0x11])
        }),
        thrown("a datagram with a list of 2^31 of what takes no bytes", COMPACT, || {
            compact(b"emitBatch", &[0x1c, 0x99, 0xf0, 0xff, 0xff, 0xff, 0xff, 0x07])
        }),
        thrown("a datagram of 65 000 structs in structs", COMPACT, || {
            compact(b"emitBatch", &[0x1c; DATAGRAM - 13])
        }),
        thrown("a datagram of 65 000 lists in lists", COMPACT, || {
            compact(b"emitBatch", &[&[0x1c, 0x99][..], &[0x19; DATAGRAM - 15]].concat())
        }),
        thrown("a datagram of 65 000 empty spans", COMPACT, || {
            let spans = [&[0x1c, 0x29, 0xfc, 0xd0, 0xfb, 0x03][..], &[0; 65_000], &[0]].concat();
            compact(b"emitBatch", &spans)
        }),
        thrown("a datagram of a number without an end", COMPACT, || vec![0xff; DATAGRAM]),
        thrown("an empty datagram", COMPACT, Vec::new),
        thrown("a datagram of 2^31 spans, binary", BINARY, || {
            binary(b"emitBatch", &[&[STRUCT, 0, 1][..], &SPANS, &[STRUCT], &MOST].concat())
        }),
        thrown("a datagram whose method has 2 GiB of a name, binary", BINARY, || {
            [&[0x80, 1, 0, 4][..], &MOST].concat()
        }),
        thrown("a datagram of 20 000 structs in structs, binary", BINARY, || {
            binary(b"emitBatch", &[STRUCT, 0, 1].repeat(20_000))
        }),
        thrown("a datagram without a version word", BINARY, || [&MOST[..], b"emitBatch"].concat()),
        thrown("a datagram of 2^31 spans of Zipkin's", OLD_ZIPKIN, || {
            compact(b"emitZipkinBatch", &[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07])
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thrift_over_http_has_room_for_what_is_there_only() {
    ground::withstands(&over_http()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_have_room_for_what_is_there_only() {
    ground::withstands(&in_datagrams()).await;
}
