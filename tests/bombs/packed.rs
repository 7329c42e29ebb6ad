//! Bodies that become much larger when they are inflated.

use std::io::Write as _;

use flate2::write::{GzEncoder, ZlibEncoder};
use flate2::{Compress, Compression, FlushCompress};

use crate::attack::{Attack, Door, Means, PART, post};
use crate::protobuf::{field, framed};
use crate::{ground, nested};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const WRITE_SPAN: &str = "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan";
const SERVICES: &str = "/jaeger.api_v3.QueryService/GetServices";

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: &[(&str, &str)] = &[PROTOBUF, ("content-encoding", "gzip")];
const ZLIB: &[(&str, &str)] = &[PROTOBUF, ("content-encoding", "deflate")];
const ZSTD: &[(&str, &str)] = &[PROTOBUF, ("content-encoding", "zstd")];
const JSON_GZIP: &[(&str, &str)] = &[JSON, ("content-encoding", "gzip")];

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Ten gigabytes of zeros as one stream of deflate, by repeating a mebibyte of it that names nothing before it.
fn deflated_zeros() -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut piece = Vec::with_capacity(64 << 10);
    compress.compress_vec(&vec![0; 1 << 20], &mut piece, FlushCompress::Full).unwrap();
    piece.repeat(10 << 10)
}

fn gzip_of_zeros() -> Vec<u8> {
    // RFC 1952, section 2.3.
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &deflated_zeros()].concat()
}

fn zlib_of_zeros() -> Vec<u8> {
    // RFC 1950, section 2.2.
    [&[0x78, 0xda][..], &deflated_zeros()].concat()
}

/// A member of zeros, again and again.
fn members_of_zeros() -> Vec<u8> {
    gzip(&vec![0; 16 << 20]).repeat(640)
}

fn empty_members() -> Vec<u8> {
    gzip(b"").repeat(1_000_000 / PART)
}

/// Blocks that are only an end, of ten bits each (RFC 1951, section 3.2.3, fixed codes).
fn empty_deflate_blocks() -> Vec<u8> {
    let four = (0b010_u64 | 0b010 << 10 | 0b010 << 20 | 0b010 << 30).to_le_bytes();
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &four[..5].repeat(4_000_000 / PART)].concat()
}

/// A head with a name that does not end (RFC 1952, section 2.3.1, FNAME).
fn endless_name() -> Vec<u8> {
    [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255][..], &vec![b'n'; 19 << 20]].concat()
}

/// A frame of zstd (RFC 8878, section 3.1.1) with this window and one byte again and again: four bytes are 128 KiB.
fn zstd_of_zeros(window_log: u8, blocks: usize) -> Vec<u8> {
    // A block of one byte repeated: not the last, kind 1, its size.
    let size = (128_u32 << 10) << 3 | 1 << 1;
    let block = [&size.to_le_bytes()[..3], &[0]].concat();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3][..], &block.repeat(blocks)].concat()
}

fn zstd_of_ten_gigabytes() -> Vec<u8> {
    zstd_of_zeros(20, 80 << 10)
}

fn wide_zstd_window() -> Vec<u8> {
    zstd_of_zeros(31, 1_000)
}

/// A frame that says it has 4 EiB.
fn announced_zstd() -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(1_u64 << 62).to_le_bytes(), &[0x01, 0, 0]].concat()
}

fn empty_zstd_frames() -> Vec<u8> {
    // One last raw block of nothing; 9 bytes a frame.
    [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0].repeat(2_000_000 / PART)
}

fn small_zstd_frames() -> Vec<u8> {
    // One last block of a byte ten times.
    [0x28, 0xb5, 0x2f, 0xfd, 0x20, 10, 0x53, 0, 0, b'a'].repeat(2_000_000 / PART)
}

fn skipped_zstd_frames() -> Vec<u8> {
    [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].repeat(2_000_000 / PART)
}

/// Packed twice: one layer is taken off, the other is no protobuf.
fn packed_twice() -> Vec<u8> {
    gzip(&gzip_of_zeros())
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As much as a request may have, of resources with nothing in them.
fn empty_resources() -> Vec<u8> {
    field(1, &[]).repeat((10 << 20) / PART)
}

fn call(
    name: &'static str,
    answers: &'static [&'static str],
    (door, path, coding): (Door, &'static str, &'static str),
    body: fn() -> Vec<u8>,
) -> Attack {
    Attack { name, answers, door, means: Means::Call { path, coding, body } }
}

fn over_http() -> Vec<Attack> {
    vec![
        post("gzip of 10 GiB", &["413"], GZIP, gzip_of_zeros),
        post("gzip in 640 members of 16 MiB", &["413"], GZIP, members_of_zeros),
        post("gzip in a million empty members", &["400"], GZIP, empty_members),
        post("gzip with a name of 19 MiB", &["400"], GZIP, endless_name),
        post("gzip in gzip", &["400"], GZIP, packed_twice),
        post("zlib of 10 GiB", &["413"], ZLIB, zlib_of_zeros),
        post("zstd of 10 GiB", &["413"], ZSTD, zstd_of_ten_gigabytes),
        post("zstd with a window of 2 GiB", &["400"], ZSTD, wide_zstd_window),
        post("zstd that says it has 4 EiB", &["400"], ZSTD, announced_zstd),
        post("zstd in two million empty frames", &["400"], ZSTD, empty_zstd_frames),
        post("zstd in two million frames to skip", &["400"], ZSTD, skipped_zstd_frames),
        post("zstd in two million frames of ten bytes", &["400"], ZSTD, small_zstd_frames),
        post("gzip in sixteen million empty blocks", &["400"], GZIP, empty_deflate_blocks),
        post("ten million empty resources, packed", &["200", "400"], GZIP, || gzip(&empty_resources())),
        post("ten million empty resources, in zlib", &["200", "400"], ZLIB, || zlib(&empty_resources())),
        post("JSON of 10 GiB of spaces", &["413"], JSON_GZIP, || gzip(&[b' '; 16 << 20]).repeat(640)),
        post("JSON of 20 million levels, packed", &["400"], JSON_GZIP, || gzip(&[b'['; 20 << 20])),
        post("JSON of 90 levels in a value, packed", &["400"], JSON_GZIP, || gzip(&nested::json_value(90))),
    ]
}

fn over_grpc() -> Vec<Attack> {
    let limit: &[&str] = &["grpc 8"];
    vec![
        call("gzip of 10 GiB in a call", limit, (Door::OtlpGrpc, EXPORT, "gzip"), || {
            framed(1, &gzip_of_zeros())
        }),
        call("zstd of 10 GiB in a call", limit, (Door::OtlpGrpc, EXPORT, "zstd"), || {
            framed(1, &zstd_of_ten_gigabytes())
        }),
        call("gzip of 10 GiB as a span of Jaeger's", limit, (Door::Storage, WRITE_SPAN, "gzip"), || {
            framed(1, &gzip_of_zeros())
        }),
        call("gzip of 10 GiB as a question", &["grpc 8", "grpc 11"], (Door::Query, SERVICES, "gzip"), || {
            framed(1, &gzip(&vec![0; 100 << 20]))
        }),
        call("zstd of 10 GiB as a question", &["grpc 8", "grpc 11"], (Door::Query, SERVICES, "zstd"), || {
            framed(1, &zstd_of_zeros(20, 1_900))
        }),
        call(
            "zlib of 200 MiB as a question",
            &["grpc 8", "grpc 11"],
            (Door::Query, SERVICES, "deflate"),
            || framed(1, &zlib(&vec![0; 200 << 20])),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_packed_is_inflated_within_the_limit() {
    ground::withstands(&over_http()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_packed_in_a_call_is_inflated_within_the_limit() {
    ground::withstands(&over_grpc()).await;
}
