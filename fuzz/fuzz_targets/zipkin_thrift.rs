//! Any bytes as Zipkin's list of spans in thrift: what is read is kept and given back as it was.

#![no_main]

mod allowance;
mod kept;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tracelodge::translate::zipkin::{self, Format};

fuzz_target!(|input: &[u8]| {
    allowance::at_most(400, input, || {
        let read = zipkin::read(Format::Thrift, &Bytes::copy_from_slice(input));
        drop(read.map(|read| kept::zipkin(read, input)));
    });
});
