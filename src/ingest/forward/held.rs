//! The frames that wait for an answer, and how they are divided until the one is found that will not do.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::buffer::Take;

use super::size::{MOST_BYTES, MOST_FRAMES, RequestSize};

/// A frame of the buffer as it goes out.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its number in the buffer.
    pub(super) sequence: u64,
    /// What is sent of it; nothing if it has nothing that the other server could take.
    pub(super) request: Bytes,
    /// Items in what is sent.
    pub(super) items: u32,
    /// Items that are not.
    pub(super) left_out: u32,
}

/// Frames in the order of their numbers, and the parts that they are sent in.
#[derive(Debug)]
pub(super) struct Held {
    frames: VecDeque<Frame>,
    /// The last is the one that is sent now; what is in none follows after all of them.
    parts: Vec<Part>,
    /// Frames that were tried alone, see [`Held::probe`].
    probed: usize,
    /// Whether they were gathered at once, in the order in which they are owed.
    are_in_a_row: bool,
}

/// What there is an answer for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// Everything that was given up to this number, and on its side of a split.
    UpTo(u64),
    /// These, and not what was given before them.
    Only(Vec<u64>),
}

/// One half of a request that was refused: the frames up to here that are left.
#[derive(Debug)]
struct Part {
    /// Behind its last frame.
    end: u64,
    /// What was refused, where this is its second half.
    whole: Option<Whole>,
}

/// A request that was refused, to be known again when all of it has been answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    /// Its size.
    pub(super) bytes: usize,
    /// Whether that was the reason.
    pub(super) too_large: bool,
    /// Items that were set aside until then.
    pub(super) set_aside: u64,
}

impl Held {
    pub(super) fn new(frames: Vec<Frame>) -> Self {
        Self { frames: frames.into(), parts: Vec::new(), probed: 0, are_in_a_row: true }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Forgets those that nobody owes any more. Returns the refused requests that are done with.
    pub(super) fn keep(&mut self, owes: impl Fn(u64) -> bool) -> Vec<Whole> {
        self.frames.retain(|frame| owes(frame.sequence));
        let next = self.frames.front().map_or(u64::MAX, |frame| frame.sequence);
        let mut done = Vec::new();
        while let Some(part) = self.parts.pop_if(|part| part.end <= next) {
            done.extend(part.whole);
        }
        done
    }

    /// Where those are that go next.
    pub(super) fn next(&self, size: &RequestSize) -> Range<usize> {
        let end = self.parts.last().map_or(u64::MAX, |part| part.end);
        0..size.fitting(
            self.frames.iter().take_while(|frame| frame.sequence < end).map(|frame| frame.request.len()),
        )
    }

    /// Where one is that may be better than those that were refused: another one each time, the newest first.
    pub(super) fn probe(&mut self) -> Range<usize> {
        let at = self.frames.len() - 1 - self.probed % self.frames.len();
        self.probed += 1;
        at..at + 1
    }

    /// How many more there may be; `None` when there are enough.
    pub(super) fn room(&self) -> Option<Take> {
        let bytes: usize = self.frames.iter().map(|frame| frame.request.len()).sum();
        let (max_frames, max_bytes) =
            (MOST_FRAMES.saturating_sub(self.frames.len()), MOST_BYTES.saturating_sub(bytes));
        (max_frames > 0 && max_bytes > 0).then_some(Take { max_frames, max_bytes, max_items: u64::MAX })
    }

    /// Newer ones than those that are held.
    pub(super) fn add(&mut self, frames: Vec<Frame>) {
        self.are_in_a_row &= frames.is_empty();
        self.frames.extend(frames);
    }

    /// These were refused together: each half goes by itself.
    pub(super) fn divide(&mut self, these: &Range<usize>, whole: Whole) {
        let middle = these.start + these.len() / 2;
        self.parts.push(Part { end: self.frames[these.end - 1].sequence + 1, whole: Some(whole) });
        self.parts.push(Part { end: self.frames[middle].sequence, whole: None });
    }

    /// There is an answer for these.
    pub(super) fn take(&mut self, these: Range<usize>) -> Answered {
        let is_first = these.start == 0;
        let numbers: Vec<u64> = self.frames.drain(these).map(|frame| frame.sequence).collect();
        match numbers.last() {
            Some(last) if is_first && self.are_in_a_row => Answered::UpTo(*last),
            _ => Answered::Only(numbers),
        }
    }

    pub(super) fn items(&self, these: &Range<usize>) -> u64 {
        self.frames.range(these.clone()).map(|frame| u64::from(frame.items)).sum()
    }

    /// Items of these frames that are not in their request.
    pub(super) fn left_out(&self, these: &Range<usize>) -> u64 {
        self.frames.range(these.clone()).map(|frame| u64::from(frame.left_out)).sum()
    }

    /// One after the other, which is one request with the resources of all of them (protobuf.dev, "Last One Wins":
    /// the elements of repeated fields are concatenated). A single one is not copied.
    pub(super) fn request(&self, these: &Range<usize>) -> Bytes {
        if these.len() == 1 {
            return self.frames[these.start].request.clone();
        }
        let requests = || self.frames.range(these.clone()).map(|frame| &frame.request);
        let mut request = BytesMut::with_capacity(requests().map(Bytes::len).sum());
        requests().for_each(|one| request.extend_from_slice(one));
        request.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Whole = Whole { bytes: 8, too_large: true, set_aside: 0 };

    fn frame(sequence: u64) -> Frame {
        Frame { sequence, request: vec![sequence as u8].into(), items: 1, left_out: 0 }
    }

    fn held(count: u64) -> Held {
        Held::new((0..count).map(frame).collect())
    }

    fn next(held: &Held) -> Vec<u8> {
        held.request(&held.next(&RequestSize::new(None))).to_vec()
    }

    #[test]
    fn a_part_is_done_when_its_frames_are_answered_for_or_gone() {
        let mut held = held(8);
        held.divide(&(0..8), WHOLE);
        assert_eq!(next(&held), [0, 1, 2, 3]);
        held.divide(&(0..4), WHOLE);
        assert_eq!(held.take(0..2), Answered::UpTo(1));
        assert_eq!(held.keep(|_| true), []);
        assert_eq!(next(&held), [2, 3]);
        // Somebody made room.
        assert_eq!(held.keep(|sequence| sequence > 4), [WHOLE]);
        assert_eq!(next(&held), [5, 6, 7]);
        held.take(0..3);
        assert_eq!(held.keep(|_| true), [WHOLE]);
        assert!(held.is_empty());
    }

    #[test]
    fn every_frame_is_probed_in_its_turn() {
        let mut held = held(3);
        let mut probed = || held.probe().start;
        assert_eq!([(); 5].map(|()| probed()), [2, 1, 0, 2, 1]);
    }

    #[test]
    fn an_answer_for_one_says_nothing_about_those_before_it() {
        let mut held = held(4);
        assert_eq!(held.take(2..3), Answered::Only(vec![2]));
        assert_eq!(held.take(0..1), Answered::UpTo(0));
        // Those may be on another side of a split.
        held.add(vec![frame(9)]);
        assert_eq!(held.take(0..3), Answered::Only(vec![1, 3, 9]));
    }
}
