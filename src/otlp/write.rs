//! Writing protobuf: fields appended to a buffer, lengths of embedded messages filled in afterwards.
//!
//! Source: protobuf.dev, "Encoding". What is written is canonical: no padded varints, fields in the order of
//! the calls.

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// Appends a number in seven-bit groups, least significant first.
#[inline]
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field of int32, int64, uint32, uint64, bool or enum; a negative number as its 64-bit
/// two's complement.
pub fn uint(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field) << 3 | VARINT);
    varint(out, value);
}

/// Appends a field of sint32 or sint64.
pub fn sint(out: &mut Vec<u8>, field: u32, value: i64) {
    uint(out, field, zigzag(value));
}

/// Appends a field of fixed64, sfixed64 (as two's complement) or double (as its bits).
pub fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field) << 3 | FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of double.
pub fn double(out: &mut Vec<u8>, field: u32, value: f64) {
    fixed64(out, field, value.to_bits());
}

/// Appends a field of fixed32.
pub fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    varint(out, u64::from(field) << 3 | FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of bytes, or an embedded message that is already written.
pub fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    varint(out, u64::from(field) << 3 | LENGTH_DELIMITED);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a field of string.
pub fn string(out: &mut Vec<u8>, field: u32, value: &str) {
    bytes(out, field, value.as_bytes());
}

/// Appends a field of bytes or string unless it is empty: who reads a message takes what is absent for that.
pub fn unless_empty(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    if !value.is_empty() {
        bytes(out, field, value);
    }
}

/// Appends a field as [`uint`] does unless it is zero.
pub fn unless_zero(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        uint(out, field, value);
    }
}

/// Appends an embedded message, or packed numbers: what `content` appends.
pub fn message(out: &mut Vec<u8>, field: u32, content: impl FnOnce(&mut Vec<u8>)) {
    let opened = open(out, field);
    content(out);
    close(out, opened);
}

/// An embedded message whose content is being appended: see [`open`].
#[derive(Debug)]
#[must_use = "the message has no length until it is closed"]
pub struct Opened {
    content: usize,
}

impl Opened {
    /// Where the content starts in the buffer.
    pub fn content(&self) -> usize {
        self.content
    }
}

/// Begins an embedded message: everything appended until [`close`] is its content.
pub fn open(out: &mut Vec<u8>, field: u32) -> Opened {
    varint(out, u64::from(field) << 3 | LENGTH_DELIMITED);
    out.push(0);
    Opened { content: out.len() }
}

/// Ends the embedded message that was opened last, giving it its length.
pub fn close(out: &mut Vec<u8>, opened: Opened) {
    let length = out.len() - opened.content;
    // One byte is kept free; a length of 128 and more moves the content to make room.
    let more = varint_length(length as u64) - 1;
    out.resize(out.len() + more, 0);
    if more > 0 {
        out.copy_within(opened.content..opened.content + length, opened.content + more);
    }
    let mut rest = length;
    for byte in &mut out[opened.content - 1..opened.content + more] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[opened.content + more - 1] &= 0x7f;
}

/// Signed numbers so that small ones, of either sign, are small.
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{Fields, Value};

    #[test]
    fn a_message_of_any_length_gets_its_length() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut out = vec![0xff];
            message(&mut out, 20, |out| out.extend((0..length).map(|byte| byte as u8)));
            let mut expected = vec![0xff];
            prost::encoding::bytes::encode(
                20,
                &(0..length).map(|byte| byte as u8).collect::<Vec<_>>(),
                &mut expected,
            );
            assert!(out == expected, "{length}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        uint(&mut out, 1, u64::MAX);
        sint(&mut out, 2, -2);
        fixed64(&mut out, 3, 7);
        double(&mut out, 4, -0.5);
        fixed32(&mut out, 0x1fff_ffff, 9);
        string(&mut out, 6, "a");
        let fields: Vec<_> = Fields::new(&out).collect();
        let expected = [
            (1, Value::Varint(u64::MAX)),
            (2, Value::Varint(3)),
            (3, Value::Fixed64(7)),
            (4, Value::Fixed64((-0.5f64).to_bits())),
            (0x1fff_ffff, Value::Fixed32(9)),
            (6, Value::Bytes(b"a")),
        ];
        assert_eq!(fields, expected);
    }
}
