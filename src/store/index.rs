//! What a search asks of each span of one service in one run, in about four bytes a span.
//!
//! A row of `jaeger.spans.ServiceNameIndex`, numbers little-endian:
//!
//! ```text
//! row     = spans u32 ‖ classes u32 ‖ earliest start u64 ‖ outcomes u32 ‖ longest duration u8 ‖ body
//!           outcomes: bit 6 × status + kind is set when a span has both; the longest duration is a code
//! body    = one zstd frame (level 1, with its content size, without a checksum) of class* ‖ column × 4
//! class   = 6 × status + kind u8 ‖ length u16 ‖ name, `length` bytes of UTF-8            numbered from 0
//!           length 65 535: the name is not said, and none follows
//! column  = width u8 ‖ plane × width      one value a span, `width` bytes; width 0: all are 0
//! plane   = one byte of every value, in the order of the spans; the least significant bytes are the first plane
//!
//! columns   1  ordinal − the ordinal before it − 1; of the first span its ordinal   width ≤ 4
//!           2  class                                                                width ≤ 4
//!           3  whole milliseconds from the earliest start to this span's            width ≤ 6
//!           4  duration code                                                        width 1
//!
//! code    = 0                          below 1 024 ns
//!           8 × (e − 10) + m + 1       2^e × (8 + m) / 8 ns and above, e from 10 to 40, m from 0 to 7
//!           249                        2^41 ns (37 minutes) and above
//! ```
//!
//! Every plane is a block of the frame's own: each has statistics of its own to be packed by. What stands before the
//! frame tells of most rows that a search for long or failed spans need not unpack them.
//!
//! Limits: [`MAX_SPANS`] a row, and [`MAX_NAMES_BYTES`] of classes: those beyond are kept without their names. A body is
//! never longer than [`MAX_BODY_BYTES`] when it is unpacked, whatever its bytes.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::ops::Range;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::{SpanKind, StatusCode, Timestamp};
use crate::store::key::MAX_NAME_BYTES;
use crate::store::seal::{Cut, Damaged};

/// The most spans of a row, hence of a run.
pub(super) const MAX_SPANS: usize = 2 << 20;

/// The longest body, unpacked.
const MAX_BODY_BYTES: usize = 64 << 20;

/// How many bytes of classes a row takes before it keeps further ones without their names.
const MAX_NAMES_BYTES: usize = 16 << 20;

/// The widest columns: ordinals, classes, starts, durations.
const WIDEST: [usize; 4] = [4, 4, 6, 1];

const HEAD_BYTES: usize = 21;

/// How many kinds of span there are.
const KINDS: u8 = 6;

/// A kind and a status, and no name.
const NAMELESS_BYTES: usize = 3;

/// The length of a name that is not said.
const NO_NAME: u16 = u16::MAX;

/// What is written can be read: with every column at its widest, and every nameless class there can be.
const _: () = {
    let columns = 4 + MAX_SPANS * (WIDEST[0] + WIDEST[1] + WIDEST[2] + WIDEST[3]);
    let classes = MAX_NAMES_BYTES + NAMELESS_BYTES + MAX_NAME_BYTES + 256 * NAMELESS_BYTES;
    assert!(classes + columns <= MAX_BODY_BYTES);
    assert!(MAX_NAME_BYTES < NO_NAME as usize);
};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// What spans of one service often have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class<'a> {
    /// The name, [`crate::store::shortened`].
    pub(super) operation: &'a str,
    /// The kind.
    pub(super) kind: SpanKind,
    /// How it ended.
    pub(super) status: StatusCode,
}

impl Class<'_> {
    fn write(self, bytes: &mut Vec<u8>, is_named: bool) {
        let name = if is_named { self.operation } else { "" };
        let length = if is_named { name.len() as u16 } else { NO_NAME };
        bytes.clear();
        bytes.push(outcome(self.kind, self.status));
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
    }
}

fn outcome(kind: SpanKind, status: StatusCode) -> u8 {
    KINDS * status as u8 + kind as u8
}

/// A row in the making.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    classes: Classes,
    spans: Vec<Written>,
    next_ordinal: u32,
    earliest: Option<Timestamp>,
    latest: Timestamp,
    outcomes: u32,
    longest: u8,
}

#[derive(Debug)]
struct Written {
    start: Timestamp,
    gap: u32,
    class: u32,
    duration: u8,
}

impl IndexBuilder {
    /// The number of a class, of which at least one span is to be added.
    pub(super) fn class(&mut self, class: Class<'_>) -> u32 {
        self.outcomes |= 1 << outcome(class.kind, class.status);
        self.classes.number(class)
    }

    /// Takes one more span, of a class by its number. Each has a higher ordinal than the one before; there are at most
    /// [`MAX_SPANS`].
    pub(super) fn add(&mut self, ordinal: u32, class: u32, start: Timestamp, duration: Duration) {
        debug_assert!(ordinal >= self.next_ordinal && self.spans.len() < MAX_SPANS, "{ordinal}");
        let gap = ordinal.wrapping_sub(self.next_ordinal);
        let duration = duration_code(duration);
        self.next_ordinal = ordinal.wrapping_add(1);
        self.earliest = Some(self.earliest.map_or(start, |earliest| earliest.min(start)));
        self.latest = self.latest.max(start);
        self.longest = self.longest.max(duration);
        self.spans.push(Written { start, gap, class, duration });
    }

    /// When the span that started last did so.
    pub(super) fn max_start(&self) -> Timestamp {
        self.latest
    }

    /// Names and kinds of the spans, a pair once for each status; classes that are kept without their names have none.
    pub(super) fn names(&self) -> Vec<(&str, SpanKind)> {
        let (mut names, mut rest) = (Vec::new(), &self.classes.bytes[..]);
        while let Some(([outcome, low, high], behind)) = rest.split_first_chunk() {
            let length = u16::from_le_bytes([*low, *high]);
            let bytes = if length == NO_NAME { 0 } else { usize::from(length) };
            let (name, behind) = behind.split_at(bytes);
            if length != NO_NAME
                && let Ok(name) = str::from_utf8(name)
            {
                names.push((name, SpanKind::from_number((outcome % KINDS).into())));
            }
            rest = behind;
        }
        names
    }

    /// The row.
    pub(super) fn finish(self) -> Vec<u8> {
        let earliest = self.earliest.unwrap_or_default();
        let mut row = Vec::with_capacity(HEAD_BYTES + self.classes.bytes.len() + 4 * self.spans.len());
        row.extend_from_slice(&(self.spans.len() as u32).to_le_bytes());
        row.extend_from_slice(&(self.classes.numbers.len() as u32).to_le_bytes());
        row.extend_from_slice(&earliest.nanos().to_le_bytes());
        row.extend_from_slice(&self.outcomes.to_le_bytes());
        row.push(self.longest);
        let columns = [
            column(&self.spans, |span| u64::from(span.gap)),
            column(&self.spans, |span| u64::from(span.class)),
            column(&self.spans, |span| (span.start.nanos() - earliest.nanos()) / NANOS_PER_MILLI),
            // Never left out, so that a row of n spans has n bytes at least, whatever its head says.
            vec![self.spans.iter().map(|span| span.duration).collect()],
        ];
        pack(row, &self.classes.bytes, &columns).expect("memory takes what is written to it")
    }
}

/// A column's planes.
fn column(spans: &[Written], value: impl Fn(&Written) -> u64) -> Vec<Vec<u8>> {
    let all_bits = spans.iter().fold(0, |bits, span| bits | value(span));
    let width = (u64::BITS - all_bits.leading_zeros()).div_ceil(8);
    (0..width).map(|byte| spans.iter().map(|span| (value(span) >> (8 * byte)) as u8).collect()).collect()
}

/// The row whose head is given, with its body.
fn pack(head: Vec<u8>, classes: &[u8], columns: &[Vec<Vec<u8>>]) -> io::Result<Vec<u8>> {
    let planes = columns.iter().flatten().map(Vec::len).sum::<usize>();
    let mut frame = zstd::stream::write::Encoder::new(head, 1)?;
    frame.set_pledged_src_size(Some((classes.len() + columns.len() + planes) as u64))?;
    frame.write_all(classes)?;
    for column in columns {
        frame.write_all(&[column.len() as u8])?;
        for plane in column {
            frame.flush()?;
            frame.write_all(plane)?;
        }
    }
    frame.finish()
}

/// The classes of a row and their numbers.
#[derive(Debug, Default)]
struct Classes {
    /// All of them as they are written, in the order of their numbers.
    bytes: Vec<u8>,
    numbers: HashMap<Box<[u8]>, u32>,
    /// Where those stand that were asked for last, by a hash of their bytes: most spans are of few classes, and this
    /// is found faster than a number in a map that no sender can slow down. As many as there are classes or up to twice
    /// that: a batch can bring a row for each of a hundred thousand services.
    recent: Vec<(Range<usize>, u32)>,
    /// Room for the bytes of one.
    class: Vec<u8>,
}

impl Classes {
    /// A power of two.
    const RECENT: usize = 128;

    fn number(&mut self, class: Class<'_>) -> u32 {
        class.write(&mut self.class, class.operation.len() <= MAX_NAME_BYTES);
        if let Some((place, number)) = self.slot().map(|slot| &self.recent[slot])
            && self.bytes[place.clone()] == self.class
        {
            return *number;
        }
        if let Some(number) = self.numbers.get(&self.class[..]) {
            return *number;
        }
        self.enter(class)
    }

    fn slot(&self) -> Option<usize> {
        let last = self.recent.len().checked_sub(1)?;
        // Their number is a power of two.
        Some(xxh3_64(&self.class) as usize & last)
    }

    fn enter(&mut self, class: Class<'_>) -> u32 {
        if self.bytes.len() >= MAX_NAMES_BYTES {
            class.write(&mut self.class, false);
        }
        let next = self.numbers.len() as u32;
        if self.recent.len() <= next as usize && self.recent.len() < Self::RECENT {
            let more = (next as usize + 1).next_power_of_two().min(Self::RECENT);
            self.recent = vec![(0..0, 0); more];
        }
        let number = *self.numbers.entry(self.class[..].into()).or_insert(next);
        if number == next {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&self.class);
            if let Some(slot) = self.slot() {
                self.recent[slot] = (start..self.bytes.len(), next);
            }
        }
        number
    }
}

fn duration_code(duration: Duration) -> u8 {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    match nanos.checked_ilog2() {
        None | Some(..10) => 0,
        Some(exponent @ 10..41) => (8 * (exponent - 10) + (nanos >> (exponent - 3)) as u32 - 7) as u8,
        Some(41..) => TOP_CODE,
    }
}

/// The code of the longest durations.
const TOP_CODE: u8 = 249;

/// The shortest duration of a code.
fn shortest(code: u8) -> Duration {
    let Some(step) = u32::from(code.min(TOP_CODE)).checked_sub(1) else { return Duration::ZERO };
    Duration::from_nanos(u64::from(8 + step % 8) << (step / 8 + 7))
}

/// The longest duration of a code.
fn longest(code: u8) -> Duration {
    if code >= TOP_CODE { Duration::MAX } else { shortest(code + 1) - Duration::from_nanos(1) }
}

/// What a row says of all its spans at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// How many spans.
    pub(super) spans: usize,
    /// When the first of them started.
    pub(super) earliest: Timestamp,
    classes: usize,
    outcomes: u32,
    longest: u8,
}

impl Head {
    /// Reads only the start of a row.
    pub(super) fn read(row: &[u8]) -> Result<Self, Damaged> {
        Self::cut(&mut Cut(row)).ok_or(Damaged)
    }

    fn cut(cut: &mut Cut<'_>) -> Option<Self> {
        let (spans, classes) = (cut.u32()? as usize, cut.u32()? as usize);
        let (earliest, outcomes, [longest]) = (Timestamp(cut.u64()?), cut.u32()?, cut.array()?);
        let is_sound = classes <= spans && spans <= MAX_SPANS;
        is_sound.then_some(Self { spans, earliest, classes, outcomes, longest })
    }

    /// None lasted longer.
    pub(super) fn duration_at_most(&self) -> Duration {
        longest(self.longest)
    }

    /// Whether there is a span of this kind, where one is given, that ended like this, where that is given.
    pub(super) fn has(&self, kind: Option<SpanKind>, status: Option<StatusCode>) -> bool {
        let mut all = (0..3 * KINDS).filter(|outcome| self.outcomes >> outcome & 1 == 1).map(read_outcome);
        all.any(|(has_kind, has_status)| {
            kind.is_none_or(|kind| kind == has_kind) && status.is_none_or(|status| status == has_status)
        })
    }
}

fn read_outcome(outcome: u8) -> (SpanKind, StatusCode) {
    let (kind, status) = (outcome % KINDS, outcome / KINDS);
    (SpanKind::from_number(kind.into()), StatusCode::from_number(status.into()))
}

/// A row as it is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServiceRow {
    /// Name, kind and status that its spans have; without the name where too many were different.
    pub(super) classes: Vec<(Option<String>, SpanKind, StatusCode)>,
    /// Its spans, by their ordinals.
    pub(super) spans: Vec<Indexed>,
}

/// A span of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Indexed {
    /// Which of its run's spans it is.
    pub(super) ordinal: u32,
    /// Which of its row's classes it is of; there is one of that number.
    pub(super) class: u32,
    start: Timestamp,
    duration: u8,
}

impl Indexed {
    /// It did not start before.
    pub(super) fn start_at_least(&self) -> Timestamp {
        self.start
    }

    /// It did not start after.
    pub(super) fn start_at_most(&self) -> Timestamp {
        self.start.plus(Duration::from_nanos(NANOS_PER_MILLI - 1))
    }

    /// It did not last shorter.
    pub(super) fn duration_at_least(&self) -> Duration {
        shortest(self.duration)
    }

    /// It did not last longer.
    pub(super) fn duration_at_most(&self) -> Duration {
        longest(self.duration)
    }
}

impl ServiceRow {
    fn read_body(head: &Head, mut cut: Cut<'_>) -> Option<Self> {
        let classes = (0..head.classes).map(|_| read_class(&mut cut)).collect::<Option<Vec<_>>>()?;
        let columns = Columns::cut(&mut cut, head.spans)?;
        if !cut.0.is_empty() || columns.classes.iter().any(|class| *class >= head.classes as u64) {
            return None;
        }
        Some(Self { classes, spans: columns.spans(head.earliest)? })
    }
}

/// Reads rows, with memory that is made once for all of them.
#[derive(Default)]
pub(super) struct Reader {
    unpacker: zstd::bulk::Decompressor<'static>,
}

impl Reader {
    /// Reads a whole row.
    pub(super) fn read(&mut self, row: &[u8]) -> Result<ServiceRow, Damaged> {
        let mut cut = Cut(row);
        let head = Head::cut(&mut cut).ok_or(Damaged)?;
        let body = self.unpacker.decompress(cut.0, MAX_BODY_BYTES).map_err(|_| Damaged)?;
        ServiceRow::read_body(&head, Cut(&body)).ok_or(Damaged)
    }
}

fn read_class(cut: &mut Cut<'_>) -> Option<(Option<String>, SpanKind, StatusCode)> {
    let [outcome] = cut.array()?;
    let name = match u16::from_le_bytes(cut.array()?) {
        NO_NAME => None,
        length => Some(str::from_utf8(cut.bytes(length.into())?).ok()?.to_owned()),
    };
    let (kind, status) = read_outcome(outcome);
    Some((name, kind, status))
}

/// A body's columns, a value for each span in each.
struct Columns<'a> {
    gaps: Vec<u64>,
    classes: Vec<u64>,
    starts: Vec<u64>,
    durations: &'a [u8],
}

impl<'a> Columns<'a> {
    fn cut(cut: &mut Cut<'a>, count: usize) -> Option<Self> {
        // The durations alone are that long; nothing is made room for that cannot be there.
        if cut.0.len() < count {
            return None;
        }
        let [gaps, classes, starts, _] = WIDEST;
        let [gaps, classes, starts] =
            [column_of(cut, count, gaps)?, column_of(cut, count, classes)?, column_of(cut, count, starts)?];
        let [1] = cut.array()? else { return None };
        Some(Self { gaps, classes, starts, durations: cut.bytes(count)? })
    }

    fn spans(&self, earliest: Timestamp) -> Option<Vec<Indexed>> {
        let mut spans = Vec::with_capacity(self.durations.len());
        let mut next_ordinal = 0;
        let columns = self.gaps.iter().zip(&self.classes).zip(&self.starts).zip(self.durations);
        for (((gap, class), start), duration) in columns {
            let ordinal = u32::try_from(next_ordinal + gap).ok()?;
            next_ordinal = u64::from(ordinal) + 1;
            let since = start.saturating_mul(NANOS_PER_MILLI);
            let start = Timestamp(earliest.nanos().saturating_add(since));
            spans.push(Indexed { ordinal, class: *class as u32, start, duration: *duration });
        }
        Some(spans)
    }
}

fn column_of(cut: &mut Cut<'_>, count: usize, widest: usize) -> Option<Vec<u64>> {
    let [width] = cut.array()?;
    if usize::from(width) > widest {
        return None;
    }
    let mut values = vec![0; count];
    for byte in 0..width {
        for (value, plane) in values.iter_mut().zip(cut.bytes(count)?) {
            *value |= u64::from(*plane) << (8 * byte);
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Given = (u32, &'static str, u64, u64, Timestamp, Duration);

    /// Spans as they may be added: ordinals ascend, anything else is anything.
    fn given() -> impl Strategy<Value = Vec<Given>> {
        let gap = prop_oneof![Just(0), 0..300u32, 0..1_000_000u32];
        let name = prop_oneof![Just(""), Just("GET /cart"), Just("läuft")];
        let time = || prop_oneof![0..10u64, 1_000_000_000..9_000_000_000u64, any::<u64>()];
        vec((gap, name, 0..6u64, 0..3u64, time(), time()), 0..60).prop_map(|spans| {
            let mut next = 0;
            let given = spans.into_iter().map(|(gap, name, kind, status, start, duration)| {
                let ordinal = next + gap;
                next = ordinal + 1;
                (ordinal, name, kind, status, Timestamp(start), Duration::from_nanos(duration))
            });
            given.collect()
        })
    }

    fn class(name: &str, kind: u64, status: u64) -> Class<'_> {
        Class { operation: name, kind: SpanKind::from_number(kind), status: StatusCode::from_number(status) }
    }

    fn row(given: &[Given]) -> (Vec<u8>, Timestamp) {
        let mut builder = IndexBuilder::default();
        for (ordinal, name, kind, status, start, duration) in given {
            let class = builder.class(class(name, *kind, *status));
            builder.add(*ordinal, class, *start, *duration);
        }
        let latest = builder.max_start();
        (builder.finish(), latest)
    }

    fn read(row: &[u8]) -> Result<ServiceRow, Damaged> {
        Reader::default().read(row)
    }

    #[test]
    fn a_row_of_few_classes_has_few_of_them_at_hand() {
        let mut builder = IndexBuilder::default();
        for (name, most) in [("a", 1), ("b", 2), ("c", 4), ("d", 4), ("a", 4)] {
            builder.class(class(name, 1, 0));
            assert!(builder.classes.recent.len() <= most, "after {name}");
        }
        let names: Vec<_> = (0..300).map(|number| number.to_string()).collect();
        let numbers = |builder: &mut IndexBuilder| -> Vec<u32> {
            names.iter().map(|name| builder.class(class(name, 1, 0))).collect()
        };
        let first = numbers(&mut builder);
        assert_eq!(first, (4..304).collect::<Vec<_>>());
        assert_eq!((numbers(&mut builder), builder.classes.recent.len()), (first, Classes::RECENT));
    }

    /// The row without its packing, and back.
    fn unpacked(row: &[u8]) -> Vec<u8> {
        let body = zstd::bulk::decompress(&row[HEAD_BYTES..], MAX_BODY_BYTES).unwrap();
        [&row[..HEAD_BYTES], &body].concat()
    }

    fn packed(row: &[u8]) -> Vec<u8> {
        let (head, body) = row.split_at(row.len().min(HEAD_BYTES));
        [head, &zstd::bulk::compress(body, 1).unwrap()].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_row_gives_back_its_spans_within_bounds(given in given()) {
            let (row, latest) = row(&given);
            let read = read(&row).unwrap();
            prop_assert_eq!(read.spans.len(), given.len());
            prop_assert_eq!(latest, given.iter().map(|given| given.4).max().unwrap_or_default());
            for (span, (ordinal, name, kind, status, start, duration)) in read.spans.iter().zip(given) {
                let class = class(name, kind, status);
                prop_assert_eq!(span.ordinal, ordinal);
                prop_assert_eq!(
                    &read.classes[span.class as usize],
                    &(Some(name.to_owned()), class.kind, class.status)
                );
                prop_assert!(span.start_at_least() <= start && start <= span.start_at_most());
                prop_assert!(span.start_at_most().since(span.start_at_least()) < Duration::from_millis(1));
                prop_assert!(span.duration_at_least() <= duration && duration <= span.duration_at_most());
            }
        }

        #[test]
        fn the_start_of_a_row_speaks_for_all_its_spans(given in given()) {
            let head = Head::read(&row(&given).0).unwrap();
            prop_assert_eq!(head.spans, given.len());
            prop_assert_eq!(head.earliest, given.iter().map(|given| given.4).min().unwrap_or_default());
            prop_assert!(given.iter().all(|given| given.5 <= head.duration_at_most()));
            let kinds = || (0..6).map(SpanKind::from_number).map(Some).chain([None]);
            let statuses = || (0..3).map(StatusCode::from_number).map(Some).chain([None]);
            for (kind, status) in kinds().flat_map(|kind| statuses().map(move |status| (kind, status))) {
                let has = given.iter().map(|given| class(given.1, given.2, given.3)).any(|class| {
                    kind.is_none_or(|kind| kind == class.kind)
                        && status.is_none_or(|status| status == class.status)
                });
                prop_assert_eq!(head.has(kind, status), has, "{:?} {:?}", kind, status);
            }
        }

        #[test]
        fn any_bytes_are_a_row_or_damage(
            given in given(),
            damages in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let sound = row(&given).0;
            let mut damaged = unpacked(&sound);
            for (place, byte) in damages {
                let place = place.index(damaged.len());
                damaged[place] = byte;
            }
            let shorter = &damaged[..cut.index(damaged.len())];
            for row in [&damaged[..], shorter] {
                let Ok(read) = read(&packed(row)) else { continue };
                for span in &read.spans {
                    prop_assert!((span.class as usize) < read.classes.len());
                    prop_assert!(span.start_at_least() <= span.start_at_most());
                    prop_assert!(span.duration_at_least() <= span.duration_at_most());
                }
            }
            prop_assert_eq!(read(&sound[..cut.index(sound.len())]), Err(Damaged));
        }
    }

    #[test]
    fn durations_are_told_to_an_eighth_of_an_octave() {
        for exponent in 0..64 {
            for nanos in [0, 1, 1 << exponent >> 4].map(|more| (1u64 << exponent) - 1 + more) {
                let code = duration_code(Duration::from_nanos(nanos));
                let span = Indexed { ordinal: 0, class: 0, start: Timestamp::ZERO, duration: code };
                let (least, most) = (span.duration_at_least(), span.duration_at_most());
                assert!(least.as_nanos() <= nanos.into() && u128::from(nanos) <= most.as_nanos());
                if (1 << 10..1 << 41).contains(&nanos) {
                    assert!(most - least < least / 8, "{nanos}: {least:?} to {most:?}");
                }
            }
        }
        assert_eq!(duration_code(Duration::MAX), TOP_CODE);
    }

    #[test]
    fn spans_alike_take_next_to_nothing() {
        let many: Vec<Given> = (0..50_000)
            .map(|ordinal| (ordinal, "GET", 2, 0, Timestamp(7), Duration::from_millis(3)))
            .collect();
        assert!(row(&many).0.len() < 100, "{}", row(&many).0.len());
    }

    #[test]
    fn a_row_with_more_names_than_it_keeps_can_still_be_read() {
        let mut builder = IndexBuilder::default();
        let most = (MAX_NAMES_BYTES / (NAMELESS_BYTES + 1_000)) as u32 + 2;
        for ordinal in 0..most {
            let name = format!("{ordinal:01000}");
            let class = builder.class(class(&name, 2, u64::from(ordinal % 2)));
            builder.add(ordinal, class, Timestamp(7), Duration::ZERO);
        }
        let last = [("0".repeat(1_000), 2, 0), ("0".repeat(2_000), 3, 2)];
        for (ordinal, (name, kind, status)) in (most..).zip(last) {
            let class = builder.class(class(&name, kind, status));
            builder.add(ordinal, class, Timestamp(7), Duration::ZERO);
        }
        let read = read(&builder.finish()).unwrap();
        let name = |ordinal: u32| {
            let class = read.spans[ordinal as usize].class;
            read.classes[class as usize].0.as_deref().map(|name| name.parse::<u32>().unwrap())
        };
        assert_eq!([name(0), name(most - 3)], [Some(0), Some(most - 3)]);
        assert_eq!([name(most - 1), name(most), name(most + 1)], [None, Some(0), None]);
        let nameless = read.classes.iter().filter(|class| class.0.is_none()).count();
        assert!((2..=3).contains(&nameless), "{nameless}");
    }

    #[test]
    fn a_head_that_promises_too_much_is_refused() {
        let row = |spans: u32, classes: u32, body: &[u8]| {
            [&spans.to_le_bytes()[..], &classes.to_le_bytes(), &[0; 13], body].concat()
        };
        let columns = [0, 0, 0, 1, 5, 5];
        let one_class = [&[0x02, 0, 0][..], &columns].concat();
        let most = MAX_SPANS as u32;
        for (row, is_sound) in [
            (row(2, 1, &one_class), true),
            (row(2, 0, &columns), false),
            (row(u32::MAX, 1, &one_class), false),
            (row(most, 1, &one_class), false),
            (row(most, most, &one_class), false),
            (row(2, 2, &one_class), false),
            (row(2, 3, &one_class), false),
            (row(3, 1, &one_class), false),
            (row(1, 1, &one_class), false),
            (row(0, 0, &[0, 0, 0, 1]), true),
            (row(0, 0, &[0, 0, 0, 0]), false),
        ] {
            assert_eq!(read(&packed(&row)).is_ok(), is_sound, "{row:02x?}");
        }
        let bomb = row(2, 1, &vec![0; MAX_BODY_BYTES + 1]);
        assert_eq!(read(&packed(&bomb)), Err(Damaged));
    }

    #[test]
    fn the_bytes_of_a_row_stay_where_they_are() {
        let second = Timestamp(1_000_000_000);
        let given = [
            (3, "a", 2, 2, second.plus(Duration::from_millis(0x102)), Duration::from_nanos(1_024)),
            (0x203, "b", 1, 0, second, Duration::ZERO),
            (0x204, "a", 2, 2, second.plus(Duration::from_millis(1)), Duration::from_secs(3_600)),
        ];
        let head = [3, 0, 0, 0, 2, 0, 0, 0, 0, 0xca, 0x9a, 0x3b, 0, 0, 0, 0, 2, 0x40, 0, 0, 249];
        let classes = [14, 1, 0, b'a', 1, 1, 0, b'b'];
        let columns = [&[2, 3, 0xff, 0, 0, 1, 0][..], &[1, 0, 1, 0], &[2, 2, 0, 1, 1, 0, 0], &[1, 1, 0, 249]];
        assert_eq!(unpacked(&row(&given).0), [&head[..], &classes, &columns.concat()].concat());
    }
}
