//! Protobuf by hand: what no encoder would write.

/// A field of bytes, text or a message.
pub(crate) fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut field = tag(number, 2);
    push_number(&mut field, content.len() as u64);
    field.extend_from_slice(content);
    field
}

/// A field whose length is only announced.
pub(crate) fn announced(number: u32, length: u64) -> Vec<u8> {
    let mut field = tag(number, 2);
    push_number(&mut field, length);
    field
}

/// A field in a field in a field: `numbers` over and over, `levels` in all, around `innermost`.
pub(crate) fn nested(numbers: &[u32], levels: usize, innermost: &[u8]) -> Vec<u8> {
    // Written from the inside out, each byte once: heads in the order in which they will be read backwards.
    let (mut heads, mut length) = (Vec::new(), innermost.len());
    for level in (0..levels).rev() {
        let mut head = tag(numbers[level % numbers.len()], 2);
        push_number(&mut head, length as u64);
        length += head.len();
        heads.extend(head.into_iter().rev());
    }
    heads.reverse();
    heads.extend_from_slice(innermost);
    heads
}

/// What every span needs to be taken, made from a number, and then whatever is added.
pub(crate) fn span(number: u64, more: &[u8]) -> Vec<u8> {
    let mut trace_id = [0xbb; 16];
    trace_id[8..].copy_from_slice(&(number + 1).to_be_bytes());
    let start = tag(7, 1).into_iter().chain(1_700_000_000_000_000_000_u64.to_le_bytes()).collect();
    let end = tag(8, 1).into_iter().chain(1_700_000_000_000_500_000_u64.to_le_bytes()).collect();
    [field(1, &trace_id), field(2, &(number + 1).to_be_bytes()), start, end, more.to_vec()].concat()
}

/// A request to export spans: one resource with this inside, one scope, these spans.
pub(crate) fn request(resource: &[u8], spans: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let spans: Vec<u8> = spans.into_iter().flat_map(|span| field(2, &span)).collect();
    field(1, &[field(1, resource), field(2, &spans)].concat())
}

/// An attribute of text.
pub(crate) fn attribute(key: &[u8], value: &[u8]) -> Vec<u8> {
    [field(1, key), field(2, &field(1, value))].concat()
}

/// A message as a call of gRPC frames it.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

fn tag(number: u32, wire_type: u32) -> Vec<u8> {
    let mut tag = Vec::new();
    push_number(&mut tag, u64::from(number << 3 | wire_type));
    tag
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
