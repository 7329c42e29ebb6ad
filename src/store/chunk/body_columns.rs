//! The spans' bodies on their way into a chunk: a column for each attribute key, one for the rest.

use crate::model::Span;
use crate::otlp::{Fields, write};
use crate::store::chunk::dictionary::{Dictionary, Entry, Index};
use crate::store::chunk::parts::{Part, Parts, Told};
use crate::store::chunk::{FIRST_KEY, FORMER_NAMES, MAX_KEYS, REST};
use crate::store::tags::{Tags, key_hash};

/// The number of the dictionary of keys; columns have the numbers below.
const KEYS: u32 = FIRST_KEY + MAX_KEYS;

/// The first number that no dictionary here has.
pub(super) const FIRST_OTHER_DICTIONARY: u32 = KEYS + 1;

/// One column.
#[derive(Debug, Default)]
struct Column {
    /// For each value: 0 if it is the next new one, otherwise its number in the dictionary plus one.
    ids: Vec<u8>,
    dictionary: Dictionary,
    /// The key that came after this column's when it was met last: senders write attributes in one order.
    follower: u32,
    /// The hash of the key.
    key_hash: u64,
    /// Whether the key is one that says something of calls.
    tells_of_calls: bool,
}

/// Bytes of room that all columns keep for the next chunk, and what each keeps of each kind when they are more: any of
/// a thousand columns may have been a large one once.
const MAX_ROOM: usize = 8 << 20;
const MAX_COLUMN_ROOM: usize = 2 << 10;

impl Column {
    fn room(&self) -> usize {
        self.ids.capacity() + self.dictionary.room()
    }

    fn give_back_room(&mut self) {
        self.ids.shrink_to(MAX_COLUMN_ROOM);
        self.dictionary.shrink_to(MAX_COLUMN_ROOM);
    }
}

/// All columns, and the room of former ones.
#[derive(Debug, Default)]
pub(super) struct BodyColumns {
    keys: Dictionary,
    columns: Vec<Column>,
    /// Values in all columns.
    values: u64,
    /// Of each distinct rest, whether it may say something of calls.
    rests_of_calls: Vec<bool>,
}

/// One body as it is walked.
struct Walk<'a, 'o> {
    body: &'a [u8],
    /// The body's ops, two bytes each, behind what the shape holds already.
    shape: &'o mut Vec<u8>,
    index: &'o mut Index,
    tags: &'o mut Tags,
    /// Where the rest that is not yet put away starts.
    rest: Option<usize>,
    /// The column of the attribute before.
    before: u32,
    /// The name that was met last.
    name: &'a [u8],
    /// The plain name, the field it came in, and where its op stands.
    plain_name: Option<(&'a [u8], &'a [u8], usize)>,
    /// Whether anything so far may say something of calls.
    tells_of_calls: bool,
}

impl Walk<'_, '_> {
    #[inline]
    fn push(&mut self, op: u16) {
        self.shape.extend_from_slice(&op.to_le_bytes());
    }
}

impl BodyColumns {
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        let mut room = 0;
        for column in &mut self.columns {
            column.ids.clear();
            column.dictionary.clear();
            room += column.room();
        }
        if room > MAX_ROOM {
            self.columns.iter_mut().for_each(Column::give_back_room);
        }
        let kept = (FIRST_KEY as usize).max(self.columns.len());
        self.columns.resize_with(kept, Column::default);
        self.values = 0;
        self.rests_of_calls.clear();
    }

    /// Puts a span's body away; appends its ops to `shape`, and says the name that a reader of the body finds, and
    /// whether anything but that may say something of calls: links, or attributes of messages.
    pub(super) fn span<'a>(
        &mut self,
        span: &'a Span,
        shape: &mut Vec<u8>,
        index: &mut Index,
        tags: &mut Tags,
    ) -> (&'a [u8], bool) {
        let mut walk = Walk {
            body: &span.body,
            shape,
            index,
            tags,
            rest: None,
            before: REST,
            name: b"",
            plain_name: None,
            tells_of_calls: false,
        };
        let mut parts = Parts::of(span);
        while let Some((part, place)) = parts.next_part() {
            if let Part::Name { name, .. } = part {
                walk.name = name;
            }
            let Some(op) = self.op(part, &mut walk) else {
                walk.rest.get_or_insert(place.start);
                continue;
            };
            self.put_rest_away(&mut walk, place.start);
            if op == Told::Name as u16 {
                walk.plain_name = Some((walk.name, &walk.body[place], walk.shape.len()));
            }
            walk.push(op);
        }
        self.put_rest_away(&mut walk, span.body.len());
        self.keep_former_name(&mut walk);
        (walk.name, walk.tells_of_calls)
    }

    /// What a part becomes; none for the rest.
    #[inline]
    fn op(&mut self, part: Part<'_>, walk: &mut Walk<'_, '_>) -> Option<u16> {
        match part {
            Part::Attribute { key, value } => {
                let column = self.column(walk.before, key, walk.index)?;
                walk.before = column;
                walk.tells_of_calls |= self.columns[column as usize].tells_of_calls;
                if self.put(column, value, walk.index).is_new {
                    walk.tags.attribute(self.columns[column as usize].key_hash, value);
                }
                Some(Told::COUNT + column as u16)
            }
            Part::Told(told) => Some(told as u16),
            Part::Name { is_plain, .. } => is_plain.then_some(Told::Name as u16),
            Part::Other => None,
        }
    }

    #[inline]
    fn put_rest_away(&mut self, walk: &mut Walk<'_, '_>, end: usize) {
        let Some(start) = walk.rest.take() else { return };
        let rest = &walk.body[start..end];
        let entry = self.put(REST, rest, walk.index);
        if entry.is_new {
            walk.tags.fields(rest);
            self.rests_of_calls.push(may_tell_of_calls(rest));
        }
        walk.tells_of_calls |= self.rests_of_calls[entry.id as usize];
        walk.push(Told::COUNT + REST as u16);
    }

    /// A plain name that a later field replaced is not the span's: it gets a column of its own.
    fn keep_former_name(&mut self, walk: &mut Walk<'_, '_>) {
        let Some((name, field, at)) = walk.plain_name else { return };
        if name != walk.name {
            self.put(FORMER_NAMES, field, walk.index);
            walk.shape[at..at + 2].copy_from_slice(&(Told::COUNT + FORMER_NAMES as u16).to_le_bytes());
        }
    }

    /// The column of a key; none for a new key when there are enough.
    #[inline]
    fn column(&mut self, before: u32, key: &[u8], index: &mut Index) -> Option<u32> {
        let likely = self.columns[before as usize].follower;
        if likely < self.keys.len() && self.keys.get(likely) == key {
            return Some(FIRST_KEY + likely);
        }
        let Entry { id, is_new } = index.intern_below(MAX_KEYS, KEYS, &mut self.keys, key)?;
        self.columns[before as usize].follower = id;
        let column = FIRST_KEY + id;
        if is_new {
            if column as usize == self.columns.len() {
                self.columns.push(Column::default());
            }
            let column = &mut self.columns[column as usize];
            column.key_hash = key_hash(key);
            column.tells_of_calls = key.starts_with(b"messaging.");
        }
        Some(column)
    }

    #[inline]
    fn put(&mut self, column: u32, value: &[u8], index: &mut Index) -> Entry {
        let Column { ids, dictionary, .. } = &mut self.columns[column as usize];
        let entry = index.intern(column, dictionary, value);
        write::varint(ids, if entry.is_new { 0 } else { u64::from(entry.id) + 1 });
        self.values += 1;
        entry
    }

    /// The columns that have been used since they were cleared.
    fn used(&self) -> &[Column] {
        &self.columns[..(FIRST_KEY + self.keys.len()) as usize]
    }

    /// Values in all columns, and distinct ones.
    pub(super) fn counts(&self) -> (u64, u64) {
        let distinct = self.used().iter().map(|column| u64::from(column.dictionary.len())).sum();
        (self.values, distinct)
    }

    /// Appends the columns.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write::varint(out, u64::from(self.keys.len()));
        self.keys.write_lengths(out);
        out.extend_from_slice(self.keys.bytes());
        for column in self.used() {
            write::varint(out, column.ids.len() as u64);
            write::varint(out, u64::from(column.dictionary.len()));
        }
        self.used().iter().for_each(|column| out.extend_from_slice(&column.ids));
        self.used().iter().for_each(|column| column.dictionary.write_lengths(out));
        self.used().iter().for_each(|column| out.extend_from_slice(column.dictionary.bytes()));
    }
}

/// Whether there are links among these fields, or attributes that have no column.
fn may_tell_of_calls(fields: &[u8]) -> bool {
    Fields::new(fields).any(|(number, _)| number == 9 || number == 13)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::trace;

    #[test]
    fn columns_that_were_large_once_give_back_their_room() {
        let mut columns = BodyColumns::default();
        let room = |columns: &BodyColumns| columns.columns.iter().map(Column::room).sum::<usize>();
        let (mut kept, mut most) = (0, 0);
        for large in 0..30 {
            columns.clear();
            kept = kept.max(room(&columns));
            let (mut index, mut tags) = (Index::new(), Tags::default());
            for key in 0..=large {
                let text = "x".repeat(if key == large { 1 << 20 } else { 1 });
                let span = trace(1, &format!("shop | GET / | server | 0-1 | key{key}={text}")).remove(0);
                columns.span(&span, &mut Vec::new(), &mut index, &mut tags);
            }
            most = most.max(room(&columns));
        }
        assert!(kept > MAX_ROOM / 2 && kept <= MAX_ROOM, "{kept}");
        assert!(most < MAX_ROOM + (2 << 20), "{most}");
    }
}
