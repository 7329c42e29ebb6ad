//! Any bytes as Zipkin's JSON, of either version: what is read is kept and given back as it was, and what is written is read
//! as what was written.

#![no_main]

mod allowance;
mod kept;

use libfuzzer_sys::fuzz_target;
use tracelodge::translate::zipkin::{Span, json};

fuzz_target!(|input: &[u8]| {
    let Some((mode, text)) = input.split_first() else { return };
    allowance::at_most(400, input, || {
        let read = if mode & 1 == 0 { json::read(text) } else { json::read_v1(text) };
        let Ok(read) = read else { return };
        let written = read.spans.iter().enumerate().fold(vec![b'['], |mut out, (place, span)| {
            if place > 0 {
                out.push(b',');
            }
            json::write(&mut out, span);
            out
        });
        let again = json::read(&[&written[..], b"]"].concat()).expect("what is written is JSON");
        assert_eq!(again.left_out, 0, "{:?}", again.first);
        // What is not UTF-8 is kept, but JSON cannot say it.
        if str::from_utf8(text).is_ok() {
            let said = |spans: &[Span]| spans.iter().cloned().map(kept::without_nothings).collect::<Vec<_>>();
            assert_eq!(said(&again.spans), said(&read.spans));
        }
        kept::zipkin(read, text);
    });
});
