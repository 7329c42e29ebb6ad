//! The body of a chunk read back: the columns, and the spans' messages put together from them.

use std::ops::Range;

use crate::store::chunk::head::Head;
use crate::store::chunk::numbers::Numbers;
use crate::store::chunk::page::{Page, STEP};
use crate::store::chunk::parts::{ATTRIBUTE_TAG, KEY_TAG, Told, VALUE_TAG, length_of_number};
use crate::store::chunk::{FIRST_KEY, MAX_BODY_BYTES, MAX_KEYS};

/// How many there are of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) values: usize,
    pub(super) distinct: usize,
    pub(super) unpacked: usize,
}

impl Sizes {
    /// The memory that the body takes, in bytes.
    pub(super) fn bytes(self, spans: usize) -> usize {
        self.unpacked + size_of::<u32>() * (self.values + self.distinct + 2 * spans)
    }
}

/// The body's columns.
#[derive(Debug)]
pub(super) struct Body {
    unpacked: Vec<u8>,
    /// The ops of all shapes, and where those of each end.
    ops: Vec<u16>,
    shape_ends: Vec<u32>,
    key_fields: KeyFields,
    /// Where each distinct value starts in `unpacked`, and one more: the end.
    distinct: Vec<u32>,
    /// For each value which distinct one it is, in the order of the spans and their ops.
    values: Vec<u32>,
    /// The first value of each span, and the length of its message.
    spans: Vec<(u32, u32)>,
}

impl Body {
    pub(super) fn read(head: &Head, sizes: Sizes, unpacked: Vec<u8>) -> Option<Self> {
        let mut rest = Numbers(&unpacked);
        let (ops, shape_ends) = ops(head.shapes, &mut rest)?;
        let key_fields = KeyFields::read(&mut rest)?;
        let columns = FIRST_KEY as usize + key_fields.ends.len();
        let (columns, distinct) = columns_of(columns, sizes.distinct, &mut rest)?;
        let start = (unpacked.len() - rest.0.len()) as u32;
        let distinct = starts(start, distinct, &mut rest)?;
        (*distinct.last()? as usize == unpacked.len()).then_some(())?;
        let mut body = Self {
            ops,
            shape_ends,
            key_fields,
            distinct,
            values: Vec::with_capacity(sizes.values),
            spans: Vec::with_capacity(head.span_ids.len()),
            unpacked: Vec::new(),
        };
        body.resolve(head, columns)?;
        (body.values.len() == sizes.values).then_some(())?;
        body.unpacked = unpacked;
        Some(body)
    }

    /// Takes every value from its column, once and for all, so that any span can be read alone.
    fn resolve(&mut self, head: &Head, mut columns: Vec<Column<'_>>) -> Option<()> {
        // Each op adds to the length or uses up an id: whatever the shapes say, this ends.
        let mut all = 0;
        for span in 0..head.span_ids.len() {
            let class = head.class(span);
            let mut length = 0;
            let first = self.values.len() as u32;
            for &op in shape(&self.ops, &self.shape_ends, class.shape) {
                length += match op.checked_sub(Told::COUNT) {
                    None => length_of_told(Told::from_number(op)?, head.name(class)),
                    Some(column) => {
                        let value = columns.get_mut(usize::from(column))?.next_value()?;
                        self.values.push(value);
                        self.length_of_field(column, value)
                    }
                };
            }
            all += length;
            if all > MAX_BODY_BYTES {
                return None;
            }
            self.spans.push((first, length as u32));
        }
        Some(())
    }

    fn length_of_field(&self, column: u16, value: u32) -> usize {
        let value = (self.distinct[value as usize + 1] - self.distinct[value as usize]) as usize;
        match column.checked_sub(FIRST_KEY as u16) {
            None => value,
            Some(key) => {
                let message = self.key_fields.place(key).len() + length_of_number(value) + value;
                1 + length_of_number(message) + message
            }
        }
    }

    /// How long a span's message is.
    pub(super) fn length(&self, span: usize) -> usize {
        self.spans[span].1 as usize
    }

    /// Writes a span's message.
    pub(super) fn write(&self, head: &Head, span: usize, out: &mut Page) {
        let class = head.class(span);
        let mut values = self.values[self.spans[span].0 as usize..].iter();
        for &op in shape(&self.ops, &self.shape_ends, class.shape) {
            match op.checked_sub(Told::COUNT) {
                None => write_told(op, head, span, out),
                Some(column) => {
                    let value = *values.next().expect("each of the ops has been given a value") as usize;
                    let value = self.distinct[value] as usize..self.distinct[value + 1] as usize;
                    if let Some(key) = column.checked_sub(FIRST_KEY as u16) {
                        self.write_key(key, value.len(), out);
                    }
                    out.part(&self.unpacked, value);
                }
            }
        }
    }

    /// An attribute up to its value of this length.
    #[inline]
    fn write_key(&self, key: u16, value: usize, out: &mut Page) {
        let key = self.key_fields.place(key);
        out.byte(ATTRIBUTE_TAG);
        out.number(key.len() + length_of_number(value) + value);
        out.part(&self.key_fields.bytes, key);
        out.number(value);
    }
}

#[inline]
fn write_told(op: u16, head: &Head, span: usize, out: &mut Page) {
    let told = Told::from_number(op).expect("the ops were looked through when the body was read");
    out.byte(told.tag());
    match told {
        Told::TraceId => out.id(head.trace_id(span).0),
        Told::SpanId => out.id(head.span_ids[span].0),
        Told::ParentId => out.id(head.parents[span].0),
        Told::Start => out.array(head.starts[span].nanos().to_le_bytes()),
        Told::End => out.array(head.ends[span].nanos().to_le_bytes()),
        Told::Kind => out.byte(head.class(span).kind as u8),
        Told::Name => {
            let name = head.name(head.class(span));
            out.number(name.len());
            out.part(name, 0..name.len());
        }
    }
}

fn length_of_told(told: Told, name: &[u8]) -> usize {
    match told {
        Told::TraceId => 18,
        Told::SpanId | Told::ParentId => 10,
        Told::Start | Told::End => 9,
        Told::Kind => 2,
        Told::Name => 1 + length_of_number(name.len()) + name.len(),
    }
}

fn shape<'a>(ops: &'a [u16], ends: &[u32], shape: u16) -> &'a [u16] {
    let shape = usize::from(shape);
    let start = if shape == 0 { 0 } else { ends[shape - 1] };
    &ops[start as usize..ends[shape] as usize]
}

/// The ops of all shapes, and where those of each end.
fn ops(shapes: usize, rest: &mut Numbers<'_>) -> Option<(Vec<u16>, Vec<u32>)> {
    let mut ops = Vec::new();
    let mut ends = Vec::with_capacity(shapes);
    for _ in 0..shapes {
        for _ in 0..rest.at_most(rest.0.len())? {
            let op = rest.below(usize::from(Told::COUNT) + (FIRST_KEY + MAX_KEYS) as usize)? as u16;
            ops.push(op);
        }
        ends.push(ops.len() as u32);
    }
    Some((ops, ends))
}

/// For each key what stands before the length of a value: tag, length, key, tag.
#[derive(Debug)]
struct KeyFields {
    /// All of them, and [`STEP`] bytes more.
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl KeyFields {
    fn read(rest: &mut Numbers<'_>) -> Option<Self> {
        let keys = rest.at_most(MAX_KEYS as usize)?;
        let lengths: Vec<_> = (0..keys).map(|_| rest.below(0x80)).collect::<Option<_>>()?;
        let mut fields = Self { bytes: Vec::new(), ends: Vec::with_capacity(keys) };
        for length in lengths {
            fields.bytes.extend_from_slice(&[KEY_TAG, length as u8]);
            fields.bytes.extend_from_slice(rest.bytes(length)?);
            fields.bytes.push(VALUE_TAG);
            fields.ends.push(fields.bytes.len() as u32);
        }
        fields.bytes.resize(fields.bytes.len() + STEP, 0);
        Some(fields)
    }

    #[inline]
    fn place(&self, key: u16) -> Range<usize> {
        let key = usize::from(key);
        let start = if key == 0 { 0 } else { self.ends[key - 1] };
        start as usize..self.ends[key] as usize
    }
}

/// A column that is being read.
#[derive(Debug)]
struct Column<'a> {
    ids: Numbers<'a>,
    /// Its first distinct value, the next one that is new, and the end of them.
    first: usize,
    next: usize,
    end: usize,
}

impl Column<'_> {
    #[inline]
    fn next_value(&mut self) -> Option<u32> {
        let known = self.next - self.first;
        let value = match self.ids.at_most(known)? {
            0 if self.next == self.end => return None,
            0 => {
                self.next += 1;
                self.next - 1
            }
            place => self.first + place - 1,
        };
        Some(value as u32)
    }
}

/// The columns' ids, and how many distinct values there are: not more than were announced.
fn columns_of<'a>(count: usize, most: usize, rest: &mut Numbers<'a>) -> Option<(Vec<Column<'a>>, usize)> {
    let mut sizes = Vec::with_capacity(count);
    for _ in 0..count {
        sizes.push((rest.at_most(rest.0.len())?, rest.at_most(most)?));
    }
    let mut columns = Vec::with_capacity(count);
    let mut first = 0;
    for (ids, distinct) in sizes {
        let end = first + distinct;
        columns.push(Column { ids: Numbers(rest.bytes(ids)?), first, next: first, end });
        first = end;
    }
    (first == most).then_some((columns, first))
}

/// Where each distinct value starts, and the end of the last, from their lengths; `at` is where the lengths start.
fn starts(at: u32, count: usize, rest: &mut Numbers<'_>) -> Option<Vec<u32>> {
    let all = rest.0.len();
    let mut starts = Vec::with_capacity(count + 1);
    let mut end = 0;
    starts.push(0);
    for _ in 0..count {
        end += rest.at_most(all)? as u32;
        (end as usize <= all).then_some(())?;
        starts.push(end);
    }
    let first = at + (all - rest.0.len()) as u32;
    starts.iter_mut().for_each(|start| *start += first);
    Some(starts)
}
