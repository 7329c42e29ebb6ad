//! Hashing small numbers: what counting looks up for every span is known by numbers, each in one word of 128 bits.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Hashes one number by folding its product with secret ones, a fraction of what hashing text takes. The numbers of
/// names are given here, but senders choose the times among them: without the secrets nobody can make them collide.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    secrets: [u64; 2],
}

impl Default for Numbers {
    fn default() -> Self {
        // A random word for each table, as the standard library has it.
        let random = RandomState::new();
        Self { secrets: [random.hash_one(0u8), random.hash_one(1u8)] }
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
pub(super) struct NumberHasher {
    secrets: [u64; 2],
    hash: u64,
}

impl Hasher for NumberHasher {
    fn write_u128(&mut self, number: u128) {
        let (low, high) = (number as u64 ^ self.hash, (number >> 64) as u64);
        self.hash = fold(low ^ self.secrets[0], high ^ self.secrets[1]);
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(16) {
            let mut word = [0; 16];
            word[..piece.len()].copy_from_slice(piece);
            self.write_u128(u128::from_le_bytes(word));
        }
    }

    fn finish(&self) -> u64 {
        // Tables choose by the lowest and the highest bits, which a product mixes least.
        fold(self.hash ^ self.secrets[1], self.secrets[0] | 1)
    }
}

/// Both halves of the product in one.
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
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
