//! Any bytes as what Jaeger's clients send in thrift: a datagram or a batch alone, of either protocol. What is read can be
//! kept, and nothing is made room for that is not there.

#![no_main]

mod allowance;
mod kept;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tracelodge::translate::agent::{self, Message};
use tracelodge::translate::jaeger;
use tracelodge::translate::jaeger::thrift::{Emitted, batch};
use tracelodge::translate::thrift::Protocol;

fuzz_target!(|input: &[u8]| {
    let Some((mode, bytes)) = input.split_first() else { return };
    let protocol = if mode & 1 == 0 { Protocol::Compact } else { Protocol::Binary };
    let bytes = Bytes::copy_from_slice(bytes);
    // A tag of a byte is one of a hundred and more when it is read, and is then written again.
    allowance::at_most(400, input, || match mode & 2 {
        0 => drop(batch(protocol, &bytes).map(keep)),
        _ => match agent::message(protocol, &bytes) {
            Ok(Message::Jaeger(emitted)) => keep(emitted),
            Ok(Message::Zipkin(read)) => kept::zipkin(read, &bytes),
            Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
        },
    });
});

fn keep(emitted: Emitted) {
    let batched = jaeger::batch(&emitted.batch);
    assert_eq!((batched.spans + batched.left_out) as usize, emitted.batch.spans.len());
    kept::request(batched.request, batched.spans);
}
