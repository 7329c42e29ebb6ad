//! What can be wrong with a request or a span in it, and where.

use std::fmt;

use super::wire::{Fields, WireError, WireErrorKind};
use super::{MAX_ENCLOSING_BYTES, MAX_FIELDS_AROUND, MAX_USELESS, MAX_VALUE_DEPTH, MAX_VALUES};

/// A request that cannot be read as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct ScanError {
    /// Boxed, because it is rare and the good answer is small.
    fault: Box<Fault>,
}

impl ScanError {
    #[cold]
    pub(super) fn new(place: Place, damage: Damage) -> Self {
        Self { fault: Box::new(Fault { place, damage }) }
    }

    #[cfg(test)]
    pub(super) fn kind(&self) -> DamageKind {
        self.fault.damage.kind
    }

    /// Where, in bytes from the start of the request.
    pub fn offset(&self) -> usize {
        self.fault.damage.offset
    }
}

/// What is wrong, in which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) place: Place,
    pub(super) damage: Damage,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.damage)
    }
}

/// Which part of a request: `resource_spans[3].scope_spans[0].spans[7]` and what encloses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The names of the levels, outermost first.
    names: &'static [&'static str; 3],
    /// The indices, as many as levels have been entered.
    indices: [usize; 3],
    levels: usize,
}

impl Place {
    /// The request as a whole, whose levels have these names.
    pub(super) const fn request(names: &'static [&'static str; 3]) -> Self {
        Self { names, indices: [0; 3], levels: 0 }
    }

    /// The part with this index, one level deeper; a fourth level has no name and is its parent.
    pub(super) fn entered(mut self, index: usize) -> Self {
        if let Some(place) = self.indices.get_mut(self.levels) {
            *place = index;
            self.levels += 1;
        }
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.levels == 0 {
            return f.write_str("request");
        }
        for level in 0..self.levels {
            let dot = if level == 0 { "" } else { "." };
            write!(f, "{dot}{}[{}]", self.names[level], self.indices[level])?;
        }
        Ok(())
    }
}

/// What is wrong, and where in bytes from the start of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) kind: DamageKind,
    pub(super) offset: usize,
}

impl Damage {
    /// The field that `fields` has just read does not have the wire type that it has in `message`.
    #[cold]
    pub(super) fn wrong_type(message: &'static str, field: u32, fields: &Fields<'_>) -> Self {
        Self { kind: DamageKind::FieldType { message, field }, offset: fields.last_field().1 }
    }
}

/// What can be wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DamageKind {
    /// Not protobuf.
    Wire(WireErrorKind),
    /// A known field with the wire type of another.
    FieldType { message: &'static str, field: u32 },
    /// Values inside values beyond the limit.
    TooDeep,
    /// A span above the limit.
    TooLarge { length: usize, limit: usize },
    /// A resource or a scope above the limit.
    TooLargeAround { name: &'static str, length: usize },
    /// More attributes, events, links and members of lists than the limit.
    TooMany { name: &'static str, count: usize },
    /// More fields of what encloses spans than the limit.
    TooManyFields { message: &'static str },
    /// More resources, scopes and unusable spans than the limit.
    TooManyUseless,
    /// An id that is not there.
    NoId { name: &'static str },
    /// An id that is all zero.
    ZeroId { name: &'static str },
    /// An id of the wrong length.
    IdLength { name: &'static str, length: usize, right: &'static str },
}

impl From<WireError> for Damage {
    #[cold]
    fn from(error: WireError) -> Self {
        Self { kind: DamageKind::Wire(error.kind), offset: error.offset }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(kind) => write!(f, "{kind}"),
            Self::FieldType { message, field } => write!(f, "wrong wire type of field {field} of {message}"),
            Self::TooDeep => write!(f, "attribute value nested deeper than {MAX_VALUE_DEPTH} levels"),
            Self::TooLarge { length, limit } => {
                write!(f, "span of {length} bytes, above receive.max_span_bytes = {limit}")
            }
            Self::TooLargeAround { name, length } => {
                write!(f, "{name} of {length} bytes, above the limit of {MAX_ENCLOSING_BYTES},")
            }
            Self::TooMany { name, count } => {
                write!(f, "{name} with {count} values (attributes, events, links, members of lists), ")?;
                write!(f, "above the limit of {MAX_VALUES},")
            }
            Self::TooManyFields { message } => {
                write!(f, "{message} of more than {MAX_FIELDS_AROUND} fields")
            }
            Self::TooManyUseless => {
                write!(f, "more than {MAX_USELESS} resources, scopes and unusable spans in a request,")
            }
            Self::NoId { name } => write!(f, "no {name}"),
            Self::ZeroId { name } => write!(f, "{name} is all zeros"),
            Self::IdLength { name, length, right } => write!(f, "{name} of {length} bytes, not {right},"),
        }
    }
}
