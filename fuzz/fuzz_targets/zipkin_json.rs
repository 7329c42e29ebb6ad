//! Any bytes as Zipkin's JSON, of either version: what is read is kept and given back as it was, and what is written is read
//! as what was written.

#![no_main]

mod allowance;
mod kept;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tracelodge::translate::zipkin::{self, Format, Span, json};

fuzz_target!(|input: &[u8]| {
    let Some((mode, text)) = input.split_first() else { return };
    allowance::at_most(400, input, || {
        let format = if mode & 1 == 0 { Format::JsonV2 } else { Format::JsonV1 };
        let read = zipkin::read(format, &Bytes::copy_from_slice(text));
        let Ok(read) = read else { return };
        let written = read.spans.iter().enumerate().fold(vec![b'['], |mut out, (place, span)| {
            if place > 0 {
                out.push(b',');
            }
            json::write(&mut out, span);
            out
        });
        let again = zipkin::read(Format::JsonV2, &[&written[..], b"]"].concat().into())
            .expect("what is written is JSON");
        assert_eq!(again.left_out, 0, "{:?}", again.first);
        // What is not UTF-8 is kept, but JSON cannot say it.
        if str::from_utf8(text).is_ok() {
            let said = |spans: &[Span]| spans.iter().cloned().map(kept::without_nothings).collect::<Vec<_>>();
            assert_eq!(said(&again.spans), said(&read.spans));
        }
        kept::zipkin(read, text);
    });
});
