//! Small inputs that mean to be large, and peers that mean harm, over the wire: each is refused or handled at once and in
//! little memory, the program lives, and the next good request is served.
//!
//! `scripts/bombs` holds them to the strict numbers, one fresh start for each, and prints what it measured.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod announced;
mod attack;
mod crowds;
mod ground;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../capabilities/harness.rs"]
mod harness;
mod http2;
mod http_heads;
mod many;
mod nested;
mod packed;
mod protobuf;
mod questions;
mod thrift;
mod wide;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../capabilities/wire.rs"]
mod wire;
mod zipkin;
