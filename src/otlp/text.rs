//! Is it UTF-8? Asked of every text of every span, so the usual answer comes fast.

/// Whether these bytes are UTF-8.
#[inline]
pub(super) fn is_utf8(text: &[u8]) -> bool {
    is_ascii(text) || std::str::from_utf8(text).is_ok()
}

/// Whether no byte is above 0x7f, found in words of eight bytes. Keys and values are mostly ASCII of 5 to 50 bytes,
/// where this takes a fraction of what the general check costs to set up.
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    // The last word overlaps the one before it.
    let Some(last) = text.last_chunk::<8>() else {
        return match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u32::from_ne_bytes(*first) | u32::from_ne_bytes(*last)) & HIGH_BITS as u32 == 0
            }
            _ => text.iter().fold(0, |bits, byte| bits | byte) < 0x80,
        };
    };
    let bits = text
        .as_chunks::<8>()
        .0
        .iter()
        .fold(u64::from_ne_bytes(*last), |bits, word| bits | u64::from_ne_bytes(*word));
    bits & HIGH_BITS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_byte_is_found_wherever_it_stands() {
        for length in 0..40 {
            let mut text = vec![b'a'; length];
            assert!(is_utf8(&text), "{length}");
            for place in 0..length {
                text[place] = 0xff;
                assert!(!is_utf8(&text), "{place} of {length}");
                text[place] = b'a';
            }
        }
    }

    #[test]
    fn text_beyond_ascii_is_text() {
        assert!(is_utf8("Straße".as_bytes()));
        assert!(is_utf8("шина данных 🦀".as_bytes()));
        // A surrogate of its own, and an overlong slash.
        assert!(!is_utf8(&[0xed, 0xa0, 0x80]));
        assert!(!is_utf8(&[0xc0, 0xaf]));
    }
}
