//! Everything that Jaeger speaks with its storage and that others ask of Jaeger, over the wire with generated clients.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../capabilities/authority.rs"]
mod authority;
#[path = "../../src/model/drawing.rs"]
mod drawing;
#[path = "../capabilities/harness.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod harness;
#[path = "../capabilities/upstream_stub.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod upstream_stub;

mod archive;
mod asked;
mod capabilities;
mod door;
mod forwarded;
mod interfaces;
mod plugin;
mod plugin_host;
mod purge;
mod query_v2;
mod query_v3;
mod reading_v1;
mod reading_v2;
mod stored;
mod there_and_back;
mod tls;
mod writing;
