//! What is known to be lost over UDP, in one answer for the page, for programs and for people.

use std::ops::Add as _;
use std::sync::Arc;

use crate::receive::agent::{Counts, Service};
use crate::serve::http::{Agent, AgentService, AskAgent};

/// Asks the doors of the agent.
pub(super) fn asking(counts: Arc<Counts>) -> AskAgent {
    AskAgent(Arc::new(move || agent(&counts)))
}

fn agent(counts: &Counts) -> Agent {
    let told = counts.told();
    let by_system = told.sockets.iter().filter_map(|socket| socket.dropped_by_system);
    Agent {
        datagrams: told.sockets.iter().map(|socket| socket.datagrams).sum(),
        unread_datagrams: told.sockets.iter().map(|socket| socket.unread).sum(),
        dropped_datagrams: by_system.reduce(u64::add),
        dropped_spans: told.dropped_spans.iter().map(|(_, spans)| spans).sum(),
        services: told.services.into_iter().map(service).collect(),
    }
}

fn service((name, counts): (String, Service)) -> AgentService {
    let lost = [counts.lost_full_queue, counts.lost_too_large, counts.lost_failed];
    AgentService {
        service: name,
        batches: counts.batches,
        spans: counts.spans,
        missing_batches: counts.missing_batches,
        lost_by_clients: lost.into_iter().fold(0, u64::saturating_add),
    }
}
