//! What the doors of Jaeger's agent lost, as far as that is known.

use super::Text;
use crate::receive::agent::{Counts, Service, SocketTold};

type OfSocket = (&'static str, &'static str, fn(&SocketTold) -> Option<u64>);

const SOCKETS: [OfSocket; 3] = [
    ("datagrams_total", "Datagrams that came in.", |socket| Some(socket.datagrams)),
    ("unread_datagrams_total", "Datagrams that could not be read.", |socket| Some(socket.unread)),
    (
        "dropped_datagrams_total",
        "Datagrams that the system dropped because they were not taken in time.",
        |socket| socket.dropped_by_system,
    ),
];

type OfService = (&'static str, &'static str, &'static str, fn(&Service) -> u64);

const SERVICES: [OfService; 3] = [
    ("batches_total", "counter", "Batches that came in.", |service| service.batches),
    ("spans_total", "counter", "Spans in them.", |service| service.spans),
    (
        "missing_batches",
        "gauge",
        "Batches that did not come though later ones of the same client did.",
        |service| service.missing_batches,
    ),
];

type Loss = (&'static str, fn(&Service) -> u64);

/// Of a service, by reason.
const CLIENT_LOSSES: [Loss; 3] = [
    ("full_queue", |service| service.lost_full_queue),
    ("too_large", |service| service.lost_too_large),
    ("failed", |service| service.lost_failed),
];

pub(super) fn report(text: &mut Text, counts: &Counts) {
    let told = counts.told();
    for (name, help, value) in SOCKETS {
        let name = format!("tracelodge_agent_{name}");
        text.head(&name, "counter", help);
        for socket in &told.sockets {
            if let Some(value) = value(socket) {
                text.sample(&name, &[("address", &socket.address.to_string())], value);
            }
        }
    }
    let dropped = "tracelodge_agent_dropped_spans_total";
    text.head(dropped, "counter", "Spans that came in and are not kept, by what there was none of.");
    for (reason, spans) in told.dropped_spans {
        text.sample(dropped, &[("reason", reason)], spans);
    }
    for (name, kind, help, value) in SERVICES {
        let name = format!("tracelodge_agent_{name}");
        text.head(&name, kind, help);
        for (service, counts) in &told.services {
            text.sample(&name, &[("service", service)], value(counts));
        }
    }
    let lost = "tracelodge_agent_client_lost_spans_total";
    text.head(lost, "counter", "Spans that clients say they lost before they sent them.");
    for (service, counts) in &told.services {
        for (reason, value) in CLIENT_LOSSES {
            text.sample(lost, &[("service", service), ("reason", reason)], value(counts));
        }
    }
}
