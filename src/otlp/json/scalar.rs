//! Members that are one value: text, bytes, numbers, booleans, enums.

use std::fmt;

use serde::de::{self, Deserializer, Unexpected, Visitor};

use super::encoded;
use super::number::Number;
use super::schema::{Enum, Field, Integer, Kind, Presence};
use crate::otlp::write;

/// Appends a value that is not a text.
pub(super) struct Scalar<'t> {
    pub(super) out: &'t mut Vec<u8>,
    pub(super) field: &'static Field,
}

/// Appends a text, of any bytes: what is not UTF-8 is found and counted by the scan.
pub(super) struct Text<'t>(pub(super) Scalar<'t>);

impl<'de> Visitor<'de> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_bytes<E: de::Error>(mut self, text: &[u8]) -> Result<(), E> {
        self.0.bytes(text);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Scalar<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        de::Expected::fmt(&self.field.kind, f)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(mut self, bit: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.uint(bit.into()),
            kind => return Err(E::invalid_type(Unexpected::Bool(bit), &kind)),
        }
        Ok(())
    }

    fn visit_u64<E: de::Error>(mut self, number: u64) -> Result<(), E> {
        self.number(Number::Whole(number.into()), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: de::Error>(mut self, number: i64) -> Result<(), E> {
        self.number(Number::Whole(number.into()), Unexpected::Signed(number))
    }

    fn visit_f64<E: de::Error>(mut self, number: f64) -> Result<(), E> {
        self.number(Number::of_double(number), Unexpected::Float(number))
    }

    fn visit_str<E: de::Error>(mut self, text: &str) -> Result<(), E> {
        let kind = self.field.kind;
        let unlike = || E::invalid_value(Unexpected::Str(text), &kind);
        match kind {
            Kind::Id => self.bytes(&encoded::id(text)),
            Kind::Bytes => self.bytes(&encoded::base64(text).ok_or_else(unlike)?),
            // An empty text is how some writers say that there is nothing.
            _ if text.is_empty() => {}
            Kind::Bool => self.uint(text.parse::<bool>().map_err(|_| unlike())?.into()),
            Kind::Enum(names) => self.named(names, text),
            _ => return self.number(Number::of_text(text).ok_or_else(unlike)?, Unexpected::Str(text)),
        }
        Ok(())
    }
}

impl Scalar<'_> {
    /// Appends a number; `given` is how it was sent, for the error.
    fn number<E: de::Error>(&mut self, number: Number, given: Unexpected<'_>) -> Result<(), E> {
        let field = self.field.number;
        match (self.field.kind, number) {
            (Kind::Double, _) => self.double(field, number),
            (Kind::Integer(integer), _) => match integer.fit(number) {
                Some(whole) => self.whole(integer, whole),
                None => return Err(out_of_range(integer, given)),
            },
            (Kind::IntegerOrDouble(integer, double), _) => match integer.fit(number) {
                Some(whole) => self.whole(integer, whole),
                None => self.double(double, number),
            },
            (Kind::Enum(_), Number::Whole(whole)) if i32::try_from(whole).is_ok() => self.uint(whole as u64),
            (Kind::Bool, Number::Whole(bit @ (0 | 1))) => self.uint(bit as u64),
            (kind, _) => return Err(E::invalid_value(given, &kind)),
        }
        Ok(())
    }

    fn named(&mut self, names: &Enum, text: &str) {
        let number = text.parse().unwrap_or_else(|_| names.number(text));
        // Negative numbers of enums are sent as 64 bits.
        self.uint(i64::from(number) as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if !self.is_default(bytes.is_empty()) {
            write::bytes(self.out, self.field.number, bytes);
        }
    }

    fn uint(&mut self, number: u64) {
        if !self.is_default(number == 0) {
            write::uint(self.out, self.field.number, number);
        }
    }

    fn whole(&mut self, integer: Integer, whole: i128) {
        if !self.is_default(whole == 0) {
            integer.write(self.out, self.field.number, whole);
        }
    }

    fn double(&mut self, field: u32, number: Number) {
        let number = number.as_double();
        if !self.is_default(number.to_bits() == 0) {
            write::double(self.out, field, number);
        }
    }

    fn is_default(&self, default: bool) -> bool {
        default && self.field.presence == Presence::Implicit
    }
}

#[cold]
fn out_of_range<E: de::Error>(integer: Integer, given: Unexpected<'_>) -> E {
    let (least, greatest) = integer.range();
    E::custom(format!("{given} is not a whole number of {least} to {greatest}"))
}

impl de::Expected for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a text",
            Self::Bytes => "base64",
            Self::Id => "hex digits",
            Self::Bool => "true or false",
            Self::Double | Self::IntegerOrDouble(..) => "a number",
            Self::Integer(_) => "a whole number",
            Self::Enum(_) => "the number or the name of an enum",
            Self::Message(_) => "an object",
        })
    }
}
