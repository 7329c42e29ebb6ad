//! The messages and services of `proto/`, generated when the program is built; nothing here is written by hand.
//!
//! Promise: what the interface files say, with two liberties that the wire does not show. Inside Jaeger's spans text is
//! bytes, because some of it is not UTF-8, and floating point numbers are their bits, because a negative zero is not zero;
//! and OTLP's `ResourceSpans` stay closed, because they go through as they came.
//!
//! Limits: none of its own; decoders are told how large a message may be where they are used.
//!
//! Does not know: anything else of this program.

#![expect(clippy::all, clippy::too_many_lines, reason = "the generator's style is its own")]

include!(concat!(env!("OUT_DIR"), "/protocols.rs"));

/// Every file of `proto/` as a `google.protobuf.FileDescriptorSet`, for reflection and for tests.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
