//! The answering doors as their clients see them: requests in, answers out, over a real store, without sockets.
//!
//! Answers of Jaeger's API are kept in `tests/golden/api`; after an intended change run with
//! `INSTA_UPDATE=always` and read the difference.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod doors;
#[path = "../../src/model/drawing.rs"]
mod drawing;
mod jaeger;
mod jaeger_spans;
mod lodge;
mod own;
mod skeleton;
mod sketch;
mod v3;
mod zipkin;
