//! A span's body cut into parts: what its header says too, plain attributes, and the rest.

use std::ops::Range;

use crate::model::Span;
use crate::otlp::{Fields, Value};

/// The longest key that has a column; longer ones stay in the rest.
const MAX_KEY_BYTES: usize = 127;

/// A field that stands in the body exactly as it would be written from the span's header, and so is not kept.
/// The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Told {
    TraceId = 0,
    SpanId = 1,
    ParentId = 2,
    Start = 3,
    End = 4,
    Kind = 5,
    Name = 6,
}

impl Told {
    /// How many there are.
    pub(super) const COUNT: u16 = 7;

    pub(super) fn from_number(number: u16) -> Option<Self> {
        let all =
            [Self::TraceId, Self::SpanId, Self::ParentId, Self::Start, Self::End, Self::Kind, Self::Name];
        all.get(usize::from(number)).copied()
    }

    /// Bytes of the field.
    #[inline]
    fn length(self) -> usize {
        match self {
            Self::TraceId => 2 + 16,
            Self::SpanId | Self::ParentId => 2 + 8,
            Self::Start | Self::End => 1 + 8,
            Self::Kind => 1 + 1,
            Self::Name => 0,
        }
    }

    /// The first byte of the field: its number and wire type.
    pub(super) fn tag(self) -> u8 {
        match self {
            Self::TraceId => 0x0a,
            Self::SpanId => 0x12,
            Self::ParentId => 0x22,
            Self::Start => 0x39,
            Self::End => 0x41,
            Self::Kind => 0x30,
            Self::Name => 0x2a,
        }
    }
}

/// The first bytes of an attribute of a span, of its key, and of its value.
pub(super) const ATTRIBUTE_TAG: u8 = 0x4a;
pub(super) const KEY_TAG: u8 = 0x0a;
pub(super) const VALUE_TAG: u8 = 0x12;

/// What a stretch of a body is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    /// It follows from the header.
    Told(Told),
    /// A name: whether it is written as names are, and not the second one of this span.
    Name { name: &'a [u8], is_plain: bool },
    /// An attribute of a key and a value in this order, each with the shortest length, and nothing else.
    Attribute { key: &'a [u8], value: &'a [u8] },
    /// Anything else: other fields, unusual writing, what is no field at all.
    Other,
}

/// The parts of one body, first to last, none missing.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    span: &'a Span,
    at: usize,
    has_plain_name: bool,
}

impl<'a> Parts<'a> {
    pub(super) fn of(span: &'a Span) -> Self {
        Self { span, at: 0, has_plain_name: false }
    }

    /// The next part and where it stands.
    #[inline]
    pub(super) fn next_part(&mut self) -> Option<(Part<'a>, Range<usize>)> {
        let start = self.at;
        if start == self.span.body.len() {
            // Also behind what is no field: nobody reads on from there.
            return None;
        }
        let rest = &self.span.body[start..];
        if let Some((part, length)) = self.usual_part(rest) {
            self.at += length;
            return Some((part, start..self.at));
        }
        let mut fields = Fields::new(rest);
        let Ok(field) = fields.next_field() else {
            self.at = self.span.body.len();
            return Some((Part::Other, start..self.at));
        };
        let (number, value) = field?;
        self.at += fields.offset();
        Some((self.part(number, value, start..self.at), start..self.at))
    }

    /// What most parts are, known by their first bytes, and its length; the same as the general way would say of it.
    #[inline]
    fn usual_part(&self, rest: &'a [u8]) -> Option<(Part<'a>, usize)> {
        let span = self.span;
        let (told, is_said) = match *rest {
            [ATTRIBUTE_TAG, length, ref rest @ ..] if length < 0x80 => {
                return Some((short_attribute(rest.get(..length.into())?)?, 2 + usize::from(length)));
            }
            [0x0a, 16, ref id @ ..] => (Told::TraceId, id.starts_with(&span.trace_id.0)),
            [0x12, 8, ref id @ ..] => (Told::SpanId, id.starts_with(&span.span_id.0)),
            [0x22, 8, ref id @ ..] => (
                Told::ParentId,
                span.parent_id.is_some_and(|parent| !parent.is_zero() && id.starts_with(&parent.0)),
            ),
            [0x39, ref time @ ..] => (Told::Start, time.starts_with(&span.start.nanos().to_le_bytes())),
            [0x41, ref time @ ..] => (Told::End, time.starts_with(&span.end.nanos().to_le_bytes())),
            [0x30, kind, ..] => (Told::Kind, kind == span.kind as u8),
            _ => return None,
        };
        is_said.then_some((Part::Told(told), told.length()))
    }

    #[inline]
    fn part(&mut self, number: u32, value: Value<'a>, place: Range<usize>) -> Part<'a> {
        let span = self.span;
        match (number, value) {
            (9, Value::Bytes(message)) if is_shortest(message, place.len()) => attribute(message),
            (1, Value::Bytes(id)) => told(Told::TraceId, place, id == span.trace_id.0),
            (2, Value::Bytes(id)) => told(Told::SpanId, place, id == span.span_id.0),
            (4, Value::Bytes(id)) => {
                let is_parent = span.parent_id.is_some_and(|parent| !parent.is_zero() && id == parent.0);
                told(Told::ParentId, place, is_parent)
            }
            (7, Value::Fixed64(time)) => told(Told::Start, place, time == span.start.nanos()),
            (8, Value::Fixed64(time)) => told(Told::End, place, time == span.end.nanos()),
            (6, Value::Varint(kind)) => told(Told::Kind, place, kind == span.kind as u64),
            (5, Value::Bytes(name)) => {
                let is_plain = !self.has_plain_name && is_shortest(name, place.len());
                self.has_plain_name |= is_plain;
                Part::Name { name, is_plain }
            }
            _ => Part::Other,
        }
    }
}

/// A field whose content is the header's (`is_said`) follows from it if its tag and length are of one byte each:
/// then there is but one way to write it.
#[inline]
fn told(told: Told, place: Range<usize>, is_said: bool) -> Part<'static> {
    if is_said && place.len() == told.length() { Part::Told(told) } else { Part::Other }
}

/// Whether a field with this content, its number below 16, has the shortest tag and length that it can have.
#[inline]
fn is_shortest(content: &[u8], field: usize) -> bool {
    field == 1 + length_of_number(content.len()) + content.len()
}

#[inline]
fn attribute(message: &[u8]) -> Part<'_> {
    plain_attribute(message).unwrap_or(Part::Other)
}

#[inline]
fn plain_attribute(message: &[u8]) -> Option<Part<'_>> {
    let &[KEY_TAG, length, ref rest @ ..] = message else { return None };
    if usize::from(length) > MAX_KEY_BYTES {
        return None;
    }
    let (key, field) = rest.split_at_checked(length.into())?;
    let value = match *field {
        [VALUE_TAG, length, ref value @ ..] if usize::from(length) == value.len() && length < 0x80 => value,
        _ => long_value(field)?,
    };
    Some(Part::Attribute { key, value })
}

/// An attribute of less than 128 bytes: its lengths are of one byte each.
#[inline]
fn short_attribute(message: &[u8]) -> Option<Part<'_>> {
    let &[KEY_TAG, length, ref rest @ ..] = message else { return None };
    let (key, field) = rest.split_at_checked(length.into())?;
    match *field {
        [VALUE_TAG, length, ref value @ ..] if usize::from(length) == value.len() => {
            Some(Part::Attribute { key, value })
        }
        _ => None,
    }
}

/// A value of 128 bytes and more.
fn long_value(field: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::new(field);
    match fields.next_field() {
        Ok(Some((2, Value::Bytes(value)))) if fields.offset() == field.len() => {
            is_shortest(value, field.len()).then_some(value)
        }
        _ => None,
    }
}

/// How many bytes a number takes in groups of seven bits.
#[inline]
pub(super) fn length_of_number(number: usize) -> usize {
    match number {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => (usize::BITS - number.leading_zeros()).div_ceil(7) as usize,
    }
}
