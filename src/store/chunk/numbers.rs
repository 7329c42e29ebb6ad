//! Reading numbers in groups of seven bits, least significant first, and the byte strings among them.

/// The rest of a stretch of bytes, taken from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers<'a>(pub(super) &'a [u8]);

impl<'a> Numbers<'a> {
    /// The next number.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        match *self.0 {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.0 = rest;
                Some(byte.into())
            }
            _ => self.long_number(),
        }
    }

    #[inline]
    fn long_number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for (place, &byte) in self.0.iter().take(10).enumerate() {
            // What the tenth byte has beyond the 64th bit is dropped: the bytes were checked as a whole.
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.0 = &self.0[place + 1..];
                return Some(number);
            }
        }
        None
    }

    /// The next number, if it is at most `most`.
    #[inline]
    pub(super) fn at_most(&mut self, most: usize) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|&number| number <= most)
    }

    /// The next number, if it is below `end`.
    #[inline]
    pub(super) fn below(&mut self, end: usize) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|&number| number < end)
    }

    /// The next so many bytes.
    #[inline]
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next bytes as pieces of one length.
    pub(super) fn arrays<const N: usize>(&mut self, count: usize) -> Option<&'a [[u8; N]]> {
        Some(self.bytes(count.checked_mul(N)?)?.as_chunks().0)
    }
}

/// A signed number from one that was written so that small ones, of either sign, are small.
#[inline]
pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::write;

    #[test]
    fn numbers_of_any_size_are_read_back() {
        let numbers = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 1 << 32, 1 << 63, u64::MAX];
        let mut out = Vec::new();
        numbers.iter().for_each(|&number| write::varint(&mut out, number));
        let mut reader = Numbers(&out);
        assert_eq!(numbers.map(|_| reader.number().unwrap()), numbers);
        assert_eq!(reader.number(), None);
        for number in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(write::zigzag(number)), number);
        }
    }

    #[test]
    fn a_number_without_an_end_is_none() {
        assert_eq!(Numbers(&[0x80; 9]).number(), None);
        assert_eq!(Numbers(&[0x80; 20]).number(), None);
        assert_eq!(Numbers(&[5]).below(5), None);
        assert_eq!(Numbers(&[5]).at_most(5), Some(5));
        assert_eq!(Numbers(&[1, 2]).bytes(3), None);
        assert_eq!(Numbers(&[1, 2]).arrays::<2>(usize::MAX), None);
    }
}
