//! Numbers as JSON writers spell them: plain, with a fraction, with an exponent, as text.

use super::schema::Integer;
use crate::otlp::write;

/// A number, whole if it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// A whole number between −2^64 and 2^64.
    Whole(i128),
    /// Any other: the infinities, NaN and −0.0 included.
    Double(f64),
}

impl Number {
    /// Whole when the double is: `5.0` and `1e2` are.
    pub(super) fn of_double(number: f64) -> Self {
        const LIMIT: f64 = 18_446_744_073_709_551_616.0;
        let negative_zero = number == 0.0 && number.is_sign_negative();
        if number.fract() == 0.0 && number.abs() < LIMIT && !negative_zero {
            // Exact: below 2^64 and without a fraction.
            Self::Whole(number as i128)
        } else {
            Self::Double(number)
        }
    }

    /// From its text, in any of the spellings; `NaN`, `Infinity` and `-Infinity` are numbers here.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        match text.parse::<i64>() {
            Ok(number) => Some(Self::Whole(number.into())),
            Err(_) => match text.parse::<u64>() {
                Ok(number) => Some(Self::Whole(number.into())),
                Err(_) => text.parse().ok().map(Self::of_double),
            },
        }
    }

    /// The nearest double.
    pub(super) fn as_double(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Double(number) => number,
        }
    }
}

impl Integer {
    /// This number as a field of this type takes it; `None` when it does not fit.
    pub(super) fn fit(self, number: Number) -> Option<i128> {
        let number = match number {
            Number::Whole(number) => number,
            // A zero below zero, which only a double can tell from zero.
            Number::Double(0.0) => 0,
            Number::Double(_) => return None,
        };
        let (least, greatest) = self.range();
        (least..=greatest).contains(&number).then_some(number)
    }

    /// The least and the greatest number of the type.
    pub(super) fn range(self) -> (i128, i128) {
        match self {
            Self::Uint32 | Self::Fixed32 => (0, u32::MAX.into()),
            Self::Sint32 => (i32::MIN.into(), i32::MAX.into()),
            Self::Int64 | Self::Sfixed64 => (i64::MIN.into(), i64::MAX.into()),
            Self::Uint64 | Self::Fixed64 => (0, u64::MAX.into()),
        }
    }

    /// Appends a field with a number that fits.
    pub(super) fn write(self, out: &mut Vec<u8>, field: u32, number: i128) {
        match self {
            Self::Uint32 | Self::Uint64 | Self::Int64 => write::uint(out, field, number as u64),
            Self::Sint32 => write::sint(out, field, number as i64),
            Self::Fixed32 => write::fixed32(out, field, number as u32),
            Self::Fixed64 | Self::Sfixed64 => write::fixed64(out, field, number as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_number_is_that_number() {
        let cases = [
            ("7", Number::Whole(7)),
            ("-7", Number::Whole(-7)),
            ("+7", Number::Whole(7)),
            ("5.0", Number::Whole(5)),
            ("1e2", Number::Whole(100)),
            ("-0.0", Number::Double(-0.0)),
            ("18446744073709551615", Number::Whole(u64::MAX.into())),
            ("-9223372036854775808", Number::Whole(i64::MIN.into())),
            ("18446744073709551616", Number::Double(2f64.powi(64))),
            ("1e+300", Number::Double(1e300)),
            ("0.5", Number::Double(0.5)),
            ("Infinity", Number::Double(f64::INFINITY)),
            ("-Infinity", Number::Double(f64::NEG_INFINITY)),
        ];
        for (text, number) in cases {
            assert_eq!(Number::of_text(text), Some(number), "{text}");
        }
        assert!(Number::of_text("NaN").unwrap().as_double().is_nan());
        for text in ["", "seven", "0x10", "1 ", "1,5"] {
            assert_eq!(Number::of_text(text), None, "{text}");
        }
    }
}
