//! `TCompactProtocol`: variable numbers, field ids as steps from the one before, booleans inside the head of their field.

use bytes::Bytes;

use super::{Elements, Error, Head, Input, Kind, Read, Result};

/// The first byte of a message.
const PROTOCOL_ID: u8 = 0x82;
/// Of the protocol, in the low five bits of the second byte.
const VERSION: u8 = 1;

/// A reader of the compact protocol.
#[derive(Debug)]
pub(in crate::translate) struct Compact<'a> {
    input: Input<'a>,
    /// The value of the field whose head was read last, if it is a boolean that was not read yet.
    boolean: Option<bool>,
}

impl<'a> Compact<'a> {
    pub(in crate::translate) fn new(bytes: &'a Bytes) -> Self {
        Self { input: Input::new(bytes), boolean: None }
    }

    /// A number that is stored so that small negative ones are short.
    #[inline]
    fn zigzag(&mut self) -> Result<i64> {
        let stored = self.input.varint()?;
        Ok((stored >> 1) as i64 ^ -((stored & 1) as i64))
    }

    /// A length or a count: 32 bits.
    #[inline]
    fn size(&mut self) -> Result<i64> {
        // What does not fit is refused as what it is read as: more than there is.
        self.input.varint().map(|size| i64::try_from(size).unwrap_or(i64::MAX))
    }
}

impl<'a> Read<'a> for Compact<'a> {
    fn input(&mut self) -> &mut Input<'a> {
        &mut self.input
    }

    fn message(&mut self) -> Result<Head<'a>> {
        match self.input.byte()? {
            PROTOCOL_ID => {}
            0x80 => return Err(Error::new("a message of the binary protocol instead of the compact one", 0)),
            other => {
                return Err(Error::new(
                    format!("{other:#04x} instead of {PROTOCOL_ID:#04x}, with which messages begin"),
                    0,
                ));
            }
        }
        let second = self.input.byte()?;
        let version = second & 0x1f;
        if version != VERSION {
            return Err(Error::new(format!("version {version} of the protocol instead of {VERSION}"), 1));
        }
        self.input.varint()?;
        Ok(Head { method: self.bytes()?, message_type: second >> 5 })
    }

    #[inline]
    fn field(&mut self, last: i16) -> Result<Option<(i16, Kind)>> {
        let start = self.input.at();
        let head = self.input.byte()?;
        if head & 0x0f == 0 {
            return Ok(None);
        }
        let kind = kind(head & 0x0f, start)?;
        if kind == Kind::Bool {
            self.boolean = Some(head & 0x0f == 1);
        }
        let id = match head >> 4 {
            0 => self.i16()?,
            step => last.wrapping_add(i16::from(step)),
        };
        Ok(Some((id, kind)))
    }

    fn list(&mut self) -> Result<Elements> {
        let start = self.input.at();
        let head = self.input.byte()?;
        let announced = match head >> 4 {
            15 => self.size()?,
            few => i64::from(few),
        };
        // What nothing is in may be of no kind.
        let kind = if announced == 0 { Kind::Bool } else { kind(head & 0x0f, start)? };
        Ok(Elements { kind, count: self.input.count(announced, least_bytes(kind), start)? })
    }

    fn map(&mut self) -> Result<Option<(Kind, Kind, usize)>> {
        let start = self.input.at();
        let announced = self.size()?;
        if announced == 0 {
            return Ok(None);
        }
        let kinds = self.input.byte()?;
        let (keys, values) = (kind(kinds >> 4, start)?, kind(kinds & 0x0f, start)?);
        let count = self.input.count(announced, least_bytes(keys) + least_bytes(values), start)?;
        Ok(Some((keys, values, count)))
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.boolean.take() {
            Some(boolean) => Ok(boolean),
            None => Ok(self.input.byte()? == 1),
        }
    }

    fn i16(&mut self) -> Result<i16> {
        let start = self.input.at();
        self.zigzag()?.try_into().map_err(|_| out_of_range(16, start))
    }

    fn i32(&mut self) -> Result<i32> {
        let start = self.input.at();
        self.zigzag()?.try_into().map_err(|_| out_of_range(32, start))
    }

    #[inline]
    fn i64(&mut self) -> Result<i64> {
        self.zigzag()
    }

    fn double(&mut self) -> Result<f64> {
        self.input.array().map(f64::from_le_bytes)
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8]> {
        let start = self.input.at();
        let length = self.size()?;
        self.input.sized(length, start)
    }

    fn skip_number(&mut self, _kind: Kind) -> Result<()> {
        self.input.varint().map(|_| ())
    }
}

#[cold]
fn out_of_range(bits: u32, start: usize) -> Box<Error> {
    Error::new(format!("a number of more than {bits} bits"), start)
}

#[inline]
fn kind(wire: u8, start: usize) -> Result<Kind> {
    Ok(match wire {
        1 | 2 => Kind::Bool,
        3 => Kind::I8,
        4 => Kind::I16,
        5 => Kind::I32,
        6 => Kind::I64,
        7 => Kind::Double,
        8 => Kind::Bytes,
        9 => Kind::List,
        10 => Kind::Set,
        11 => Kind::Map,
        12 => Kind::Struct,
        13 => Kind::Uuid,
        _ => return Err(Error::unknown_type(wire, start)),
    })
}

fn least_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Double => 8,
        Kind::Uuid => 16,
        _ => 1,
    }
}
