//! The freshest frames, held in memory for consumers that keep up with the writer.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::buffer::frame::frame_bytes;
use crate::buffer::stats::Amount;

/// Memory that a frame takes beside its payload.
const FRAME_OVERHEAD_BYTES: usize = 96;

/// One accepted append, as it was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its number in this buffer: later is larger, and never used twice.
    pub sequence: u64,
    /// When it was accepted, in nanoseconds since the Unix epoch.
    pub accepted: u64,
    /// Spans, log records or data points in it, as the appender counted them.
    pub items: u32,
    /// The bytes that were appended.
    pub payload: Bytes,
}

impl Frame {
    /// What it is, as consumers count it.
    pub(super) fn amount(&self) -> Amount {
        Amount { frames: 1, items: u64::from(self.items), bytes: frame_bytes(self.payload.len()) as u64 }
    }
}

/// How much to take at once. The first frame is given even if it alone is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Take {
    /// Most frames.
    pub max_frames: usize,
    /// Most payload bytes.
    pub max_bytes: usize,
    /// Most items.
    pub max_items: u64,
}

/// Frames being taken, up to a limit.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) frames: Vec<Frame>,
    bytes: usize,
    items: u64,
}

impl Taken {
    /// Whether a frame of such a size may still be added.
    pub(super) fn has_room(&self, take: &Take, bytes: usize, items: u32) -> bool {
        self.frames.is_empty()
            || (self.frames.len() < take.max_frames
                && self.bytes.saturating_add(bytes) <= take.max_bytes
                && self.items.saturating_add(u64::from(items)) <= take.max_items)
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.payload.len();
        self.items += u64::from(frame.items);
        self.frames.push(frame);
    }
}

/// A queue of frames without holes: every frame published from `start` on is in it.
#[derive(Debug)]
pub(super) struct Tail {
    frames: VecDeque<Frame>,
    bytes: usize,
    limit: usize,
    start: u64,
}

impl Tail {
    /// Empty; the first frame it may be asked for is `start`.
    pub(super) fn new(limit: usize, start: u64) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, limit, start }
    }

    /// The first sequence it answers for.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the newest frame and lets the oldest go where the bound asks for it: they are safe on disk.
    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += cost(&frame);
        self.frames.push_back(frame);
        while self.bytes > self.limit && self.drop_first() {}
    }

    /// Lets go of everything up to and including `sequence`.
    pub(super) fn drop_up_to(&mut self, sequence: u64) {
        while self.frames.front().is_some_and(|frame| frame.sequence <= sequence) {
            self.drop_first();
        }
        if self.frames.is_empty() {
            self.start = self.start.max(sequence + 1);
            self.frames.shrink_to(64);
        }
    }

    /// When a frame was accepted, if it is here.
    pub(super) fn accepted(&self, sequence: u64) -> Option<u64> {
        let at = self.frames.binary_search_by_key(&sequence, |frame| frame.sequence).ok()?;
        Some(self.frames[at].accepted)
    }

    /// Frames from `next` on, which must not be below [`Tail::start`].
    pub(super) fn take(&self, next: u64, take: &Take) -> Vec<Frame> {
        let mut taken = Taken::default();
        let from = self.frames.partition_point(|frame| frame.sequence < next);
        for frame in self.frames.range(from..) {
            if !taken.has_room(take, frame.payload.len(), frame.items) {
                break;
            }
            taken.push(frame.clone());
        }
        taken.frames
    }

    fn drop_first(&mut self) -> bool {
        let Some(frame) = self.frames.pop_front() else { return false };
        self.bytes -= cost(&frame);
        self.start = frame.sequence + 1;
        true
    }
}

fn cost(frame: &Frame) -> usize {
    frame.payload.len() + FRAME_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::{Frame, Tail, Take};
    use bytes::Bytes;

    const ALL: Take = Take { max_frames: usize::MAX, max_bytes: usize::MAX, max_items: u64::MAX };

    fn tail_of(sequences: std::ops::Range<u64>, limit: usize) -> Tail {
        let mut tail = Tail::new(limit, sequences.start);
        for sequence in sequences {
            tail.push(Frame { sequence, accepted: 0, items: 2, payload: Bytes::from_static(&[0; 104]) });
        }
        tail
    }

    fn taken(tail: &Tail, next: u64, take: Take) -> Vec<u64> {
        tail.take(next, &take).iter().map(|frame| frame.sequence).collect()
    }

    #[test]
    fn the_oldest_frames_leave_when_the_bound_is_reached() {
        let tail = tail_of(1..11, 1_000);
        assert_eq!((tail.start(), tail.bytes()), (6, 1_000));
        assert_eq!(taken(&tail, 6, ALL), [6, 7, 8, 9, 10]);
    }

    #[test]
    fn taking_stops_at_each_limit_and_gives_at_least_one() {
        let tail = tail_of(1..11, 1 << 20);
        assert_eq!(taken(&tail, 3, Take { max_frames: 2, ..ALL }), [3, 4]);
        assert_eq!(taken(&tail, 3, Take { max_bytes: 350, ..ALL }), [3, 4, 5]);
        assert_eq!(taken(&tail, 3, Take { max_items: 5, ..ALL }), [3, 4]);
        assert_eq!(taken(&tail, 10, Take { max_bytes: 1, ..ALL }), [10]);
        assert!(taken(&tail, 11, ALL).is_empty());
    }

    #[test]
    fn what_everyone_has_taken_leaves() {
        let mut tail = tail_of(1..11, 1 << 20);
        tail.drop_up_to(4);
        assert_eq!((tail.start(), tail.len()), (5, 6));
        tail.drop_up_to(20);
        assert_eq!((tail.start(), tail.bytes()), (21, 0));
    }
}
