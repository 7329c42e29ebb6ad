//! What a search asks of the spans first, on its way into a chunk: times, parents, sources, names, kinds.

use crate::model::Span;
use crate::otlp::write;
use crate::store::chunk::body_columns::FIRST_OTHER_DICTIONARY;
use crate::store::chunk::dictionary::{Dictionary, Entry, Index, MAX_DICTIONARIES};
use crate::store::chunk::{Item, SHAPE_HEADER_BYTES};

const SOURCES: u32 = FIRST_OTHER_DICTIONARY;
const NAMES: u32 = FIRST_OTHER_DICTIONARY + 1;
const SHAPES: u32 = FIRST_OTHER_DICTIONARY + 2;
const CLASSES: u32 = FIRST_OTHER_DICTIONARY + 3;

/// Bytes that a dictionary keeps for the next chunk.
const MAX_ROOM: usize = 1 << 20;

const _: () = assert!((CLASSES as usize) < MAX_DICTIONARIES);

/// The head's columns; see the drawing in [`super`].
#[derive(Debug, Default)]
pub(super) struct HeadColumns {
    pub(super) trace_ids: Vec<u8>,
    pub(super) span_ids: Vec<u8>,
    /// Parents that are not in the chunk, or of another trace.
    pub(super) foreign_parents: Vec<u8>,
    sizes: Vec<u8>,
    /// The earliest start in each trace.
    earliest: Vec<u64>,
    starts: Vec<u8>,
    durations: Vec<u8>,
    parents: Vec<u8>,
    source_ids: Vec<u8>,
    class_ids: Vec<u8>,
    sources: Dictionary,
    names: Dictionary,
    shapes: Dictionary,
    classes: Dictionary,
    /// The span ids of the present trace, as numbers.
    siblings: Vec<u64>,
}

impl HeadColumns {
    pub(super) fn clear(&mut self) {
        let columns = [
            &mut self.trace_ids,
            &mut self.span_ids,
            &mut self.foreign_parents,
            &mut self.sizes,
            &mut self.starts,
            &mut self.durations,
            &mut self.parents,
            &mut self.source_ids,
            &mut self.class_ids,
        ];
        columns.into_iter().for_each(Vec::clear);
        self.earliest.clear();
        for dictionary in [&mut self.sources, &mut self.names, &mut self.shapes, &mut self.classes] {
            dictionary.clear();
            // A name may be as long as a span.
            dictionary.shrink_to(MAX_ROOM);
        }
    }

    /// Ids, times, parents and sources of a trace's spans.
    pub(super) fn trace(&mut self, items: &[Item<'_>], index: &mut Index) {
        let spans = || items.iter().map(|item| item.span);
        self.siblings.clear();
        self.siblings.extend(spans().map(|span| u64::from_be_bytes(span.span_id.0)));
        let earliest = spans().map(|span| span.start.nanos()).min().unwrap_or_default();
        self.earliest.push(earliest);
        write::varint(&mut self.sizes, items.len() as u64);
        self.trace_ids.extend(spans().take(1).flat_map(|span| span.trace_id.0));
        for item in items {
            let (start, end) = (item.span.start.nanos(), item.span.end.nanos());
            self.span_ids.extend_from_slice(&item.span.span_id.0);
            write::varint(&mut self.starts, start - earliest);
            write::varint(&mut self.durations, write::zigzag(end.wrapping_sub(start) as i64));
            self.parent(item.span);
            let source = index.intern(SOURCES, &mut self.sources, &item.source.to_le_bytes());
            write::varint(&mut self.source_ids, source.id.into());
        }
    }

    /// The first span of the trace that has the parent's id, whichever of equal ids is meant.
    fn parent(&mut self, span: &Span) {
        let code = match span.parent_id.filter(|parent| !parent.is_zero()) {
            None => 0,
            Some(parent) => {
                let id = u64::from_be_bytes(parent.0);
                let place = self.siblings.partition_point(|&sibling| sibling < id);
                if self.siblings.get(place) == Some(&id) {
                    place as u64 + 2
                } else {
                    self.foreign_parents.extend_from_slice(&parent.0);
                    1
                }
            }
        };
        write::varint(&mut self.parents, code);
    }

    /// The next span's shape and name: the number of their class, that of the name, and whether the shape is new.
    pub(super) fn class(&mut self, shape: &[u8], name: &[u8], index: &mut Index) -> (u32, Entry, bool) {
        let shape = index.intern(SHAPES, &mut self.shapes, shape);
        let name = index.intern(NAMES, &mut self.names, name);
        let pair = (u64::from(shape.id) << 32 | u64::from(name.id)).to_le_bytes();
        let class = index.intern(CLASSES, &mut self.classes, &pair);
        write::varint(&mut self.class_ids, class.id.into());
        (class.id, name, shape.is_new)
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = u32> {
        let number = |source: &[u8]| source.try_into().map(u32::from_le_bytes);
        self.sources.iter().map(move |source| number(source).expect("a source was put in as four bytes"))
    }

    pub(super) fn count_of_classes(&self) -> usize {
        self.classes.len() as usize
    }

    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.names.iter()
    }

    /// Appends the columns.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let base = self.earliest.iter().copied().min().unwrap_or_default();
        write::varint(out, base);
        out.extend_from_slice(&self.sizes);
        self.earliest.iter().for_each(|earliest| write::varint(out, earliest - base));
        for column in [&self.starts, &self.durations, &self.parents] {
            out.extend_from_slice(column);
        }
        self.write_sources(out);
        self.write_classes(out);
    }

    fn write_sources(&self, out: &mut Vec<u8>) {
        write::varint(out, self.sources.len().into());
        self.sources().for_each(|source| write::varint(out, source.into()));
        out.extend_from_slice(&self.source_ids);
    }

    fn write_classes(&self, out: &mut Vec<u8>) {
        write::varint(out, self.names.len().into());
        self.names.write_lengths(out);
        out.extend_from_slice(self.names.bytes());
        write::varint(out, self.shapes.len().into());
        for shape in self.shapes.iter() {
            out.extend_from_slice(&shape[..SHAPE_HEADER_BYTES]);
        }
        write::varint(out, self.classes.len().into());
        for class in self.classes.iter() {
            let pair = class.try_into().map(u64::from_le_bytes).expect("a class was put in as eight bytes");
            write::varint(out, pair >> 32);
            write::varint(out, pair & 0xffff_ffff);
        }
        out.extend_from_slice(&self.class_ids);
    }

    /// Appends the ops of each shape.
    pub(super) fn write_ops(&self, out: &mut Vec<u8>) {
        for shape in self.shapes.iter() {
            let (ops, _) = shape[SHAPE_HEADER_BYTES..].as_chunks();
            write::varint(out, ops.len() as u64);
            ops.iter().for_each(|&op| write::varint(out, u16::from_le_bytes(op).into()));
        }
    }
}
