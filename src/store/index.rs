//! What a search asks of each span of one service in one run, in about four bytes a span.
//!
//! A row of `jaeger.spans.ServiceNameIndex` is one zstd frame (level 1, with its content size, without a checksum) of:
//!
//! ```text
//! row     = spans u32 ‖ classes u32 ‖ earliest start u64 ‖ class* ‖ column × 4          numbers LE
//! class   = kind + 16 × status u8 ‖ length u16 ‖ name, `length` bytes of UTF-8          numbered from 0
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
//! Every plane is a block of the frame's own: each has statistics of its own to be packed by.
//!
//! Limits: [`MAX_SPANS`] a row, and [`MAX_NAMES_BYTES`] of classes: those beyond are kept without their names. A row is
//! never longer than [`MAX_ROW_BYTES`] when it is unpacked, whatever its bytes.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::time::Duration;

use crate::model::{SpanKind, StatusCode, Timestamp};
use crate::store::key::MAX_NAME_BYTES;
use crate::store::seal::{Cut, Damaged};

/// The most spans of a row, hence of a run.
pub(super) const MAX_SPANS: usize = 2 << 20;

/// The longest row, unpacked.
const MAX_ROW_BYTES: usize = 64 << 20;

/// How many bytes of classes a row takes before it keeps further ones without their names.
const MAX_NAMES_BYTES: usize = 16 << 20;

/// The widest columns: ordinals, classes, starts, durations.
const WIDEST: [usize; 4] = [4, 4, 6, 1];

const HEAD_BYTES: usize = 16;

/// A kind and a status, and no name.
const NAMELESS_BYTES: usize = 3;

/// The length of a name that is not said.
const NO_NAME: u16 = u16::MAX;

/// What is written can be read: with every column at its widest and no more nameless classes than there are.
const _: () = {
    let columns = 4 + MAX_SPANS * (WIDEST[0] + WIDEST[1] + WIDEST[2] + WIDEST[3]);
    let classes = MAX_NAMES_BYTES + NAMELESS_BYTES + MAX_NAME_BYTES + 256 * NAMELESS_BYTES;
    assert!(HEAD_BYTES + classes + columns <= MAX_ROW_BYTES);
    assert!(MAX_NAME_BYTES < NO_NAME as usize);
};

/// Between two starts there are fewer than 2^45 of them.
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

/// A row in the making.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    /// The number of each class, by its bytes.
    numbers: HashMap<Box<[u8]>, u32>,
    /// The classes' bytes, in the order of their numbers.
    classes: Vec<u8>,
    spans: Vec<Written>,
    next_ordinal: u32,
    earliest: Option<Timestamp>,
    latest: Timestamp,
    /// Room for the bytes of a class.
    class: Vec<u8>,
}

#[derive(Debug)]
struct Written {
    start: Timestamp,
    gap: u32,
    class: u32,
    duration: u8,
}

impl IndexBuilder {
    /// Takes one more span. Each has a higher ordinal than the one before; there are at most [`MAX_SPANS`].
    pub(super) fn add(&mut self, ordinal: u32, class: Class<'_>, start: Timestamp, duration: Duration) {
        debug_assert!(ordinal >= self.next_ordinal && self.spans.len() < MAX_SPANS, "{ordinal}");
        let gap = ordinal.wrapping_sub(self.next_ordinal);
        let class = self.number(class);
        self.next_ordinal = ordinal.wrapping_add(1);
        self.earliest = Some(self.earliest.map_or(start, |earliest| earliest.min(start)));
        self.latest = self.latest.max(start);
        self.spans.push(Written { start, gap, class, duration: duration_code(duration) });
    }

    fn number(&mut self, class: Class<'_>) -> u32 {
        write_class(&mut self.class, class, class.operation.len() <= MAX_NAME_BYTES);
        if let Some(number) = self.numbers.get(&self.class[..]) {
            return *number;
        }
        if self.classes.len() >= MAX_NAMES_BYTES {
            write_class(&mut self.class, class, false);
        }
        let next = self.numbers.len() as u32;
        *self.numbers.entry(self.class[..].into()).or_insert_with(|| {
            self.classes.extend_from_slice(&self.class);
            next
        })
    }

    /// Whether no span was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// When the span that started last did so.
    pub(super) fn max_start(&self) -> Timestamp {
        self.latest
    }

    /// The row.
    pub(super) fn finish(self) -> Vec<u8> {
        let earliest = self.earliest.unwrap_or_default();
        let mut head = Vec::with_capacity(HEAD_BYTES + self.classes.len());
        head.extend_from_slice(&(self.spans.len() as u32).to_le_bytes());
        head.extend_from_slice(&(self.numbers.len() as u32).to_le_bytes());
        head.extend_from_slice(&earliest.nanos().to_le_bytes());
        head.extend_from_slice(&self.classes);
        let columns = [
            column(&self.spans, |span| u64::from(span.gap)),
            column(&self.spans, |span| u64::from(span.class)),
            column(&self.spans, |span| (span.start.nanos() - earliest.nanos()) / NANOS_PER_MILLI),
            // Never left out, so that a row of n spans has n bytes at least, whatever its head says.
            vec![self.spans.iter().map(|span| span.duration).collect()],
        ];
        pack(&head, &columns).expect("memory takes what is written to it")
    }
}

fn write_class(bytes: &mut Vec<u8>, class: Class<'_>, is_named: bool) {
    let name = if is_named { class.operation } else { "" };
    let length = if is_named { name.len() as u16 } else { NO_NAME };
    bytes.clear();
    bytes.push(class.kind as u8 | (class.status as u8) << 4);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
}

/// A column's planes.
fn column(spans: &[Written], value: impl Fn(&Written) -> u64) -> Vec<Vec<u8>> {
    let all_bits = spans.iter().fold(0, |bits, span| bits | value(span));
    let width = (u64::BITS - all_bits.leading_zeros()).div_ceil(8);
    (0..width).map(|byte| spans.iter().map(|span| (value(span) >> (8 * byte)) as u8).collect()).collect()
}

fn pack(head: &[u8], columns: &[Vec<Vec<u8>>]) -> io::Result<Vec<u8>> {
    let planes = columns.iter().flatten().map(Vec::len).sum::<usize>();
    let mut frame = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
    frame.set_pledged_src_size(Some((head.len() + columns.len() + planes) as u64))?;
    frame.write_all(head)?;
    for column in columns {
        frame.write_all(&[column.len() as u8])?;
        for plane in column {
            frame.flush()?;
            frame.write_all(plane)?;
        }
    }
    frame.finish()
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

/// A row as it is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServiceRow {
    /// Name, kind and status that its spans have; without the name where too many were different.
    pub(super) classes: Vec<(Option<String>, SpanKind, StatusCode)>,
    spans: Vec<Indexed>,
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
        if self.duration >= TOP_CODE {
            return Duration::MAX;
        }
        shortest(self.duration + 1) - Duration::from_nanos(1)
    }
}

impl ServiceRow {
    /// Reads a row.
    pub(super) fn read(row: &[u8]) -> Result<Self, Damaged> {
        let row = zstd::bulk::decompress(row, MAX_ROW_BYTES).map_err(|_| Damaged)?;
        Self::read_unpacked(Cut(&row)).ok_or(Damaged)
    }

    fn read_unpacked(mut cut: Cut<'_>) -> Option<Self> {
        let (count, classes, earliest) = (cut.u32()? as usize, cut.u32()? as usize, cut.u64()?);
        if classes > count || count > MAX_SPANS {
            return None;
        }
        let classes = (0..classes).map(|_| read_class(&mut cut)).collect::<Option<Vec<_>>>()?;
        let [ordinals, numbers, starts, durations] = columns(&mut cut, count)?;
        if !cut.0.is_empty() || durations.width() != 1 {
            return None;
        }
        let mut next_ordinal = 0;
        let span = |place| {
            let ordinal = u32::try_from(next_ordinal + ordinals.value(place)).ok()?;
            next_ordinal = u64::from(ordinal) + 1;
            let class = numbers.value(place) as u32;
            let since = Duration::from_nanos(starts.value(place).saturating_mul(NANOS_PER_MILLI));
            let (start, duration) = (Timestamp(earliest).plus(since), durations.value(place) as u8);
            ((class as usize) < classes.len()).then_some(Indexed { ordinal, class, start, duration })
        };
        let spans = (0..count).map(span).collect::<Option<Vec<_>>>()?;
        Some(Self { classes, spans })
    }

    /// Its spans, by their ordinals.
    pub(super) fn spans(&self) -> &[Indexed] {
        &self.spans
    }
}

fn read_class(cut: &mut Cut<'_>) -> Option<(Option<String>, SpanKind, StatusCode)> {
    let [numbers] = cut.array()?;
    let name = match u16::from_le_bytes(cut.array()?) {
        NO_NAME => None,
        length => Some(str::from_utf8(cut.bytes(length.into())?).ok()?.to_owned()),
    };
    let (kind, status) = (u64::from(numbers & 0xf), u64::from(numbers >> 4));
    Some((name, SpanKind::from_number(kind), StatusCode::from_number(status)))
}

/// A column as it stands in an unpacked row.
struct Column<'a> {
    planes: &'a [u8],
    count: usize,
}

impl Column<'_> {
    fn width(&self) -> usize {
        self.planes.len().checked_div(self.count).unwrap_or(1)
    }

    fn value(&self, place: usize) -> u64 {
        let planes = self.planes.chunks_exact(self.count).rev();
        planes.fold(0, |value, plane| value << 8 | u64::from(plane[place]))
    }
}

fn columns<'a>(cut: &mut Cut<'a>, count: usize) -> Option<[Column<'a>; 4]> {
    let mut column = |widest| {
        let [width] = cut.array()?;
        let planes = cut.bytes(usize::from(width) * count)?;
        (usize::from(width) <= widest).then_some(Column { planes, count })
    };
    let [ordinals, classes, starts, durations] = WIDEST;
    Some([column(ordinals)?, column(classes)?, column(starts)?, column(durations)?])
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
            builder.add(*ordinal, class(name, *kind, *status), *start, *duration);
        }
        assert_eq!(builder.is_empty(), given.is_empty());
        let latest = builder.max_start();
        (builder.finish(), latest)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_row_gives_back_its_spans_within_bounds(given in given()) {
            let (row, latest) = row(&given);
            let read = ServiceRow::read(&row).unwrap();
            prop_assert_eq!(read.spans().len(), given.len());
            prop_assert_eq!(latest, given.iter().map(|given| given.4).max().unwrap_or_default());
            for (span, (ordinal, name, kind, status, start, duration)) in read.spans().iter().zip(given) {
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
        fn any_bytes_are_a_row_or_damage(
            given in given(),
            damages in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut unpacked = zstd::bulk::decompress(&row(&given).0, MAX_ROW_BYTES).unwrap();
            for (place, byte) in damages {
                let place = place.index(unpacked.len());
                unpacked[place] = byte;
            }
            let shorter = &unpacked[..cut.index(unpacked.len())];
            for row in [&unpacked[..], shorter] {
                let Ok(read) = ServiceRow::read(&zstd::bulk::compress(row, 1).unwrap()) else { continue };
                for span in read.spans() {
                    prop_assert!((span.class as usize) < read.classes.len());
                    prop_assert!(span.start_at_least() <= span.start_at_most());
                    prop_assert!(span.duration_at_least() <= span.duration_at_most());
                }
            }
            prop_assert!(ServiceRow::read(shorter).is_err());
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
            builder.add(ordinal, class(&name, 2, u64::from(ordinal % 2)), Timestamp(7), Duration::ZERO);
        }
        builder.add(most, class("0".repeat(1_000).as_str(), 2, 0), Timestamp(7), Duration::ZERO);
        builder.add(most + 1, class("0".repeat(2_000).as_str(), 3, 2), Timestamp(7), Duration::ZERO);
        let read = ServiceRow::read(&builder.finish()).unwrap();
        let name = |ordinal: u32| {
            let class = read.spans()[ordinal as usize].class;
            read.classes[class as usize].0.as_deref().map(|name| name.parse::<u32>().unwrap())
        };
        assert_eq!([name(0), name(most - 3)], [Some(0), Some(most - 3)]);
        assert_eq!([name(most - 1), name(most), name(most + 1)], [None, Some(0), None]);
        let nameless = read.classes.iter().filter(|class| class.0.is_none()).count();
        assert!((2..=3).contains(&nameless), "{nameless}");
    }

    #[test]
    fn a_head_that_promises_too_much_is_refused() {
        let unpacked = |spans: u32, classes: u32, rest: &[u8]| {
            [&spans.to_le_bytes()[..], &classes.to_le_bytes(), &[0; 8], rest].concat()
        };
        let columns = [0, 0, 0, 1, 5, 5];
        let one_class = [&[0x02, 0, 0][..], &columns].concat();
        for (row, is_sound) in [
            (unpacked(2, 1, &one_class), true),
            (unpacked(2, 0, &columns), false),
            (unpacked(u32::MAX, 1, &one_class), false),
            (unpacked(2, u32::MAX, &one_class), false),
            (unpacked(3, 1, &one_class), false),
            (unpacked(2, 1, &[&one_class[..], &[0]].concat()), false),
            (unpacked(0, 0, &[0, 0, 0, 1]), true),
        ] {
            let read = ServiceRow::read(&zstd::bulk::compress(&row, 1).unwrap());
            assert_eq!(read.is_ok(), is_sound, "{row:02x?}");
        }
        let bomb = zstd::bulk::compress(&vec![0; MAX_ROW_BYTES + 1], 1).unwrap();
        assert_eq!(ServiceRow::read(&bomb), Err(Damaged));
    }
}
