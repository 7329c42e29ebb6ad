//! What older clients send and ask, over the wire into the real binary, and what is read back of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../capabilities/harness.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod harness;

mod jaeger_agent;
mod jaeger_collector;
mod jaeger_losses;
mod jaeger_thrift;
mod open_doors;
mod pages;
mod sampling;
mod zipkin;
mod zipkin_lists;
