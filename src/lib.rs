//! A whole tracing backend in one process: spans in by every protocol, safe on disk before they are
//! acknowledged, answered to people and programs.
//!
//! The modules are the way of a span, ground first. Each may use only what stands above it in this list and is
//! named for it in `tests/tidy.rs`.

pub mod model;

pub mod proto;

pub mod otlp;

pub mod buffer;

#[cfg(feature = "exporters")]
pub mod to_disk;

pub mod store;

pub mod translate;

pub mod ingest;

pub mod upstream;

pub mod query;

pub mod receive;

pub mod serve;

pub mod app;
