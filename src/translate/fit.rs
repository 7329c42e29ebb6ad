//! Messages that are too long for their reader: the largest values are cut, then the last of what repeats is left out.
//!
//! Works on the bytes of a message, whatever they are: what is cut is copied as it stands otherwise.

use std::borrow::Cow;
use std::fmt;

use crate::otlp::{Fields, MAX_VALUE_DEPTH, Value, write};

/// No message is made shorter than this: what cannot be left out of a span, and the warning, fit into it.
pub(super) const LEAST_BYTES: usize = 4 << 10;

/// Room to keep for [`Cut::warning`], with what encloses it.
pub(super) const WARNING_BYTES: usize = 512;

/// No value is cut to less.
const LEAST_VALUE_BYTES: usize = 64;

/// Messages inside messages that are looked into: a list in a list is two, and some enclose the outermost.
const MAX_DEPTH: usize = 2 * MAX_VALUE_DEPTH + 8;

/// Which message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Span,
    Event,
    Link,
    Status,
    Resource,
    Scope,
    Entity,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
    JaegerSpan,
    JaegerLog,
    JaegerProcess,
    JaegerTag,
}

/// What stands in a length-delimited field.
enum Content {
    Message(Shape),
    /// Text or bytes, which can be shortened.
    Text,
    /// Who knows: kept whole or not at all.
    Unknown,
}

impl Shape {
    fn content(self, field: u32) -> Content {
        use Content::{Message, Text, Unknown};
        match (self, field) {
            (Self::Span, 9) | (Self::Event | Self::Scope, 3) | (Self::Link, 4) => Message(Self::KeyValue),
            (Self::Resource | Self::KeyValueList, 1) => Message(Self::KeyValue),
            (Self::Span, 11) => Message(Self::Event),
            (Self::Span, 13) => Message(Self::Link),
            (Self::Span, 15) => Message(Self::Status),
            (Self::Resource, 3) => Message(Self::Entity),
            (Self::KeyValue, 2) | (Self::ArrayValue, 1) => Message(Self::AnyValue),
            (Self::AnyValue, 5) => Message(Self::ArrayValue),
            (Self::AnyValue, 6) => Message(Self::KeyValueList),
            (Self::JaegerSpan, 8) | (Self::JaegerLog | Self::JaegerProcess, 2) => Message(Self::JaegerTag),
            (Self::JaegerSpan, 9) => Message(Self::JaegerLog),
            (Self::JaegerSpan, 10) => Message(Self::JaegerProcess),
            (Self::Span, 1..=5) | (Self::Event | Self::Status, 2) | (Self::Link, 1..=3) => Text,
            (Self::Scope, 1 | 2) | (Self::Entity, 1..=4) => Text,
            (Self::KeyValue, 1) | (Self::AnyValue, 1 | 7) => Text,
            (Self::JaegerSpan, 1..=3 | 11 | 12) | (Self::JaegerProcess, 1) => Text,
            (Self::JaegerTag, 1 | 3 | 7) => Text,
            _ => Unknown,
        }
    }

    /// What repeats and can be left out, in the order in which it goes.
    fn expendable(self) -> &'static [(u32, &'static str)] {
        match self {
            Self::Span => &[(11, "events"), (13, "links"), (9, "attributes")],
            Self::Resource => &[(3, "entities"), (1, "attributes")],
            Self::Scope => &[(3, "attributes")],
            Self::JaegerSpan => &[(9, "logs"), (4, "references"), (8, "tags"), (12, "warnings")],
            Self::JaegerProcess => &[(2, "tags of the process")],
            _ => &[],
        }
    }

    /// The fields of which the last one holds.
    fn is_single(self, field: u32) -> bool {
        match self {
            Self::Span => matches!(field, 1..=8 | 10 | 12 | 14..=16),
            Self::Resource => field == 2,
            Self::Scope => matches!(field, 1 | 2 | 4),
            Self::JaegerSpan => matches!(field, 1..=3 | 5..=7 | 10 | 11),
            Self::JaegerProcess => field == 1,
            Self::Status => matches!(field, 2 | 3),
            _ => false,
        }
    }
}

/// A message that was cut.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) message: Vec<u8>,
    /// How long it was.
    length: usize,
    /// How many values were cut, and to how many bytes.
    values: usize,
    value_bytes: usize,
    /// How many of what were left out.
    left_out: Vec<(usize, &'static str)>,
}

impl Cut {
    /// Says what is missing; at most [`WARNING_BYTES`] with what encloses it.
    pub(super) fn warning(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the span of {} bytes is too large to be shown whole:", self.length)?;
        if self.values > 0 {
            write!(f, " values cut to {} bytes: {};", self.value_bytes, self.values)?;
        }
        for (count, what) in &self.left_out {
            write!(f, " {what} left out: {count};")?;
        }
        write!(f, " it is stored whole")
    }
}

/// The message in at most `max_bytes`, which are at least a few hundred.
pub(super) fn fit(message: &[u8], shape: Shape, max_bytes: usize) -> Cut {
    let mut lengths = Vec::new();
    text_lengths(message, shape, 0, &mut lengths);
    let value_bytes = value_limit(&mut lengths, message.len().saturating_sub(max_bytes));
    let values = lengths.iter().take_while(|length| **length > value_bytes).count();
    let mut cut =
        Cut { message: Vec::new(), length: message.len(), values, value_bytes, left_out: Vec::new() };
    shorten(&mut cut.message, message, shape, 0, value_bytes);
    if cut.message.len() > max_bytes {
        leave_out(&mut cut, shape, max_bytes);
    }
    cut
}

/// The longest that values may be so that the message gets shorter by `excess`; `lengths` are sorted, longest first.
fn value_limit(lengths: &mut [usize], excess: usize) -> usize {
    lengths.sort_unstable_by(|one, other| other.cmp(one));
    let mut sum = 0;
    for (place, length) in lengths.iter().enumerate() {
        sum += length;
        let next = lengths.get(place + 1).copied().unwrap_or_default();
        let Some(left) = sum.checked_sub(excess) else { continue };
        let limit = left / (place + 1);
        if limit >= next {
            return limit.max(LEAST_VALUE_BYTES);
        }
    }
    LEAST_VALUE_BYTES
}

fn text_lengths(message: &[u8], shape: Shape, depth: usize, lengths: &mut Vec<usize>) {
    for field in Fields::new(message) {
        let (number, Value::Bytes(bytes)) = field else { continue };
        match shape.content(number) {
            Content::Message(inner) if depth < MAX_DEPTH => text_lengths(bytes, inner, depth + 1, lengths),
            _ => lengths.push(bytes.len()),
        }
    }
}

/// Copies a message with shorter texts, and without what is unknown and longer.
fn shorten(out: &mut Vec<u8>, message: &[u8], shape: Shape, depth: usize, limit: usize) {
    let mut fields = Fields::new(message);
    let mut start = 0;
    while let Some((number, value)) = fields.next() {
        let whole = &message[start..fields.offset()];
        start = fields.offset();
        let Value::Bytes(bytes) = value else {
            out.extend_from_slice(whole);
            continue;
        };
        match shape.content(number) {
            Content::Message(inner) if depth < MAX_DEPTH => {
                write::message(out, number, |out| shorten(out, bytes, inner, depth + 1, limit));
            }
            _ if bytes.len() <= limit => out.extend_from_slice(whole),
            Content::Text => write::bytes(out, number, shortened(bytes, limit)),
            Content::Message(_) | Content::Unknown => {}
        }
    }
}

/// At most `limit` bytes of a longer text, no letter cut in two.
fn shortened(text: &[u8], limit: usize) -> &[u8] {
    let is_within_letter = |end: &usize| text[*end] & 0xc0 == 0x80;
    let end = (limit.saturating_sub(3)..=limit).rev().find(|end| !is_within_letter(end)).unwrap_or(limit);
    &text[..end]
}

/// Leaves out what is unknown, what is said again later, and then the last of what repeats until the rest fits.
fn leave_out(cut: &mut Cut, shape: Shape, max_bytes: usize) {
    let message = std::mem::take(&mut cut.message);
    let mut pieces = pieces(&message, shape);
    make_room_beside_single(&mut pieces, cut, shape, max_bytes);
    let mut length: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
    for (number, what) in shape.expendable() {
        let mut count = 0;
        for (_, piece) in pieces.iter_mut().rev().filter(|(field, _)| field == number) {
            if length <= max_bytes {
                break;
            }
            length -= piece.len();
            *piece = Cow::Borrowed(&[]);
            count += 1;
        }
        if count > 0 {
            cut.left_out.push((count, what));
        }
    }
    cut.message = pieces.iter().flat_map(|(_, piece)| piece.iter().copied()).collect();
}

/// A field's number, and the field as it stands.
type Piece<'a> = (u32, Cow<'a, [u8]>);

/// The fields of a message that are known, without those that a later one replaces.
fn pieces(message: &[u8], shape: Shape) -> Vec<Piece<'_>> {
    let (mut fields, mut start) = (Fields::new(message), 0);
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    while let Some((number, _)) = fields.next() {
        let piece = &message[start..fields.offset()];
        start = fields.offset();
        if shape.is_single(number) || shape.expendable().iter().any(|(known, _)| *known == number) {
            pieces.push((number, Cow::Borrowed(piece)));
        }
    }
    let mut replaced = Vec::new();
    for (number, piece) in pieces.iter_mut().rev().filter(|(number, _)| shape.is_single(*number)) {
        if replaced.contains(number) {
            *piece = Cow::Borrowed(&[]);
        } else {
            replaced.push(*number);
        }
    }
    pieces
}

/// A process of many tags is cut first, and a status of many fields: the span is what was asked for.
fn make_room_beside_single(pieces: &mut [Piece<'_>], cut: &mut Cut, shape: Shape, max_bytes: usize) {
    for (number, piece) in pieces.iter_mut().filter(|(_, piece)| piece.len() > max_bytes / 4) {
        if let (
            Content::Message(inner @ (Shape::JaegerProcess | Shape::Status)),
            Some((_, Value::Bytes(single))),
        ) = (shape.content(*number), Fields::new(piece).next())
        {
            let single = fit(single, inner, max_bytes / 4);
            cut.left_out.extend(single.left_out);
            let mut shorter = Vec::new();
            write::bytes(&mut shorter, *number, &single.message);
            *piece = Cow::Owned(shorter);
        }
    }
}
