//! Bytes that JSON holds as text: ids in hex, values in base64.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Base64 of the standard or the URL-safe alphabet, padded or not.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let url_safe = text.bytes().any(|letter| letter == b'-' || letter == b'_');
    if url_safe { URL_SAFE.decode(text).ok() } else { STANDARD.decode(text).ok() }
}

/// The bytes of an id in hex digits of either case. What is not hex becomes its own letters, and never eight or sixteen
/// of them: no reader takes it for an id, and its length says what was sent.
pub(super) fn id(text: &str) -> Vec<u8> {
    hex(text.as_bytes()).unwrap_or_else(|| {
        let mut letters = text.as_bytes().to_vec();
        if matches!(letters.len(), 8 | 16) {
            letters.push(0);
        }
        letters
    })
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, odd) = text.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    let digit = |letter: u8| char::from(letter).to_digit(16);
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_no_ids_get_a_length_that_no_id_has() {
        let cases: [(&str, &[u8]); 6] = [
            ("00fF", &[0x00, 0xff]),
            ("", b""),
            ("abc", b"abc"),
            ("0x12", b"0x12"),
            ("zzzzzzzz", b"zzzzzzzz\0"),
            ("not sixteen hex.", b"not sixteen hex.\0"),
        ];
        for (text, bytes) in cases {
            assert_eq!(id(text), bytes, "{text}");
        }
    }

    #[test]
    fn base64_of_every_dialect_is_understood() {
        for text in ["+/8=", "-_8=", "+/8", "-_8", "-_9"] {
            assert_eq!(base64(text).unwrap(), [0xfb, 0xff], "{text}");
        }
        for text in ["+_8=", "a", "?"] {
            assert_eq!(base64(text), None, "{text}");
        }
    }
}
