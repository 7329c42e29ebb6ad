//! How much clients are told to sample: Jaeger's strategies, over HTTP and gRPC.

use std::sync::Arc;

use axum::Router;
use parking_lot::RwLock;

use super::health::IsServing;

/// What a strategies file says.
#[derive(Debug, Clone, Default)]
pub struct Strategies;

/// Why a strategies file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Strategies {
    /// Reads a file in Jaeger's format.
    pub fn parse(_text: &[u8]) -> Result<Self, Error> {
        Ok(Self)
    }
}

/// The strategies as they are now.
#[derive(Debug, Default)]
pub struct Current(RwLock<Arc<Strategies>>);

impl Current {
    /// Others from now on.
    pub fn set(&self, strategies: Strategies) {
        *self.0.write() = Arc::new(strategies);
    }
}

/// Port 5778: `/sampling`, `/`, `/baggageRestrictions`.
pub fn http(_current: Arc<Current>) -> Router {
    Router::new()
}

/// What the collector answers over HTTP beside taking spans (port 14268): `/api/sampling` and `/api/baggageRestrictions`.
pub fn collector_http(_current: Arc<Current>) -> Router {
    Router::new()
}

/// Port 5779: `jaeger.api_v2.SamplingManager`, health, and reflection.
pub fn grpc(_current: Arc<Current>, _is_serving: IsServing) -> Router {
    Router::new()
}

/// The same where the collector's service is too (port 14250).
pub fn collector_grpc(_current: Arc<Current>, _is_serving: IsServing) -> Router {
    Router::new()
}
