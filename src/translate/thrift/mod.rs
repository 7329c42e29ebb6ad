//! Thrift's two wire protocols, read without copying and without believing what they announce.
//!
//! Promise: texts are slices of the bytes received. Fields that are not known, and known ones of a type that is not
//! theirs, are stepped over, as the code that thrift's compiler writes does.
//!
//! Limits: an announced length or count is compared with the bytes that are left before anything is done about it; a
//! container has at most [`MAX_COUNT`] elements; what is stepped over nests at most [`MAX_DEPTH`] levels; a variable
//! number has at most ten bytes. What is read takes at most about a hundred times the bytes that it was read from.
//!
//! Does not know: what the fields mean, how the bytes came.
//!
//! Source: thrift `doc/specs/thrift-compact-protocol.md`, `doc/specs/thrift-binary-protocol.md`.

mod binary;
mod compact;
mod input;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) mod written;

use bytes::Bytes;

pub(super) use binary::Binary;
pub(super) use compact::Compact;
use input::Input;

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `TCompactProtocol`.
    Compact,
    /// `TBinaryProtocol`, with and without its strict version word.
    Binary,
}

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct Error {
    /// What was met, and what would have been right.
    pub what: String,
    /// From 0.
    pub offset: usize,
}

impl Error {
    #[cold]
    pub(super) fn new(what: impl Into<String>, offset: usize) -> Box<Self> {
        Box::new(Self { what: what.into(), offset })
    }

    #[cold]
    fn unknown_type(wire: u8, offset: usize) -> Box<Self> {
        Self::new(format!("a value of type {wire}, which the protocol does not have"), offset)
    }
}

/// Of reading: boxed, so that a number that was read stays in registers.
pub(super) type Result<T> = std::result::Result<T, Box<Error>>;

/// Elements of a list, a set or a map.
const MAX_COUNT: u64 = 1 << 20;

/// Levels of structs and containers inside what is stepped over.
const MAX_DEPTH: usize = 32;

/// Elements of a list that there is room for from the start; lists that are longer grow as they are read.
const ROOM: usize = 256;

/// What kind of value stands in a field or in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    /// Texts as well.
    Bytes,
    Struct,
    Map,
    Set,
    List,
    Uuid,
}

/// The head of a list or a set. A count is never more than the bytes that are left can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elements {
    pub(super) kind: Kind,
    pub(super) count: usize,
}

/// What a message says of itself before its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) method: &'a [u8],
    /// 1 calls and 4 calls without waiting for an answer; 2 and 3 are answers.
    pub(super) message_type: u8,
}

/// One of the protocols.
pub(super) trait Read<'a> {
    fn input(&mut self) -> &mut Input<'a>;

    /// The head of a message, whatever number it has.
    fn message(&mut self) -> Result<Head<'a>>;
    /// The head of the next field, `None` at the end of the struct. `last` is the id of the field before, 0 at first.
    fn field(&mut self, last: i16) -> Result<Option<(i16, Kind)>>;
    /// The head of a list or a set.
    fn list(&mut self) -> Result<Elements>;
    /// The kinds of the keys and the values of a map, and how many there are of each; `None` when it is empty.
    fn map(&mut self) -> Result<Option<(Kind, Kind, usize)>>;

    fn boolean(&mut self) -> Result<bool>;
    fn i16(&mut self) -> Result<i16>;
    fn i32(&mut self) -> Result<i32>;
    fn i64(&mut self) -> Result<i64>;
    fn double(&mut self) -> Result<f64>;
    fn bytes(&mut self) -> Result<&'a [u8]>;
    /// Steps over a number of 16 to 64 bits.
    fn skip_number(&mut self, kind: Kind) -> Result<()>;

    /// Bytes, sharing the memory of what is read.
    fn text(&mut self) -> Result<Bytes> {
        let bytes = self.bytes()?;
        Ok(self.input().shared(bytes))
    }

    /// Reads a struct: `known` reads the value of a field and says so, or leaves it where it is.
    fn fields(&mut self, mut known: impl FnMut(&mut Self, i16, Kind) -> Result<bool>) -> Result<()>
    where
        Self: Sized,
    {
        let mut last = 0;
        while let Some((id, kind)) = self.field(last)? {
            if !known(self, id, kind)? {
                self.skip(kind, 0)?;
            }
            last = id;
        }
        Ok(())
    }

    /// Reads a list of structs, leaving out those of which `element` makes nothing; an empty one if the elements are no
    /// structs.
    fn structs<T>(&mut self, mut element: impl FnMut(&mut Self) -> Result<Option<T>>) -> Result<Vec<T>>
    where
        Self: Sized,
    {
        let Elements { kind, count } = self.list()?;
        let mut read = Vec::new();
        if kind == Kind::Struct {
            read.reserve_exact(count.min(ROOM));
            for _ in 0..count {
                if let Some(element) = element(self)? {
                    read.push(element);
                }
            }
        } else {
            self.skip_elements(kind, count, 0)?;
        }
        Ok(read)
    }

    /// Steps over a value inside `depth` others.
    fn skip(&mut self, kind: Kind, depth: usize) -> Result<()>
    where
        Self: Sized,
    {
        match kind {
            Kind::Bool => self.boolean().map(|_| ()),
            Kind::I8 => self.input().take(1).map(|_| ()),
            Kind::I16 | Kind::I32 | Kind::I64 => self.skip_number(kind),
            Kind::Double => self.input().take(8).map(|_| ()),
            Kind::Uuid => self.input().take(16).map(|_| ()),
            Kind::Bytes => self.bytes().map(|_| ()),
            Kind::Struct | Kind::List | Kind::Set | Kind::Map if depth == MAX_DEPTH => {
                let what = format!("more than {MAX_DEPTH} levels of structs and containers");
                Err(Error::new(what, self.input().at()))
            }
            Kind::Struct => self.skip_struct(depth),
            Kind::List | Kind::Set => {
                let Elements { kind, count } = self.list()?;
                self.skip_elements(kind, count, depth)
            }
            Kind::Map => self.skip_map(depth),
        }
    }

    fn skip_struct(&mut self, depth: usize) -> Result<()>
    where
        Self: Sized,
    {
        let mut last = 0;
        while let Some((id, kind)) = self.field(last)? {
            self.skip(kind, depth + 1)?;
            last = id;
        }
        Ok(())
    }

    fn skip_elements(&mut self, kind: Kind, count: usize, depth: usize) -> Result<()>
    where
        Self: Sized,
    {
        (0..count).try_for_each(|_| self.skip(kind, depth + 1))
    }

    fn skip_map(&mut self, depth: usize) -> Result<()>
    where
        Self: Sized,
    {
        let Some((keys, values, count)) = self.map()? else { return Ok(()) };
        (0..count).try_for_each(|_| {
            self.skip(keys, depth + 1)?;
            self.skip(values, depth + 1)
        })
    }
}
