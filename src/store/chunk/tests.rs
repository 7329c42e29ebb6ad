//! Chunks: every span comes back, whatever it is; any bytes can be opened.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message as _;

use super::numbers::Numbers;
use super::{Chunk, Encoder, Item, MAX_BODY_BYTES, MAX_KEYS, read_any};
use crate::model::{
    Origin, Resource, Scope, Span, SpanId, SpanKind, StatusCode, Timestamp, TraceId, content_hash, sketch,
};
use crate::otlp::{self, Limits, SpanView, arbitrary, write};
use crate::store::tags::Tags;

type Source = (Arc<Resource>, Arc<Scope>);

/// A chunk of these spans, in the order of their ids, and what surrounds them.
struct Packed {
    spans: Vec<Span>,
    sources: Vec<Source>,
    chunk: Vec<u8>,
}

/// What an encoder says of the spans that it has just packed is what a reader of them finds.
fn check_seen(encoder: &Encoder, spans: &[Span]) {
    let names: Vec<_> = encoder.names().map(String::from_utf8_lossy).collect();
    assert_eq!(encoder.classes().len(), spans.len());
    for (class, span) in encoder.classes().iter().zip(spans) {
        let view = SpanView::read(&span.body);
        assert!((class.class as usize) < encoder.count_of_classes());
        assert_eq!(names[class.name as usize], view.name);
        let is_messaging = view.attributes.iter().any(|pair| pair.key.starts_with("messaging."));
        assert!(class.tells_of_calls || (view.links.is_empty() && !is_messaging), "{view:?}");
    }
}

impl Packed {
    fn new(spans: Vec<Span>) -> Self {
        Self::by(&mut Encoder::new(), spans)
    }

    fn by(encoder: &mut Encoder, mut spans: Vec<Span>) -> Self {
        spans.sort_by_key(|span| (span.trace_id, span.span_id, span.content_hash));
        let mut sources: Vec<Source> = Vec::new();
        let mut source_of = Vec::new();
        for span in &spans {
            let source = (Arc::clone(&span.resource), Arc::clone(&span.scope));
            let place = sources.iter().position(|known| *known == source);
            source_of.push(place.unwrap_or(sources.len()));
            if place.is_none() {
                sources.push(source);
            }
        }
        let items = spans.iter().zip(&source_of).map(|(span, &source)| Item { span, source: id_of(source) });
        let chunk = encoder.encode(&items.collect::<Vec<_>>(), &mut Tags::default()).unwrap();
        check_seen(encoder, &spans);
        Self { spans, sources, chunk }
    }

    fn source(&self, id: u32) -> Option<Source> {
        (0..self.sources.len()).find(|&place| id_of(place) == id).map(|place| self.sources[place].clone())
    }

    fn check(&self) -> Chunk {
        let chunk = Chunk::open(&self.chunk).unwrap();
        assert_eq!(chunk.len(), self.spans.len());
        for (place, span) in self.spans.iter().enumerate() {
            self.check_head(&chunk, place, span);
        }
        let traces: BTreeSet<_> = self.spans.iter().map(|span| span.trace_id).collect();
        assert!(chunk.traces().map(|(id, _)| id).eq(traces));
        let mut source = |id| self.source(id);
        assert_eq!(chunk.spans(0..chunk.len(), &mut source), self.spans);
        let mut alone = (0..chunk.len()).map(|place| chunk.span(place, &mut source).unwrap());
        assert!(alone.by_ref().eq(self.spans.iter().cloned()));
        drop(alone);
        chunk
    }

    fn check_head(&self, chunk: &Chunk, place: usize, span: &Span) {
        assert_eq!(chunk.trace_id(place), span.trace_id);
        assert_eq!(chunk.span_id(place), span.span_id);
        assert_eq!(chunk.parent_id(place), span.parent_id);
        assert_eq!((chunk.start(place), chunk.end(place)), (span.start, span.end));
        assert_eq!((chunk.kind(place), chunk.status(place)), (span.kind, span.status));
        assert_eq!(String::from_utf8_lossy(chunk.name(place)), SpanView::name_of(&span.body));
        assert!(chunk.sources().contains(&chunk.source(place)));
        assert_eq!(self.source(chunk.source(place)).unwrap().0, span.resource);
        assert!(chunk.find(span.trace_id, span.span_id).contains(&place));
        assert!(chunk.trace(span.trace_id).contains(&place));
    }
}

/// Ids of sources need not be dense, nor small.
fn id_of(source: usize) -> u32 {
    (source as u32).wrapping_mul(0x9e37_79b1)
}

/// How a sender may write a span that we would write otherwise.
#[derive(Debug, Clone, Copy)]
enum Habit {
    Plain,
    Rotated,
    Reversed,
    AllTwice,
    Padded,
    StrangeFields,
    Garbage,
    Cut,
    Nothing,
    Noise,
}

fn habit() -> impl Strategy<Value = Habit> {
    use Habit::{AllTwice, Cut, Garbage, Noise, Nothing, Padded, Plain, Reversed, Rotated, StrangeFields};
    select(vec![
        Plain,
        Plain,
        Rotated,
        Reversed,
        AllTwice,
        Padded,
        StrangeFields,
        Garbage,
        Cut,
        Nothing,
        Noise,
    ])
}

impl Habit {
    fn write(self, body: &[u8], noise: &[u8], at: Index) -> Vec<u8> {
        let mut fields = fields_of(body);
        match self {
            Self::Plain => {}
            Self::Rotated => {
                let middle = at.index(fields.len().max(1));
                fields.rotate_left(middle);
            }
            Self::Reversed => fields.reverse(),
            Self::AllTwice => fields.extend_from_within(..),
            Self::Padded => fields = fields.iter().map(|field| padded(field)).collect(),
            Self::StrangeFields => fields.insert(at.index(fields.len() + 1), vec![0x98, 0x06, 0x01]),
            Self::Garbage => fields.push(vec![0x4a, 0xff]),
            Self::Cut => return body[..at.index(body.len() + 1)].to_vec(),
            Self::Nothing => return Vec::new(),
            Self::Noise => return noise.to_vec(),
        }
        fields.concat()
    }
}

fn fields_of(body: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = otlp::Fields::new(body);
    let mut all = Vec::new();
    let mut start = 0;
    while fields.next().is_some() {
        all.push(body[start..fields.offset()].to_vec());
        start = fields.offset();
    }
    all
}

/// The field with its tag one byte longer than need be; an attribute with its length so.
fn padded(field: &[u8]) -> Vec<u8> {
    match *field {
        [0x4a, length, ref rest @ ..] if length < 0x80 => [&[0x4a, length | 0x80, 0], rest].concat(),
        [tag, ref rest @ ..] if tag < 0x80 => [&[tag | 0x80, 0], rest].concat(),
        _ => field.to_vec(),
    }
}

/// Spans as they may arrive, then moved into few traces with few ids, at any time.
fn spans() -> impl Strategy<Value = Vec<Span>> {
    let request = arbitrary::request().prop_map(|request| Bytes::from(request.encode_to_vec()));
    let times = select(vec![0, 1, 1_700_000_000_000_000_000, u64::MAX - 1, u64::MAX]);
    let moved = (any::<bool>(), 0..3u8, 0..4u8, 0..5u8, times.clone(), times);
    let change = (moved, habit(), vec(any::<u8>(), 0..40), any::<Index>());
    (vec(request, 1..6), vec(change, 40)).prop_map(|(requests, changes)| {
        let spans = requests.iter().flat_map(|request| otlp::spans(request, &Limits::default()).unwrap());
        let mut changed = Vec::new();
        for (mut span, (moved, habit, noise, at)) in spans.zip(changes) {
            span.body = habit.write(&span.body, &noise, at).into();
            if let (true, trace, id, parent, start, end) = moved {
                move_span(&mut span, trace, id, parent);
                (span.start, span.end) = (Timestamp(start), Timestamp(end));
            }
            span.content_hash = content_hash(&span.resource, &span.scope, &span.body);
            changed.push(span);
        }
        changed
    })
}

/// Trace ids have eight bytes, as those of old clients, and ids may be zeros, as Jaeger's; parents are none, in the
/// trace, or elsewhere.
fn move_span(span: &mut Span, trace: u8, id: u8, parent: u8) {
    span.trace_id = TraceId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, trace]);
    span.span_id = SpanId([id; 8]);
    span.origin = if trace == id { Origin::Jaeger } else { Origin::Otlp };
    span.parent_id = (parent > 0).then_some(SpanId([parent; 8]));
}

fn body_of(attributes: impl IntoIterator<Item = (String, String)>) -> Bytes {
    let mut body = Vec::new();
    write::string(&mut body, 5, "GET /");
    for (key, value) in attributes {
        write::message(&mut body, 9, |pair| {
            write::string(pair, 1, &key);
            write::message(pair, 2, |any| write::string(any, 1, &value));
        });
    }
    body.into()
}

fn span_of(number: u64, body: Bytes) -> Span {
    let (resource, scope) = <(Arc<Resource>, Arc<Scope>)>::default();
    Span {
        trace_id: sketch::trace_id(1 + number / 10),
        span_id: sketch::span_id(number + 1),
        parent_id: None,
        start: sketch::at(number),
        end: sketch::at(number + 5),
        kind: SpanKind::Server,
        status: StatusCode::Error,
        origin: Origin::Otlp,
        flags: 0x101,
        content_hash: content_hash(&resource, &scope, &body),
        resource,
        scope,
        body,
    }
}

fn drawn() -> Vec<Span> {
    let shop = "
        shop | GET /cart | server | 0-80 | http.status_code=500 user=alice !event=retry@30 !link=5
          cart | read | client | 10-70 | db.system=redis user=alice
            store | SELECT | server | 20-60 | db.system=redis !error=refused ^9
    ";
    let mut spans = sketch::trace(7, shop);
    spans.extend(sketch::trace(8, shop));
    spans
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_spans_come_back(spans in spans()) {
        Packed::new(spans).check();
    }

    #[test]
    fn an_encoder_remembers_nothing(first in spans(), second in spans()) {
        let mut encoder = Encoder::new();
        Packed::by(&mut encoder, first).check();
        let packed = Packed::by(&mut encoder, second);
        assert!(packed.chunk == Packed::new(packed.spans).chunk);
    }

    #[test]
    fn damage_is_found_or_does_no_harm(spans in spans(), changes in vec((any::<Index>(), any::<u8>()), 1..4)) {
        let mut chunk = Packed::new(spans).chunk;
        for (at, byte) in changes {
            let at = at.index(chunk.len());
            chunk[at] = byte;
        }
        read_any(&chunk);
    }
}

#[test]
fn what_stands_behind_what_is_no_field_says_nothing() {
    // A wire type that there is not, and then what would be a name.
    Packed::new(vec![span_of(1, Bytes::from_static(b"fx\0*\x01a"))]).check();
}

#[test]
fn drawn_traces_come_back() {
    let packed = Packed::new(drawn());
    packed.check();
}

#[test]
fn no_beginning_of_a_chunk_is_one() {
    let chunk = Packed::new(drawn()).chunk;
    for end in 0..chunk.len() {
        assert_eq!(read_any(&chunk[..end]), 0, "{end}");
    }
    assert_eq!(read_any(&chunk), 6);
    assert_eq!(read_any(&[&chunk[..], &[0]].concat()), 0);
}

/// Changes what is packed, then packs it again: zstd finds most other damage itself.
fn changed_inside(chunk: &[u8], change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> Vec<u8> {
    let mut rest = Numbers(&chunk[1..]);
    let numbers: Vec<_> = (0..8).map(|_| rest.number().unwrap()).collect();
    let [spans, traces, foreign, values, distinct, _, packed_head, _] = numbers[..] else { unreachable!() };
    let ids = rest.bytes((16 * traces + 8 * (spans + foreign)) as usize).unwrap();
    let mut head = zstd::bulk::decompress(rest.bytes(packed_head as usize).unwrap(), 1 << 20).unwrap();
    let mut body = zstd::bulk::decompress(rest.0, 1 << 20).unwrap();
    change(&mut head, &mut body);
    let packed = [&head, &body].map(|raw| zstd::bulk::compress(raw, 1).unwrap());
    let lengths = [head.len(), packed[0].len(), body.len()].map(|length| length as u64);
    let mut changed = vec![chunk[0]];
    let numbers = [spans, traces, foreign, values, distinct].into_iter().chain(lengths);
    numbers.for_each(|number| write::varint(&mut changed, number));
    [&changed, ids, &packed[0], &packed[1]].concat()
}

#[test]
fn damage_under_the_packing_is_found_or_does_no_harm() {
    let packed = Packed::new(drawn());
    assert_eq!(read_any(&changed_inside(&packed.chunk, |_, _| {})), 6);
    let mut lengths = (0, 0);
    changed_inside(&packed.chunk, |head, body| lengths = (head.len(), body.len()));
    for byte in [0, 1, 2, 0x7f, 0x80, 0xff] {
        for at in 0..lengths.0 {
            read_any(&changed_inside(&packed.chunk, |head, _| head[at] = byte));
        }
        for at in 0..lengths.1 {
            read_any(&changed_inside(&packed.chunk, |_, body| body[at] = byte));
        }
    }
    for end in 0..lengths.0 {
        assert_eq!(read_any(&changed_inside(&packed.chunk, |head, _| head.truncate(end))), 0);
    }
    for end in 0..lengths.1 {
        assert_eq!(read_any(&changed_inside(&packed.chunk, |_, body| body.truncate(end))), 0);
    }
}

#[test]
fn more_keys_than_columns_come_back() {
    let pair = |number: u64| (format!("key.{number}"), format!("value {}", number % 7));
    let spans =
        (0..1_000).map(|number| span_of(number, body_of((0..10).map(|place| pair(10 * number + place)))));
    let packed = Packed::new(spans.collect());
    packed.check();
    assert!(u64::from(MAX_KEYS) < 10_000);
}

#[test]
fn long_keys_and_values_come_back() {
    let text = |length| "x".repeat(length);
    let attributes = |length| [(text(length), text(1)), (text(1), text(length))];
    let lengths = [0, 1, 100, 120, 125, 126, 127, 128, 129, 16_380, 16_384, 1 << 20];
    let spans =
        lengths.into_iter().zip(0..).map(|(length, number)| span_of(number, body_of(attributes(length))));
    Packed::new(spans.collect()).check();
}

#[test]
fn a_trace_that_fills_a_chunk_comes_back() {
    let mut spans: Vec<_> = (0..5_000).map(|number| span_of(number, body_of([]))).collect();
    for (number, span) in (0..).zip(&mut spans) {
        span.trace_id = sketch::trace_id(1);
        span.parent_id = Some(sketch::span_id(number / 2 + 1));
    }
    let chunk = Packed::new(spans).check();
    assert_eq!(chunk.trace(sketch::trace_id(1)), 0..5_000);
    assert_eq!(chunk.trace(sketch::trace_id(2)), 0..0);
    assert_eq!(chunk.find(sketch::trace_id(1), sketch::span_id(9_000)).len(), 0);
}

#[test]
fn one_span_and_no_span_are_chunks() {
    Packed::new(vec![span_of(0, Bytes::new())]).check();
    assert!(Packed::new(Vec::new()).check().spans(0..0, &mut |_| None).is_empty());
}

#[test]
fn a_replaced_name_comes_back_and_is_not_the_spans() {
    let mut twice = Vec::new();
    ["first", "second", "third"].into_iter().for_each(|name| write::string(&mut twice, 5, name));
    let mut same = Vec::new();
    ["same", "other", "same"].into_iter().for_each(|name| write::string(&mut same, 5, name));
    let packed = Packed::new(vec![span_of(0, twice.into()), span_of(1, same.into())]);
    let chunk = packed.check();
    assert_eq!((chunk.name(0), chunk.name(1)), (&b"third"[..], &b"same"[..]));
}

#[test]
fn spans_without_their_source_are_left_out() {
    let chunk = Chunk::open(&Packed::new(drawn()).chunk).unwrap();
    assert!(chunk.spans(0..chunk.len(), &mut |_| None).is_empty());
    assert!(chunk.span(0, &mut |_| None).is_none());
}

#[test]
fn large_sources_are_asked_for_again_rather_than_kept() {
    let large = |number: u8| {
        let bytes = Bytes::from(vec![number; 1 << 20]);
        let resource = Arc::new(Resource { bytes, ..Resource::default() });
        let span = span_of(number.into(), Bytes::new());
        Span { content_hash: content_hash(&resource, &span.scope, &span.body), resource, ..span }
    };
    let packed = Packed::new((1..=6).map(large).collect());
    let chunk = packed.check();
    let mut asked = 0;
    let mut reader = chunk.reader(|id| {
        asked += 1;
        packed.source(id)
    });
    let reader = reader.as_mut().unwrap();
    for _again in 0..2 {
        for (place, span) in packed.spans.iter().enumerate() {
            assert_eq!(reader.span(place).as_ref(), Some(span));
            assert_eq!(reader.span(place).as_ref(), Some(span));
        }
    }
    assert!((7..=12).contains(&asked), "{asked}");
}

#[test]
fn alike_spans_take_few_bytes() {
    let spans = (0..2_000).map(|number| span_of(number, body_of([("http.route".into(), "/".into())])));
    let packed = Packed::new(spans.collect());
    assert!(packed.chunk.len() < 2_000 * 12, "{}", packed.chunk.len());
    assert!(packed.check().bytes() < 2_000 * 100);
}

#[test]
fn a_chunk_that_nobody_could_read_is_not_made() {
    let mut span = sketch::trace(1, "shop | GET / | server | 0-1").remove(0);
    span.body = Bytes::from(vec![0; MAX_BODY_BYTES / 3]);
    for (count, is_made) in [(3, true), (4, false)] {
        let items: Vec<_> = (0..count).map(|source| Item { span: &span, source }).collect();
        assert_eq!(Encoder::new().encode(&items, &mut Tags::default()).is_ok(), is_made, "{count}");
    }
}
