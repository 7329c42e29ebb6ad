//! What the gRPC doors of answers have alike: whom they ask, and how an error is said.

use std::sync::Arc;

use axum::Router;
use tonic::Status;
use tonic::service::Routes;
use tower_http::catch_panic::CatchPanicLayer;

use super::turns::{self, Turns};
use crate::model::Clock;
use crate::query::{self, Query};

/// Whom a gRPC door asks; cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    /// What is stored.
    pub query: Arc<Query>,
    /// Where questions wait, those of other doors too.
    pub turns: Turns,
    /// What "now" is.
    pub clock: Arc<dyn Clock>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Turn(#[from] turns::Error),
    #[error("the stored spans could not be read; the log has the details")]
    Query(#[from] query::Error),
}

impl From<Error> for Status {
    /// What is the server's fault goes to the log with its cause, which the asker is not told.
    fn from(error: Error) -> Self {
        use std::error::Error as _;
        match &error {
            Error::Turn(turns::Error::Busy | turns::Error::Slow) => {
                tracing::warn!("a question was not answered: {error}");
                Self::unavailable(error.to_string())
            }
            Error::Turn(turns::Error::Defect(_)) | Error::Query(_) => {
                tracing::error!(error = error.source(), "{error}");
                Self::internal(error.to_string())
            }
        }
    }
}

/// Services as a router that can be put beside others at one port.
pub(super) fn router(services: Routes) -> Router {
    services.into_axum_router().reset_fallback().layer(CatchPanicLayer::new())
}
