//! Hashing small numbers: what counting looks up for every span is known by numbers, each in one word of 128 bits.

use std::hash::{BuildHasher, Hasher};

use crate::store::fold::Secrets;

/// Hashes one number, a fraction of what hashing text takes. The numbers of names are given here, but senders choose the
/// times among them: hence the secrets, of each table its own as the standard library has it.
#[derive(Debug, Clone)]
pub(in crate::store) struct Numbers {
    secrets: Secrets,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { secrets: Secrets::new() }
    }
}

impl BuildHasher for Numbers {
    type Hasher = NumberHasher;

    fn build_hasher(&self) -> NumberHasher {
        NumberHasher { secrets: self.secrets, hash: 0 }
    }
}

/// See [`Numbers`].
#[derive(Debug)]
pub(in crate::store) struct NumberHasher {
    secrets: Secrets,
    hash: u64,
}

impl Hasher for NumberHasher {
    fn write_u128(&mut self, number: u128) {
        self.hash = self.secrets.number(number ^ u128::from(self.hash));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u128(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.write_u128(number.into());
    }

    fn write(&mut self, bytes: &[u8]) {
        self.hash = self.secrets.bytes_after(self.hash, bytes);
    }

    fn finish(&self) -> u64 {
        self.secrets.finish(self.hash)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_beside_each_other_are_spread_over_a_table() {
        let numbers = Numbers::default();
        for place in [0, 32, 64, 96] {
            let hashes: Vec<u64> = (0..4_096u128).map(|number| numbers.hash_one(number << place)).collect();
            let distinct = |shift: u32, mask: u64| {
                hashes.iter().map(|hash| hash >> shift & mask).collect::<HashSet<_>>().len()
            };
            assert_eq!(distinct(0, u64::MAX), 4_096);
            // 4 096 balls in as many boxes fill about 63 % of them.
            assert!(distinct(0, 0xfff) > 2_200, "{place}: {}", distinct(0, 0xfff));
            assert_eq!(distinct(57, 0x7f), 128, "{place}");
        }
    }
}
