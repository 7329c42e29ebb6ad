//! How much clients are told to sample: Jaeger's strategies, over HTTP (5778, 14268) and gRPC (5779, 14250).
//!
//! Promise: who asks is told what the file says of its service, else what it says of all others, else to sample
//! everything. Another file takes effect with the next question.
//!
//! Limits: a file has at most [`MAX_FILE_BYTES`]; an answer takes less than three times what its file does.
//!
//! Does not know: where the file is, and when it is another.
//!
//! Source: jaeger-idl `proto/api_v2/sampling.proto`; Jaeger's `remotesampling` extension and its file provider, and for
//! what its clients expect the agent of version 1.

mod grpc;
mod http;
mod strategies;
mod written;

use std::sync::Arc;

use parking_lot::RwLock;

pub use grpc::{collector_grpc, grpc};
pub use http::{collector_http, http};
pub use strategies::{Error, MAX_FILE_BYTES, Read, Strategies};

/// The strategies as they are now.
#[derive(Debug, Default)]
pub struct Current(RwLock<Arc<Strategies>>);

impl Current {
    /// These from the start.
    pub fn new(strategies: Strategies) -> Self {
        Self(RwLock::new(Arc::new(strategies)))
    }

    /// Others from now on.
    pub fn set(&self, strategies: Strategies) {
        *self.0.write() = Arc::new(strategies);
    }

    fn get(&self) -> Arc<Strategies> {
        Arc::clone(&self.0.read())
    }
}
