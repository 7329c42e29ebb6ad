//! A keyed hash for tables in memory, never written down: products of the bytes with secrets, folded.
//!
//! Of short values it takes a fraction of the time that the hashes take by which files are read. Senders choose what is
//! hashed: without the secrets, which each process has of its own, nobody can make values collide.

use std::hash::{BuildHasher as _, RandomState};

/// What keys a hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secrets([u64; 2]);

impl Secrets {
    /// Of this process alone.
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(0u8), random.hash_one(1u8)])
    }

    /// The hash of a number.
    #[inline]
    pub(super) fn number(self, number: u128) -> u64 {
        let (low, high) = halves(number);
        fold(low ^ self.0[0], high ^ self.0[1])
    }

    /// The hash of bytes.
    #[inline]
    pub(super) fn bytes(self, bytes: &[u8]) -> u64 {
        self.bytes_after(0, bytes)
    }

    /// The hash of bytes behind what another hash is of.
    #[inline]
    pub(super) fn bytes_after(self, hash: u64, bytes: &[u8]) -> u64 {
        // All over the word, so that no byte takes it back.
        let mut hash = hash ^ (bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let Some(last) = bytes.last_chunk::<16>() else {
            return self.number(short(bytes) ^ u128::from(hash));
        };
        // The last piece may begin within the one before.
        let (pieces, _) = bytes[..bytes.len() - 1].as_chunks::<16>();
        for piece in pieces {
            hash = self.number(u128::from_le_bytes(*piece) ^ u128::from(hash));
        }
        self.number(u128::from_le_bytes(*last) ^ u128::from(hash))
    }

    /// A hash whose lowest and highest bits, by which tables choose and which a product mixes least, are as good as any.
    pub(super) fn finish(self, hash: u64) -> u64 {
        fold(hash ^ self.0[1], self.0[0] | 1)
    }
}

/// All of less than 16 bytes; of more than three in two pieces that may overlap.
#[inline]
fn short(bytes: &[u8]) -> u128 {
    let (low, high) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
            }
            _ => (bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0),
        },
    };
    u128::from(high) << 64 | u128::from(low)
}

/// Both halves of the product in one.
#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let (low, high) = halves(u128::from(one) * u128::from(other));
    low ^ high
}

#[inline]
fn halves(number: u128) -> (u64, u64) {
    (number as u64, (number >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn values_that_differ_in_any_byte_or_in_length_differ_in_their_hashes() {
        let secrets = Secrets::new();
        let mut values: Vec<Vec<u8>> = (0..70).map(|length| vec![0; length]).collect();
        for length in 1..70 {
            for place in 0..length {
                let mut value = vec![0; length];
                value[place] = 1;
                values.push(value);
            }
        }
        let hashes: HashSet<u64> = values.iter().map(|value| secrets.bytes(value)).collect();
        assert_eq!(hashes.len(), values.len());
        let lower: HashSet<u64> = hashes.iter().map(|hash| hash & 0xfffff).collect();
        assert!(lower.len() > values.len() - 30, "{} of {}", lower.len(), values.len());
        assert_eq!(secrets.bytes(b"as before"), secrets.bytes(b"as before"));
        assert_ne!(secrets.bytes(b"as before"), Secrets::new().bytes(b"as before"));
    }
}
