//! The packed store beside the literal one: whatever happens to both, they give the same answers.
//!
//! `STORE_CASES=100000 cargo test --release packed_spans` tries more cases than every day's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use tempfile::TempDir;

use super::tests::{TINY, settings};
use super::*;
use crate::model::sketch::{BASE, at, span_id, trace, trace_id};
use crate::model::{SpanId, SpanKind, StatusCode, content_hash};
use crate::otlp;
use crate::otlp::arbitrary::{Shape, request, scrambled};

const BUFFERS: [[u8; 16]; 2] = [[7; 16], [8; 16]];
const HOUR: Duration = Duration::from_secs(3_600);
const SERVICES: [&str; 6] = ["shop", "cart", "", "a/b", "a\u{0}b", LONG];

/// Longer than what stands in a key.
const LONG: &str = "a name of a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand bytes \
and more, a name of a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and more, \
a name of a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and more, a name of \
a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand \
bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and \
more, a name of a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and more, a \
name of a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and more, a name of a \
thousand bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand \
bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and more, a name of a thousand bytes and \
more, a name of a thousand bytes and more.";

/// A span in the making, in numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed {
    trace: u8,
    id: u8,
    /// 0: none.
    parent: u8,
    service: u8,
    name: u8,
    kind: u8,
    status: u8,
    /// Milliseconds, some of them far away.
    start: u16,
    length: u16,
    /// What makes spans of one id different.
    content: u8,
}

const TRACES: u8 = 6;
const IDS: u8 = 12;

fn seed() -> impl Strategy<Value = Seed> {
    let ids = (0..TRACES, 1..=IDS, 0..=IDS);
    let what = (0..SERVICES.len() as u8, 0..4u8, 0..6u8, 0..3u8);
    (ids, what, 0..4_000u16, any::<u16>(), 0..4u8).prop_map(|(ids, what, start, length, content)| {
        let ((trace, id, parent), (service, name, kind, status)) = (ids, what);
        Seed { trace, id, parent, service, name, kind, status, start, length, content }
    })
}

impl Seed {
    /// The one span of this id in its trace, where ids are not shared.
    fn alone(self) -> Self {
        let mix = self.id.wrapping_mul(31).wrapping_add(self.trace.wrapping_mul(7));
        Self {
            parent: mix % (IDS + 1),
            service: mix / 3 % SERVICES.len() as u8,
            name: mix / 5 % 4,
            kind: mix % 6,
            status: mix % 3,
            start: u16::from(mix) * 16,
            length: u16::from(mix) * 3,
            content: 0,
            ..self
        }
    }

    fn span(self) -> Span {
        let names = ["GET /cart", "load", "", LONG];
        let kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"];
        let drawn = format!(
            "x | x | {} | 0-1 | http.status_code={} retried=true scope:name=lib resource:zone={} event:level=warn",
            kinds[usize::from(self.kind)],
            200 + u16::from(self.content) * 100,
            self.service % 2,
        );
        let drawn = trace(u64::from(self.trace) + 1, &drawn).remove(0);
        let mut resource = (*drawn.resource).clone();
        resource.service = SERVICES[usize::from(self.service)].to_owned();
        // A field nobody knows says what the message does not: which of the twins it is.
        let name = names[usize::from(self.name)].as_bytes();
        let mut body = drawn.body.to_vec();
        crate::otlp::write::bytes(&mut body, 5, name);
        crate::otlp::write::bytes(&mut body, 1_000, &[self.id, self.parent, self.content, self.status]);
        let body = Bytes::from(body);
        let start = match self.start {
            0 => Timestamp::ZERO,
            1 => Timestamp::MAX,
            millis => at(millis.into()),
        };
        Span {
            span_id: span_id(self.id.into()),
            parent_id: (self.parent > 0).then(|| span_id(self.parent.into())),
            start,
            end: Timestamp(start.nanos().wrapping_add(u64::from(self.length) * 999_983)),
            status: StatusCode::from_number(self.status.into()),
            content_hash: content_hash(&resource, &drawn.scope, &body),
            resource: Arc::new(resource),
            body,
            ..drawn
        }
    }
}

/// What may happen to both stores.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// New spans come, and some that came before.
    Append {
        new: Vec<Seed>,
        again: Vec<Index>,
        buffer: bool,
        step: u8,
    },
    Merge,
    Roll,
    Restart,
    Pin(u8),
    /// So many hours pass, and what is due goes. Hours: runs that are less than half of one apart go together when
    /// they are merged.
    Pass(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let append = (vec(seed(), 0..14), vec(any::<Index>(), 0..6), any::<bool>(), 0..3u8)
        .prop_map(|(new, again, buffer, step)| Event::Append { new, again, buffer, step });
    prop_oneof![
        8 => append,
        2 => Just(Event::Merge),
        2 => Just(Event::Roll),
        2 => Just(Event::Restart),
        1 => (0..=TRACES).prop_map(Event::Pin),
    ]
}

fn event_in_time() -> impl Strategy<Value = Event> {
    prop_oneof![8 => event(), 3 => (0..14u32).prop_map(Event::Pass)]
}

/// Both stores, and all that was ever given to them.
struct Both {
    folders: [TempDir; 2],
    packed: Option<Store>,
    literal: Option<literal::Store>,
    given: Vec<Span>,
    sequences: [u64; 2],
    now: Timestamp,
    /// Whether something went: names and calls go with their block here, and one by one there.
    has_expired: bool,
}

impl Both {
    fn new() -> Self {
        let mut both = Self {
            folders: [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()],
            packed: None,
            literal: None,
            given: Vec::new(),
            sequences: [10; 2],
            now: BASE,
            has_expired: false,
        };
        both.open();
        both
    }

    fn open(&mut self) {
        (self.packed, self.literal) = (None, None);
        let settings = Settings { cache_bytes: 1 << 20, ..settings() };
        let old = literal::Settings { cache_bytes: 1 << 20, max_age: settings.max_age };
        let files = Arc::new(Folder::open(self.folders[0].path()).unwrap());
        self.packed = Some(Store::with_files(files, &settings, TINY, self.now).unwrap());
        self.literal = Some(literal::Store::open(self.folders[1].path(), &old).unwrap());
        // The packed one hides what is due when it is opened.
        self.expire_literal();
    }

    fn packed(&self) -> &Store {
        self.packed.as_ref().unwrap()
    }

    fn literal(&self) -> &literal::Store {
        self.literal.as_ref().unwrap()
    }

    fn expire_literal(&mut self) {
        loop {
            let expired = self.literal().expire(self.now).unwrap();
            self.has_expired |= expired.spans > 0;
            if !expired.more {
                return;
            }
        }
    }

    fn happens(&mut self, event: &Event, alone: bool) -> Result<(), TestCaseError> {
        match event {
            Event::Append { new, again, buffer, step } => {
                let old: Vec<Span> = match &self.given[..] {
                    [] => Vec::new(),
                    given => again.iter().map(|place| place.get(given).clone()).collect(),
                };
                let new = new.iter().map(|seed| if alone { seed.alone() } else { *seed }.span());
                let spans: Vec<Span> = new.chain(old).collect();
                let sequence = &mut self.sequences[usize::from(*buffer)];
                // Sometimes back.
                *sequence = sequence.saturating_add((*step).into()).saturating_sub(1);
                let cursor = Cursor { buffer: BUFFERS[usize::from(*buffer)], signal: 1, sequence: *sequence };
                self.append(&spans, &cursor)?;
            }
            Event::Merge => drop(self.packed().merge().unwrap().is_some()),
            Event::Roll => self.packed().roll(self.now).unwrap(),
            Event::Restart => self.open(),
            Event::Pin(number) => {
                let id = trace_id(u64::from(*number) + 1);
                let packed = self.packed().pin(id, self.now).unwrap();
                prop_assert_eq!(packed, self.literal().pin(id).unwrap());
            }
            Event::Pass(hours) => {
                self.now = self.now.plus(HOUR * *hours);
                self.packed().expire(self.now).unwrap();
                self.expire_literal();
            }
        }
        Ok(())
    }

    fn append(&mut self, spans: &[Span], cursor: &Cursor) -> Result<(), TestCaseError> {
        let packed = self.packed().append(spans, cursor, self.now).unwrap();
        let literal = self.literal().append(spans, cursor, self.now).unwrap();
        prop_assert_eq!(packed, literal);
        self.given.extend_from_slice(spans);
        Ok(())
    }

    /// All that was given is there.
    fn check_given(&self) -> Result<(), TestCaseError> {
        let (packed, literal) = (self.packed().snapshot().unwrap(), self.literal().snapshot().unwrap());
        for id in self.given.iter().map(|span| span.trace_id).collect::<BTreeSet<_>>() {
            let one = sorted(packed.trace(id, usize::MAX).unwrap().spans);
            prop_assert_eq!(one, sorted(literal.trace(id, usize::MAX).unwrap().spans));
        }
        Ok(())
    }

    fn check_traces(&self) -> Result<(), TestCaseError> {
        let (packed, literal) = (self.packed().snapshot().unwrap(), self.literal().snapshot().unwrap());
        for number in 1..=u64::from(TRACES) + 1 {
            let id = trace_id(number);
            let one = sorted(packed.trace(id, usize::MAX).unwrap().spans);
            let other = sorted(literal.trace(id, usize::MAX).unwrap().spans);
            prop_assert_eq!(brief(&one), brief(&other));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(packed.bounds(id).unwrap(), bounds(&one));
            for spans in [1, 3, usize::MAX] {
                let mut walked = Vec::new();
                let all = packed.each_piece(id, PieceLimits { spans, bytes: usize::MAX }, |piece| {
                    let fits = (1..=spans).contains(&piece.len());
                    walked.extend(piece);
                    if fits { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                prop_assert!(all.unwrap().is_continue(), "a piece is neither empty nor too large");
                prop_assert_eq!(sorted(walked), one.clone());
            }
            for wanted in [1, 5, 9] {
                let wanted: BTreeSet<SpanId> = (wanted..wanted + 3).map(span_id).collect();
                let one = sorted(packed.spans_with_ids(id, &wanted, usize::MAX).unwrap().spans);
                let other = sorted(literal.spans_with_ids(id, &wanted, usize::MAX).unwrap().spans);
                prop_assert_eq!(one, other);
            }
        }
        for buffer in BUFFERS {
            let packed = self.packed().cursor(buffer, 1).unwrap();
            prop_assert_eq!(packed, self.literal().cursor(buffer, 1).unwrap());
        }
        Ok(())
    }

    /// What a search comes upon is all there is, by service and without one.
    fn check_index(&self) -> Result<(), TestCaseError> {
        let (packed, literal) = (self.packed().snapshot().unwrap(), self.literal().snapshot().unwrap());
        let there = self.packed().snapshot().unwrap().services().unwrap();
        let named = there.iter().map(String::as_str).chain(SERVICES).chain(["nobody"]);
        for service in named.map(Some).chain([None]) {
            let all = Filter {
                service: service.map(|service| shortened(service).into_owned()),
                operation: None,
                kind: None,
                status: None,
                tags: Vec::new(),
                starts: Timestamp::ZERO..=Timestamp::MAX,
                durations: Duration::ZERO..=Duration::MAX,
            };
            let (mut scan, mut candidates) = (packed.scan(&all).unwrap(), Vec::new());
            while scan.advance(&mut candidates).unwrap() {}
            let mut found = BTreeSet::new();
            for candidate in &candidates {
                let span = scan.span(candidate).unwrap().unwrap();
                prop_assert!(span.start <= candidate.start_at_most);
                found.insert((span.start, literal::Identity::of(&span)));
            }
            let newest = literal.newest(service, Timestamp::ZERO..=Timestamp::MAX).unwrap();
            let expected: BTreeSet<_> =
                newest.map(|row| row.map(|row| (row.start, row.identity)).unwrap()).collect();
            prop_assert_eq!(found, expected, "{:?}", service);
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), TestCaseError> {
        let (packed, literal) = (self.packed().snapshot().unwrap(), self.literal().snapshot().unwrap());
        let (one, other) = (packed.services().unwrap(), literal.services().unwrap());
        prop_assert_eq!(&one, &other);
        for service in one.iter().map(String::as_str).chain(SERVICES) {
            prop_assert_eq!(packed.operations(service).unwrap(), literal.operations(service).unwrap());
        }
        Ok(())
    }

    fn check_calls(&self) -> Result<(), TestCaseError> {
        let (packed, literal) = (self.packed().snapshot().unwrap(), self.literal().snapshot().unwrap());
        let hour = 3_600_000;
        for (from, until) in
            [(Timestamp::ZERO, Timestamp::MAX), (at(0), at(hour)), (at(2 * hour), at(9 * hour))]
        {
            let mut one: BTreeMap<(String, String), u64> = BTreeMap::new();
            for call in packed.dependencies(from, until).unwrap() {
                prop_assert!(call.kind != EdgeKind::Link && call.durations.count_of_all() == call.calls);
                *one.entry((call.parent, call.child)).or_default() += call.calls;
            }
            let other = literal.dependencies(from, until).unwrap();
            let other = other.into_iter().map(|call| ((call.parent, call.child), call.calls)).collect();
            prop_assert_eq!(one, other);
        }
        Ok(())
    }

    /// Minutes of operations are of all spans that were new.
    fn check_red(&self) -> Result<(), TestCaseError> {
        let kinds: Vec<SpanKind> = (0..6).map(SpanKind::from_number).collect();
        let services: Vec<_> = SERVICES.iter().map(|service| shortened(service)).collect();
        let services: Vec<&str> = services.iter().map(|service| &**service).collect();
        let wanted = Wanted { services: &services, kinds: &kinds, minutes: 0..=u32::MAX, by_operation: true };
        let red = self.packed().snapshot().unwrap().red(&wanted).unwrap();
        let counted: u64 = red.series.values().flat_map(BTreeMap::values).map(|stats| stats.calls).sum();
        let different: BTreeSet<_> = self.given.iter().map(literal::Identity::of).collect();
        prop_assert_eq!(counted, different.len() as u64);
        Ok(())
    }
}

fn bounds(spans: &[Span]) -> Option<(Timestamp, Timestamp)> {
    let start = spans.iter().map(|span| span.start).min()?;
    Some((start, spans.iter().map(|span| span.end.max(span.start)).max()?))
}

fn sorted(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.span_id, span.content_hash));
    spans
}

/// What a failure is read by.
fn brief(spans: &[Span]) -> Vec<(u64, u64)> {
    spans.iter().map(|span| (u64::from_be_bytes(span.span_id.0), span.content_hash)).collect()
}

/// The same events, and then some that change no answer.
fn afterwards() -> [Event; 3] {
    [Event::Merge, Event::Restart, Event::Merge]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(Store::cases()))]

    #[test]
    fn packed_spans_give_the_answers_of_literal_ones(events in vec(event(), 1..14)) {
        let mut both = Both::new();
        for event in events.iter().chain(&afterwards()) {
            both.happens(event, false)?;
        }
        both.check_traces()?;
        both.check_index()?;
        both.check_names()?;
        both.check_red()?;
        prop_assert_eq!(both.packed().status().damaged_rows, 0);
        prop_assert_eq!(both.packed().status().unchecked, 0);
    }

    #[test]
    fn packed_spans_of_any_kind_are_literal_ones(
        batches in vec((request(), vec(any::<u8>(), 0..60), 0..4u8), 1..5),
    ) {
        let mut both = Both::new();
        for (request, mut dice, then) in batches {
            let bytes = Bytes::from(scrambled(&request.encode_to_vec(), Shape::Request, &mut dice));
            let spans = otlp::spans(&bytes, &otlp::Limits::default()).unwrap();
            both.append(&spans, &Cursor { buffer: BUFFERS[0], signal: 1, sequence: 1 })?;
            both.happens([Event::Merge, Event::Roll, Event::Restart].get(usize::from(then)).unwrap_or(&Event::Pass(0)), false)?;
        }
        both.happens(&Event::Roll, false)?;
        both.happens(&Event::Merge, false)?;
        both.check_given()?;
        both.check_names()?;
        both.check_index()?;
        prop_assert_eq!(both.packed().status().damaged_rows, 0);
    }

    #[test]
    fn packed_spans_are_counted_as_literal_ones(events in vec(event(), 1..14)) {
        let mut both = Both::new();
        for event in events.iter().chain(&afterwards()) {
            both.happens(event, true)?;
        }
        both.check_calls()?;
        both.check_red()?;
    }

    #[test]
    fn packed_spans_go_when_literal_ones_go(events in vec(event_in_time(), 1..14)) {
        let mut both = Both::new();
        for event in &events {
            both.happens(event, false)?;
            if matches!(event, Event::Pass(_)) {
                both.check_traces()?;
                both.check_index()?;
            }
        }
        both.check_traces()?;
        both.check_index()?;
        if !both.has_expired {
            both.check_names()?;
        }
        both.happens(&Event::Pass(24), false)?;
        both.check_traces()?;
        both.check_names()?;
        both.check_calls()?;
        prop_assert_eq!(both.packed().status().spans, 0);
    }
}
