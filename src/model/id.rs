//! Trace and span ids: bytes inside, lower-case hex outside.

use std::fmt;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Neither hex digits only, nor of a length an id can have.
    #[error("'{text}' is not {expected}")]
    Malformed {
        /// What was given, shortened.
        text: String,
        /// What would have been right.
        expected: &'static str,
    },
}

/// Identifies a trace: 16 bytes, most significant first (W3C Trace Context, section 3.2.2.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TraceId(pub [u8; 16]);

/// Identifies a span within its trace: 8 bytes, most significant first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// Reads 1 to 32 hex digits; missing leading digits are zeros, so a 64-bit id of older clients
    /// and its 128-bit spelling are the same id.
    pub fn parse_hex(text: &str) -> Result<Self, ParseIdError> {
        parse_hex(text).map(Self).ok_or_else(|| malformed(text, "a trace id of 1 to 32 hex digits"))
    }

    /// From exactly 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The id that means "no id".
    pub fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }
}

impl SpanId {
    /// Reads 1 to 16 hex digits; missing leading digits are zeros.
    pub fn parse_hex(text: &str) -> Result<Self, ParseIdError> {
        parse_hex(text).map(Self).ok_or_else(|| malformed(text, "a span id of 1 to 16 hex digits"))
    }

    /// From exactly 8 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The id that means "no id".
    pub fn is_zero(self) -> bool {
        self.0 == [0; 8]
    }
}

fn malformed(text: &str, expected: &'static str) -> ParseIdError {
    ParseIdError::Malformed { text: text.chars().take(64).collect(), expected }
}

/// Right-aligned hex digits; `None` for no digit, too many, or something else than a digit.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.is_empty() || text.len() > 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (place, digit) in text.bytes().rev().enumerate() {
        let value = char::from(digit).to_digit(16)? as u8;
        bytes[N - 1 - place / 2] |= value << (4 * (place % 2));
    }
    Some(bytes)
}

macro_rules! hex_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hex_text!(TraceId);
hex_text!(SpanId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_spellings_are_one_id() {
        let long = TraceId::parse_hex("0000000000000000463ac35c9f6413ad").unwrap();
        assert_eq!(TraceId::parse_hex("463AC35C9F6413AD").unwrap(), long);
        assert_eq!(long.to_string(), "0000000000000000463ac35c9f6413ad");
        assert_eq!(SpanId::parse_hex("a").unwrap().to_string(), "000000000000000a");
    }

    #[test]
    fn other_texts_are_refused_by_name() {
        for text in ["", "xyz", "0x12", "+1", &"0".repeat(33)] {
            assert!(TraceId::parse_hex(text).is_err(), "{text:?}");
        }
        let error = SpanId::parse_hex("12345678901234567").unwrap_err();
        assert_eq!(error.to_string(), "'12345678901234567' is not a span id of 1 to 16 hex digits");
    }
}
