//! Protobuf's wire format: the fields of one message, borrowed in the order they stand.
//!
//! Source: protobuf.dev, "Encoding".

/// What is wrong with the bytes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct WireError {
    /// What was found.
    pub kind: WireErrorKind,
    /// Where, counted from the start of the outermost message that was being read.
    pub offset: usize,
}

/// What can be wrong with protobuf bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireErrorKind {
    /// The message ends inside a field.
    #[error("truncated field")]
    Truncated,
    /// More than ten bytes, or more than 64 bits.
    #[error("overlong varint")]
    Varint,
    /// Field number 0 or above 2^29 − 1.
    #[error("impossible field number")]
    FieldNumber,
    /// Wire type 6 or 7.
    #[error("impossible wire type")]
    WireType,
    /// A group that ends without a start, does not end, or nests too deep.
    #[error("unbalanced group")]
    Group,
}

/// One field's value as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// int32, int64, uint32, uint64, sint32, sint64, bool, enum.
    Varint(u64),
    /// fixed64, sfixed64, double.
    Fixed64(u64),
    /// string, bytes, embedded messages, packed repeated fields.
    Bytes(&'a [u8]),
    /// fixed32, sfixed32, float.
    Fixed32(u32),
    /// A group, which nothing in OTLP uses: stepped over whole.
    Group,
}

/// Groups inside groups that are stepped over before the message is refused.
const MAX_GROUP_DEPTH: usize = 32;

/// The fields of a message, in the order they stand on the wire.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    /// The outermost message, cut where this one ends: offsets stay those of the outermost.
    message: &'a [u8],
    at: usize,
    /// Where the field that was read last starts.
    field: usize,
}

impl<'a> Fields<'a> {
    /// Over one message, without its own length prefix.
    pub fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0, field: 0 }
    }

    /// Over the embedded message that `next_field` has just returned; offsets go on counting from the
    /// start of the outermost message.
    #[inline]
    pub(super) fn embedded(&self, message: &'a [u8]) -> Self {
        let start = self.at - message.len();
        Self { message: &self.message[..self.at], at: start, field: start }
    }

    /// Where the next field starts, in bytes from the start of the outermost message.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes of the message are still to be read.
    pub(super) fn remaining(&self) -> usize {
        self.message.len() - self.at
    }

    /// The field that `next_field` has just returned as it stands on the wire, and where it starts.
    pub(super) fn last_field(&self) -> (&'a [u8], usize) {
        (&self.message[self.field..self.at], self.field)
    }

    /// The next field's number and value, `None` at the end.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.at == self.message.len() {
            return Ok(None);
        }
        let start = self.at;
        self.field = start;
        let (number, wire_type) = self.key()?;
        let value = match wire_type {
            2 => Value::Bytes(self.length_delimited()?),
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            3 => {
                self.skip_group(number, start)?;
                Value::Group
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            4 => return Err(WireError { kind: WireErrorKind::Group, offset: start }),
            _ => return Err(WireError { kind: WireErrorKind::WireType, offset: start }),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn key(&mut self) -> Result<(u32, u8), WireError> {
        let start = self.at;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).unwrap_or(u32::MAX);
        // Protobuf keys are 32-bit: numbers reach 2^29 - 1.
        if number == 0 || number > 0x1fff_ffff {
            return Err(WireError { kind: WireErrorKind::FieldNumber, offset: start });
        }
        Ok((number, (key & 7) as u8))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        match self.message.get(self.at) {
            // Field keys, most lengths and most counts are of one byte.
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in 0..10 {
            let Some(&byte) = self.message.get(self.at) else {
                return Err(WireError { kind: WireErrorKind::Truncated, offset: start });
            };
            self.at += 1;
            // The tenth byte holds the 64th bit and nothing more.
            if shift == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError { kind: WireErrorKind::Varint, offset: start })
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some(bytes) = self.message[self.at..].first_chunk::<N>() else {
            return Err(WireError { kind: WireErrorKind::Truncated, offset: self.at });
        };
        self.at += N;
        Ok(*bytes)
    }

    #[inline]
    fn length_delimited(&mut self) -> Result<&'a [u8], WireError> {
        let start = self.at;
        let length = self.varint()?;
        let rest = &self.message[self.at..];
        match usize::try_from(length) {
            Ok(length) if length <= rest.len() => {
                self.at += length;
                Ok(&rest[..length])
            }
            _ => Err(WireError { kind: WireErrorKind::Truncated, offset: start }),
        }
    }

    #[cold]
    fn skip_group(&mut self, number: u32, start: usize) -> Result<(), WireError> {
        let unbalanced = WireError { kind: WireErrorKind::Group, offset: start };
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let (number, wire_type) = self.key()?;
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.length_delimited()?),
                3 if open.len() < MAX_GROUP_DEPTH => open.push(number),
                4 if number == innermost => drop(open.pop()),
                5 => drop(self.array::<4>()?),
                3 | 4 => return Err(unbalanced),
                _ => return Err(WireError { kind: WireErrorKind::WireType, offset: self.at }),
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    /// The next field of a message that was checked before; damage ends the iteration.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_field().ok().flatten()
    }
}
