//! What is known of the datagrams that Jaeger's clients send, as the page and others are told.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What came over UDP, and what is known to be lost of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Datagrams that came in.
    pub datagrams: u64,
    /// Those that could not be read.
    pub unread_datagrams: u64,
    /// Datagrams that the system dropped; absent where it does not say.
    pub dropped_datagrams: Option<u64>,
    /// Spans that came in and are not kept.
    pub dropped_spans: u64,
    /// From whom.
    pub services: Vec<AgentService>,
}

/// The same of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentService {
    /// Its name, as it says.
    pub service: String,
    /// Batches that came in, one in a datagram.
    pub batches: u64,
    /// Spans in them.
    pub spans: u64,
    /// Batches that did not come though later ones did.
    pub missing_batches: u64,
    /// Spans that its clients say they lost before they sent them.
    pub lost_by_clients: u64,
}

impl Agent {
    /// The services of which something is lost.
    pub fn lossy(&self) -> impl Iterator<Item = &AgentService> {
        self.services.iter().filter(|service| service.missing_batches > 0 || service.lost_by_clients > 0)
    }
}

/// Asks for it, anew each time; may block.
#[derive(Clone)]
pub struct AskAgent(pub Arc<dyn Fn() -> Agent + Send + Sync>);

impl Default for AskAgent {
    /// Where nothing comes.
    fn default() -> Self {
        Self(Arc::new(Agent::default))
    }
}

impl fmt::Debug for AskAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AskAgent").finish_non_exhaustive()
    }
}
