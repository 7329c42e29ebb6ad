//! `TBinaryProtocol`: numbers of their full width, the highest byte first.

use bytes::Bytes;

use super::{Elements, Error, Head, Input, Kind, Read, Result};

/// A reader of the binary protocol.
#[derive(Debug)]
pub(in crate::translate) struct Binary<'a> {
    input: Input<'a>,
}

impl<'a> Binary<'a> {
    pub(in crate::translate) fn new(bytes: &'a Bytes) -> Self {
        Self { input: Input::new(bytes) }
    }

    /// The version word, the name and the type, as they are written since 2007.
    fn strict(&mut self) -> Result<Head<'a>> {
        let [high, version, _, message_type] = self.input.array()?;
        if (high, version) != (0x80, 1) {
            let what = format!("version {high:#04x}{version:02x} of the protocol instead of 0x8001");
            return Err(Error::new(what, 0));
        }
        Ok(Head { method: self.bytes()?, message_type })
    }

    /// The name and the type alone.
    fn lax(&mut self) -> Result<Head<'a>> {
        let method = self.bytes()?;
        Ok(Head { method, message_type: self.input.byte()? })
    }
}

impl<'a> Read<'a> for Binary<'a> {
    fn input(&mut self) -> &mut Input<'a> {
        &mut self.input
    }

    fn message(&mut self) -> Result<Head<'a>> {
        let head = match self.input.peek() {
            Some(0x82) => {
                return Err(Error::new("a message of the compact protocol instead of the binary one", 0));
            }
            Some(0x80..) => self.strict()?,
            _ => self.lax()?,
        };
        self.i32()?;
        Ok(head)
    }

    #[inline]
    fn field(&mut self, _last: i16) -> Result<Option<(i16, Kind)>> {
        let start = self.input.at();
        match self.input.byte()? {
            0 => Ok(None),
            wire => {
                let kind = kind(wire, start)?;
                Ok(Some((self.i16()?, kind)))
            }
        }
    }

    fn list(&mut self) -> Result<Elements> {
        let start = self.input.at();
        let wire = self.input.byte()?;
        let announced = self.i32()?;
        // What nothing is in may be of no kind.
        let kind = if announced == 0 { Kind::Bool } else { kind(wire, start)? };
        Ok(Elements { kind, count: self.input.count(announced.into(), least_bytes(kind), start)? })
    }

    fn map(&mut self) -> Result<Option<(Kind, Kind, usize)>> {
        let start = self.input.at();
        let [keys, values] = self.input.array()?;
        let announced = self.i32()?;
        if announced == 0 {
            return Ok(None);
        }
        let (keys, values) = (kind(keys, start)?, kind(values, start)?);
        let count = self.input.count(announced.into(), least_bytes(keys) + least_bytes(values), start)?;
        Ok(Some((keys, values, count)))
    }

    fn boolean(&mut self) -> Result<bool> {
        Ok(self.input.byte()? != 0)
    }

    #[inline]
    fn i16(&mut self) -> Result<i16> {
        self.input.array().map(i16::from_be_bytes)
    }

    #[inline]
    fn i32(&mut self) -> Result<i32> {
        self.input.array().map(i32::from_be_bytes)
    }

    #[inline]
    fn i64(&mut self) -> Result<i64> {
        self.input.array().map(i64::from_be_bytes)
    }

    fn double(&mut self) -> Result<f64> {
        self.input.array().map(f64::from_be_bytes)
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8]> {
        let start = self.input.at();
        let length = self.i32()?;
        self.input.sized(length.into(), start)
    }

    fn skip_number(&mut self, kind: Kind) -> Result<()> {
        self.input.take(least_bytes(kind)).map(|_| ())
    }
}

#[inline]
fn kind(wire: u8, start: usize) -> Result<Kind> {
    Ok(match wire {
        2 => Kind::Bool,
        3 => Kind::I8,
        4 => Kind::Double,
        6 => Kind::I16,
        8 => Kind::I32,
        10 => Kind::I64,
        11 => Kind::Bytes,
        12 => Kind::Struct,
        13 => Kind::Map,
        14 => Kind::Set,
        15 => Kind::List,
        16 => Kind::Uuid,
        _ => return Err(Error::unknown_type(wire, start)),
    })
}

fn least_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Bool | Kind::I8 | Kind::Struct => 1,
        Kind::I16 => 2,
        Kind::I32 | Kind::Bytes => 4,
        Kind::I64 | Kind::Double => 8,
        Kind::List | Kind::Set => 5,
        Kind::Map => 6,
        Kind::Uuid => 16,
    }
}
