//! The skeleton read back by its description alone, with none of the encoder's code.

use http::{Request, header};
use tracelodge::query::Limits;

use crate::lodge::Lodge;
use crate::sketch::drawn;

/// Reads columns one after the other, each from a multiple of 8 bytes on.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn column<const N: usize, T>(&mut self, count: u32, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let end = self.at + N * count as usize;
        let values =
            self.bytes[self.at..end].chunks_exact(N).map(|chunk| read(chunk.try_into().unwrap())).collect();
        self.at = end.next_multiple_of(8);
        assert!(self.bytes[end..self.at].iter().all(|&byte| byte == 0), "the gap is filled with zeros");
        values
    }
}

#[derive(Debug)]
struct Skeleton {
    flags: u32,
    base: u64,
    duration: u64,
    trace_id: [u8; 16],
    start: Vec<f64>,
    durations: Vec<f64>,
    self_time: Vec<f64>,
    mark_offset: Vec<f64>,
    span_id: Vec<u64>,
    parent: Vec<u32>,
    subtree_end: Vec<u32>,
    name: Vec<String>,
    service: Vec<String>,
    mark_row: Vec<u32>,
    depth: Vec<u16>,
    kind: Vec<u8>,
    row_flags: Vec<u8>,
}

fn read(bytes: &[u8]) -> Skeleton {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(&bytes[..8], b"TLSKEL1\n");
    assert_eq!(u32_at(60), 0);
    let (n, s, b, m) = (u32_at(8), u32_at(48), u32_at(52), u32_at(56));
    let mut reader = Reader { bytes, at: 64 };
    let start = reader.column(n, f64::from_le_bytes);
    let durations = reader.column(n, f64::from_le_bytes);
    let self_time = reader.column(n, f64::from_le_bytes);
    let mark_offset = reader.column(m, f64::from_le_bytes);
    let span_id = reader.column(n, u64::from_be_bytes);
    let parent = reader.column(n, u32::from_le_bytes);
    let subtree_end = reader.column(n, u32::from_le_bytes);
    let name = reader.column(n, u32::from_le_bytes);
    let service = reader.column(n, u32::from_le_bytes);
    let mark_row = reader.column(m, u32::from_le_bytes);
    let ends = reader.column(s, u32::from_le_bytes);
    let depth = reader.column(n, u16::from_le_bytes);
    let kind = reader.column(n, |[byte]: [u8; 1]| byte);
    let row_flags = reader.column(n, |[byte]: [u8; 1]| byte);
    let blob = String::from_utf8(reader.column(b, |[byte]: [u8; 1]| byte)).unwrap();
    assert_eq!(reader.at, bytes.len(), "nothing follows");
    let string = |&number: &u32| {
        let from = if number == 0 { 0 } else { ends[number as usize - 1] };
        blob[from as usize..ends[number as usize] as usize].to_owned()
    };
    Skeleton {
        flags: u32_at(12),
        base: u64_at(16),
        duration: u64_at(24),
        trace_id: bytes[32..48].try_into().unwrap(),
        start,
        durations,
        self_time,
        mark_offset,
        span_id,
        parent,
        subtree_end,
        name: name.iter().map(string).collect(),
        service: service.iter().map(string).collect(),
        mark_row,
        depth,
        kind,
        row_flags,
    }
}

async fn skeleton(trace_id: u128, drawing: &str) -> Skeleton {
    skeleton_from(&Lodge::holding(&[drawn(trace_id, drawing)]), trace_id).await
}

async fn skeleton_from(lodge: &Lodge, trace_id: u128) -> Skeleton {
    let answer = lodge.get(&format!("/api/a1/trace/{trace_id:032x}/skeleton")).await;
    assert_eq!(answer.header("content-type"), "application/vnd.tracelodge.skeleton");
    read(&answer.body)
}

const NONE: u32 = u32::MAX;
const MS: f64 = 1e6;

#[tokio::test]
async fn a_whole_trace_is_one_tree_in_preorder() {
    let skeleton = skeleton(
        3 << 64 | 5,
        "shop | GET /cart | server | 0-100 | !event=a@10 !event=b@90\n\
         \x20 shop | load | internal | 5-30 | !ok\n\
         \x20   stock | SELECT ü | client | 10-25 | !error=x\n\
         \x20 pay | charge | client | 40-90 | !link=9",
    )
    .await;
    assert_eq!(
        (skeleton.flags, skeleton.base, skeleton.duration),
        (1, 1_700_000_000_000_000_000, 100_000_000)
    );
    assert_eq!(skeleton.trace_id, (3u128 << 64 | 5).to_be_bytes());
    assert_eq!(skeleton.span_id, [1, 2, 3, 4]);
    assert_eq!(skeleton.parent, [NONE, 0, 1, 0]);
    assert_eq!(skeleton.subtree_end, [4, 3, 3, 4]);
    assert_eq!(skeleton.depth, [0, 1, 2, 1]);
    assert_eq!(skeleton.start, [0.0, 5.0 * MS, 10.0 * MS, 40.0 * MS]);
    assert_eq!(skeleton.durations, [100.0 * MS, 25.0 * MS, 15.0 * MS, 50.0 * MS]);
    assert_eq!(skeleton.self_time, [25.0 * MS, 10.0 * MS, 15.0 * MS, 50.0 * MS]);
    assert_eq!(skeleton.name, ["GET /cart", "load", "SELECT ü", "charge"]);
    assert_eq!(skeleton.service, ["shop", "shop", "stock", "pay"]);
    assert_eq!(skeleton.kind, [2, 1, 3, 3]);
    assert_eq!(skeleton.row_flags, [8, 2, 1, 16]);
    assert_eq!((skeleton.mark_row, skeleton.mark_offset), (vec![0, 0], vec![10.0 * MS, 90.0 * MS]));
}

#[tokio::test]
async fn what_is_missing_or_shared_is_flagged_and_the_trace_not_complete() {
    let skeleton = skeleton(
        1,
        "a | call | client | 10-20\nb | call | server | 11-19 | #1\nc | orphan | server | 30-40 | ^77 !event=early@0",
    )
    .await;
    assert_eq!(skeleton.flags, 0);
    assert_eq!(skeleton.parent, [NONE, 0, NONE], "who answers is below who asks");
    assert_eq!(skeleton.row_flags, [32, 32, 4 | 8]);
    assert_eq!(skeleton.mark_offset, [-10.0 * MS], "an event may lie before the first span");
}

#[tokio::test]
async fn a_trace_of_two_halves_of_one_id_is_complete() {
    let halves =
        "a | call | client | 10-20 | #5\nb | call | server | 11-19 | #5\nb | work | internal | 12-14 | #6 ^5";
    let skeleton = skeleton(1, halves).await;
    assert_eq!((skeleton.flags, skeleton.row_flags), (1, vec![32, 32, 0]));
    assert_eq!((skeleton.parent, skeleton.self_time), (vec![NONE, 0, 1], vec![2.0 * MS, 6.0 * MS, 2.0 * MS]));
}

#[tokio::test]
async fn a_trace_larger_than_an_answer_is_flagged_as_cut() {
    let drawing = "a | call | client | 10-20\n  b | call | server | 11-19";
    let lodge = Lodge::holding(&[drawn(1, drawing)]).within(Limits { trace_bytes: 1, ..Limits::default() });
    let skeleton = skeleton_from(&lodge, 1).await;
    assert_eq!((skeleton.flags, skeleton.span_id.len()), (2, 1));
}

#[tokio::test]
async fn a_large_skeleton_is_packed_for_those_who_take_it() {
    let drawing: String = (0..200).map(|n| format!("shop | step {n} | internal | {n}-{}\n", n + 1)).collect();
    let lodge = Lodge::holding(&[drawn(1, &drawing)]);
    let request = Request::get("/api/a1/trace/1/skeleton").header(header::ACCEPT_ENCODING, "br, gzip");
    let answer = lodge.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut unpacked).unwrap();
    assert_eq!(read(&unpacked).span_id.len(), 200);
    assert!(answer.body.len() < unpacked.len() / 2);
}
