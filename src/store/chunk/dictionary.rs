//! Byte strings told once: each distinct one gets a number, in the order of first appearance.

use crate::otlp::write;
use crate::store::fold::Secrets;

/// How many places are looked at for a value before it counts as new. One that was overlooked is told twice, which costs
/// bytes and nothing else: so no sender can make the search long.
const MAX_PROBES: usize = 128;

/// Places of an [`Index`] that has seen nothing.
const LEAST_SLOTS: usize = 1 << 10;

/// Bits of a mark that name the dictionary.
const NUMBER_BITS: u32 = 12;

/// The most dictionaries that can share an [`Index`].
pub(super) const MAX_DICTIONARIES: usize = 1 << NUMBER_BITS;

/// Distinct byte strings.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    /// Where each ends in `bytes`.
    ends: Vec<u32>,
    /// The one that was asked for last, and where it stands.
    last: u32,
    last_place: (u32, u32),
}

impl Dictionary {
    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// All of them, one behind the other.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> &[u8] {
        let (start, end) = self.place(id);
        &self.bytes[start as usize..end as usize]
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|id| self.get(id))
    }

    /// Appends the length of each.
    pub(super) fn write_lengths(&self, out: &mut Vec<u8>) {
        let mut start = 0;
        for &end in &self.ends {
            write::varint(out, u64::from(end - start));
            start = end;
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.last = 0;
        self.last_place = (0, 0);
    }

    /// Bytes that are taken, used or not.
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity() + size_of::<u32>() * self.ends.capacity()
    }

    /// Gives back the room above so many bytes of each kind.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        self.bytes.shrink_to(bytes);
        self.ends.shrink_to(bytes / size_of::<u32>());
    }

    #[inline]
    fn place(&self, id: u32) -> (u32, u32) {
        let id = id as usize;
        (if id == 0 { 0 } else { self.ends[id - 1] }, self.ends[id])
    }

    #[inline]
    fn push(&mut self, value: &[u8]) -> u32 {
        let id = self.len();
        self.bytes.extend_from_slice(value);
        self.ends.push(u32::try_from(self.bytes.len()).expect("a chunk is far below 4 GiB"));
        self.remember(id);
        id
    }

    #[inline]
    fn remember(&mut self, id: u32) {
        self.last = id;
        self.last_place = self.place(id);
    }

    /// Values often come in a row: this one again?
    #[inline]
    fn is_last(&self, value: &[u8]) -> bool {
        let (start, end) = self.last_place;
        !self.ends.is_empty() && self.bytes[start as usize..end as usize] == *value
    }
}

/// The number of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Its place in the dictionary.
    pub(super) id: u32,
    /// Whether it has just been put there.
    pub(super) is_new: bool,
}

/// Finds values in any of the dictionaries of a chunk. A hash leads to a value; the bytes decide.
#[derive(Debug)]
pub(super) struct Index {
    /// Nobody outside knows which values share a place.
    secrets: Secrets,
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// 20 bits of the hash above the number of the dictionary.
    mark: u32,
    /// The value's number plus one; 0 where there is none.
    id: u32,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { secrets: Secrets::new(), slots: vec![Slot::default(); LEAST_SLOTS], used: 0 }
    }

    /// Forgets all; keeps about the room that the values so far needed.
    pub(super) fn clear(&mut self) {
        let slots = (2 * self.used).next_power_of_two().max(LEAST_SLOTS);
        self.slots.clear();
        self.slots.resize(slots, Slot::default());
        self.used = 0;
    }

    /// The number of a value in the dictionary of this number, where it is put if it is not there.
    #[inline]
    pub(super) fn intern(&mut self, number: u32, dictionary: &mut Dictionary, value: &[u8]) -> Entry {
        self.intern_below(u32::MAX, number, dictionary, value).expect("no chunk holds 2^32 values")
    }

    /// The same if the dictionary has fewer than `most` values; of a full one only values that it has already.
    #[inline]
    pub(super) fn intern_below(
        &mut self,
        most: u32,
        number: u32,
        dictionary: &mut Dictionary,
        value: &[u8],
    ) -> Option<Entry> {
        if dictionary.is_last(value) {
            return Some(Entry { id: dictionary.last, is_new: false });
        }
        let mark = (self.secrets.bytes(value) as u32) << NUMBER_BITS | number;
        let (found, free) = self.find(mark, dictionary, value);
        if let Some(id) = found {
            dictionary.remember(id);
            return Some(Entry { id, is_new: false });
        }
        if dictionary.len() >= most {
            return None;
        }
        let id = dictionary.push(value);
        if let Some(free) = free {
            self.slots[free] = Slot { mark, id: id + 1 };
            self.used += 1;
            self.grow();
        }
        Some(Entry { id, is_new: true })
    }

    /// The value, or else a place for it.
    #[inline]
    fn find(&self, mark: u32, dictionary: &Dictionary, value: &[u8]) -> (Option<u32>, Option<usize>) {
        let mut at = self.home(mark);
        for _ in 0..MAX_PROBES {
            let slot = self.slots[at];
            if slot.id == 0 {
                return (None, Some(at));
            }
            if slot.mark == mark && dictionary.get(slot.id - 1) == value {
                return (Some(slot.id - 1), None);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        (None, None)
    }

    #[inline]
    fn home(&self, mark: u32) -> usize {
        // Fibonacci hashing: the upper bits of the product depend on all bits of the mark.
        let product = mark.wrapping_mul(0x9e37_79b1);
        (product >> (32 - self.slots.len().trailing_zeros().min(31))) as usize
    }

    /// Keeps half of the places free.
    fn grow(&mut self) {
        if 2 * self.used <= self.slots.len() || self.slots.len() >= 1 << 31 {
            return;
        }
        let slots = vec![Slot::default(); 2 * self.slots.len()];
        let old = std::mem::replace(&mut self.slots, slots);
        for slot in old.into_iter().filter(|slot| slot.id != 0) {
            let mut at = self.home(slot.mark);
            while self.slots[at].id != 0 {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_number_in_each_dictionary() {
        let mut index = Index::new();
        let mut dictionaries = [Dictionary::default(), Dictionary::default()];
        let values: Vec<_> = (0..5_000u32).map(|value| value.to_string()).collect();
        for round in 0..2 {
            for (place, value) in values.iter().enumerate() {
                for (number, dictionary) in dictionaries.iter_mut().enumerate() {
                    let entry = index.intern(number as u32, dictionary, value.as_bytes());
                    assert_eq!((entry.id as usize, entry.is_new), (place, round == 0));
                }
            }
        }
        assert!(dictionaries[1].iter().eq(values.iter().map(String::as_bytes)));
    }

    #[test]
    fn values_of_one_hash_stay_apart() {
        let mut index = Index::new();
        let mut dictionary = Dictionary::default();
        dictionary.push(b"a");
        let mark = (index.secrets.bytes(b"b") as u32) << NUMBER_BITS;
        let home = index.home(mark);
        index.slots[home] = Slot { mark, id: 1 };
        assert_eq!(index.intern(0, &mut dictionary, b"b").id, 1);
    }

    #[test]
    fn a_crowded_place_costs_a_second_entry_at_most() {
        let mut index = Index::new();
        let mut dictionary = Dictionary::default();
        dictionary.push(b"a");
        dictionary.push(b"b");
        index.slots.fill(Slot { mark: u32::MAX, id: 1 });
        assert!(index.intern(0, &mut dictionary, b"a").is_new);
    }

    #[test]
    fn a_full_dictionary_knows_what_it_has() {
        let mut index = Index::new();
        let mut dictionary = Dictionary::default();
        index.intern(0, &mut dictionary, b"a");
        assert!(index.intern_below(1, 0, &mut dictionary, b"b").is_none());
        assert_eq!(index.intern_below(1, 0, &mut dictionary, b"a").map(|entry| entry.id), Some(0));
    }

    #[test]
    fn an_index_shrinks_to_what_was_needed_last() {
        let mut index = Index::new();
        let mut dictionary = Dictionary::default();
        for value in 0..5_000u32 {
            index.intern(0, &mut dictionary, &value.to_le_bytes());
        }
        assert_eq!(index.slots.len(), 16_384);
        index.clear();
        index.clear();
        assert_eq!(index.slots.len(), LEAST_SLOTS);
    }
}
