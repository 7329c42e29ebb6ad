//! Pieces of span messages, encoded once, with places that are filled in anew for every span.

use tracelodge::model::SpanKind;
use tracelodge::otlp::write;

use crate::random::Random;

/// What is known of a span before it has a body.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    /// Zeros for the root.
    pub(crate) parent_id: [u8; 8],
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Which of the operations.
    pub(crate) operation: u16,
    /// Which resource and scope.
    pub(crate) source: u16,
    /// Which of the 100 000 users the whole trace is about.
    pub(crate) user: u32,
    pub(crate) failed: bool,
}

/// Bytes of a message, and where they differ from span to span.
#[derive(Debug, Clone, Default)]
pub(crate) struct Piece {
    bytes: Vec<u8>,
    holes: Vec<(usize, Hole)>,
}

#[derive(Debug, Clone, Copy)]
enum Hole {
    TraceId,
    SpanId,
    ParentId,
    Start,
    End,
    /// Decimal digits of the user.
    User(usize),
    /// Random decimal digits.
    Digits(usize),
    /// Random hex digits, lower case.
    Hex(usize),
    /// A random varint of so many bytes.
    Varint(usize),
}

impl Piece {
    /// Appends the piece, filled in.
    pub(crate) fn write(&self, out: &mut Vec<u8>, draft: &Draft, random: &mut Random) {
        let at = out.len();
        out.extend_from_slice(&self.bytes);
        for (offset, hole) in &self.holes {
            hole.fill(&mut out[at + offset..], draft, random);
        }
    }

    /// One piece out of several that always stand together.
    pub(crate) fn joined(pieces: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for piece in pieces {
            all.append(&piece);
        }
        all
    }

    fn append(&mut self, other: &Self) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.holes.extend(other.holes.iter().map(|(offset, hole)| (at + offset, *hole)));
    }

    /// This piece as an embedded message.
    fn embedded(self, field: u32) -> Self {
        let mut whole = Self::default();
        write::bytes(&mut whole.bytes, field, &self.bytes);
        let at = whole.bytes.len() - self.bytes.len();
        whole.holes = self.holes.into_iter().map(|(offset, hole)| (at + offset, hole)).collect();
        whole
    }

    fn fixed(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = Vec::new();
        write(&mut bytes);
        Self { bytes, holes: Vec::new() }
    }

    /// A field whose content ends with a hole.
    fn hole(field: impl FnOnce(&mut Vec<u8>), length: usize, hole: Hole) -> Self {
        let mut piece = Self::fixed(field);
        piece.holes.push((piece.bytes.len() - length, hole));
        piece
    }

    /// Text in which each `#` is a random digit, each `%` a random hex digit and each `@` a digit of the user.
    fn text(pattern: &str) -> Self {
        let mut piece = Self { bytes: pattern.as_bytes().to_vec(), holes: Vec::new() };
        let mut at = 0;
        for run in pattern.as_bytes().chunk_by(|one, other| one == other) {
            match run[0] {
                b'#' => piece.holes.push((at, Hole::Digits(run.len()))),
                b'%' => piece.holes.push((at, Hole::Hex(run.len()))),
                b'@' => piece.holes.push((at, Hole::User(run.len()))),
                _ => {}
            }
            at += run.len();
        }
        piece
    }
}

impl Hole {
    fn fill(self, bytes: &mut [u8], draft: &Draft, random: &mut Random) {
        match self {
            Self::TraceId => bytes[..16].copy_from_slice(&draft.trace_id),
            Self::SpanId => bytes[..8].copy_from_slice(&draft.span_id),
            Self::ParentId => bytes[..8].copy_from_slice(&draft.parent_id),
            Self::Start => bytes[..8].copy_from_slice(&draft.start.to_le_bytes()),
            Self::End => bytes[..8].copy_from_slice(&draft.end.to_le_bytes()),
            Self::User(length) => digits(&mut bytes[..length], u64::from(draft.user)),
            Self::Digits(length) => digits(&mut bytes[..length], random.next() >> 1),
            Self::Hex(length) => bytes[..length].chunks_mut(16).for_each(|bytes| hex(bytes, random.next())),
            Self::Varint(length) => varint(&mut bytes[..length], random.next()),
        }
    }
}

fn digits(bytes: &mut [u8], mut number: u64) {
    for byte in bytes.iter_mut().rev() {
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn hex(bytes: &mut [u8], mut number: u64) {
    for byte in bytes {
        *byte = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// As canonical as the writer's: the last byte is never zero.
fn varint(bytes: &mut [u8], random: u64) {
    let last = bytes.len() - 1;
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = (random >> (7 * at)) as u8 | 0x80;
    }
    bytes[last] = (bytes[last] & 0x7f) | 1;
}

/// The fields of a span before its attributes.
pub(crate) fn head(name: &str, kind: SpanKind, is_root: bool) -> Piece {
    let zeros = [0; 16];
    let mut pieces = vec![
        Piece::hole(|out| write::bytes(out, 1, &zeros), 16, Hole::TraceId),
        Piece::hole(|out| write::bytes(out, 2, &zeros[..8]), 8, Hole::SpanId),
    ];
    if !is_root {
        pieces.push(Piece::hole(|out| write::bytes(out, 4, &zeros[..8]), 8, Hole::ParentId));
    }
    pieces.push(Piece::fixed(|out| write::string(out, 5, name)));
    pieces.push(Piece::fixed(|out| write::uint(out, 6, kind as u64)));
    pieces.push(Piece::hole(|out| write::fixed64(out, 7, 0), 8, Hole::Start));
    pieces.push(Piece::hole(|out| write::fixed64(out, 8, 0), 8, Hole::End));
    Piece::joined(pieces)
}

/// An attribute of a span with text as value: see [`Piece::text`].
pub(crate) fn text(key: &str, pattern: &str) -> Piece {
    pair(key, Piece::text(pattern).embedded(1)).embedded(SPAN_ATTRIBUTE)
}

/// An attribute of a span with a number as value.
pub(crate) fn number(key: &str, number: u64) -> Piece {
    pair(key, Piece::fixed(|out| write::uint(out, 3, number))).embedded(SPAN_ATTRIBUTE)
}

/// An attribute of a span with a random number of so many seven-bit groups as value.
pub(crate) fn any_number(key: &str, groups: usize) -> Piece {
    let largest = (1 << (7 * groups)) - 1;
    let value = Piece::hole(|out| write::uint(out, 3, largest), groups, Hole::Varint(groups));
    pair(key, value).embedded(SPAN_ATTRIBUTE)
}

/// An attribute of a span that is true or false.
pub(crate) fn truth(key: &str, truth: bool) -> Piece {
    pair(key, Piece::fixed(|out| write::uint(out, 2, u64::from(truth)))).embedded(SPAN_ATTRIBUTE)
}

/// An attribute of a span with a list of texts as value.
pub(crate) fn list(key: &str, patterns: &[&str]) -> Piece {
    let members = patterns.iter().map(|pattern| Piece::text(pattern).embedded(1).embedded(1));
    pair(key, Piece::joined(members).embedded(5)).embedded(SPAN_ATTRIBUTE)
}

/// An attribute of a resource with text as value.
pub(crate) fn resource_text(key: &str, pattern: &str) -> Piece {
    pair(key, Piece::text(pattern).embedded(1)).embedded(1)
}

/// Name and version of what made the spans: a whole `InstrumentationScope`.
pub(crate) fn scope(name: &str, version: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    write::string(&mut bytes, 1, name);
    write::string(&mut bytes, 2, version);
    bytes
}

/// An event of a span, at its end.
pub(crate) fn event(name: &str, attributes: &[(&str, &str)]) -> Piece {
    let time = Piece::hole(|out| write::fixed64(out, 1, 0), 8, Hole::End);
    let name = Piece::fixed(|out| write::string(out, 2, name));
    let attributes =
        attributes.iter().map(|(key, value)| pair(key, Piece::text(value).embedded(1)).embedded(3));
    Piece::joined([time, name].into_iter().chain(attributes)).embedded(11)
}

/// A link to the span's own parent.
pub(crate) fn link_to_parent() -> Piece {
    let zeros = [0; 16];
    let trace_id = Piece::hole(|out| write::bytes(out, 1, &zeros), 16, Hole::TraceId);
    let span_id = Piece::hole(|out| write::bytes(out, 2, &zeros[..8]), 8, Hole::ParentId);
    Piece::joined([trace_id, span_id]).embedded(13)
}

/// The status of a span that failed.
pub(crate) fn failure(message: &str) -> Piece {
    let message = Piece::text(message).embedded(2);
    let code = Piece::fixed(|out| write::uint(out, 3, 2));
    Piece::joined([message, code]).embedded(15)
}

/// The flags of a sampled span.
pub(crate) fn sampled() -> Piece {
    Piece::fixed(|out| write::fixed32(out, 16, 0x101))
}

/// `Span.attributes`.
const SPAN_ATTRIBUTE: u32 = 9;

fn pair(key: &str, value: Piece) -> Piece {
    Piece::joined([Piece::fixed(|out| write::string(out, 1, key)), value.embedded(2)])
}
