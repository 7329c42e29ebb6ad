//! What the buffers count, for themselves and for each of their consumers.

use super::Text;
use crate::buffer::{Amount, ConsumerStats, Dropped, Stats};
use crate::ingest::{Buffers, Signal};
use crate::model::Timestamp;

type Column<Of> = (&'static str, &'static str, &'static str, fn(&Of) -> u64);

const BUFFER: [Column<Stats>; 25] = [
    ("frames_total", "counter", "Requests made safe.", |stats| stats.counters.appended_frames),
    ("items_total", "counter", "Items made safe.", |stats| stats.counters.appended_items),
    ("appended_bytes_total", "counter", "Bytes of requests made safe.", |stats| {
        stats.counters.appended_bytes
    }),
    ("groups_total", "counter", "Groups of requests that shared a sync.", |stats| stats.counters.groups),
    ("syncs_total", "counter", "Syncs of files and folders.", |stats| stats.counters.syncs),
    ("saved_positions_total", "counter", "Positions of consumers made safe.", |stats| {
        stats.counters.saved_positions
    }),
    ("disk_failures_total", "counter", "Writes and syncs that failed.", |stats| stats.counters.disk_failures),
    ("sealed_files_total", "counter", "Files finished.", |stats| stats.counters.sealed_files),
    ("deleted_files_total", "counter", "Files deleted: released by all, or dropped.", |stats| {
        stats.counters.deleted_files
    }),
    ("dropped_files_total", "counter", "Of those, deleted although somebody owed them.", |stats| {
        stats.counters.dropped_files
    }),
    ("damaged_frames_total", "counter", "Requests found damaged and passed over.", |stats| {
        stats.counters.damaged_frames
    }),
    ("damaged_items_total", "counter", "Items in them, where known.", |stats| stats.counters.damaged_items),
    ("folder_bytes", "gauge", "Bytes of all files.", |stats| stats.folder_bytes),
    ("folder_limit_bytes", "gauge", "The bound on that.", |stats| stats.folder_limit),
    ("files", "gauge", "Finished files.", |stats| stats.files as u64),
    ("tail_bytes", "gauge", "Memory for fresh requests.", |stats| stats.tail_bytes as u64),
    ("queued_bytes", "gauge", "Bytes waiting for the disk.", |stats| stats.queued_bytes as u64),
    ("recovered_files", "gauge", "Files that a crash had left unfinished, at the start.", |stats| {
        stats.recovery.recovered_files
    }),
    ("torn_bytes", "gauge", "Bytes of requests cut short, at the start.", |stats| stats.recovery.torn_bytes),
    ("quarantined_files", "gauge", "Files in which nothing could be read, at the start.", |stats| {
        stats.recovery.quarantined_files
    }),
    ("vanished_requests", "gauge", "Requests found damaged at the start.", |stats| {
        stats.recovery.vanished_frames
    }),
    ("memory_reads_total", "counter", "Requests handed to consumers from memory.", |stats| {
        stats.counters.frames_from_memory
    }),
    ("file_reads_total", "counter", "Requests handed to consumers from files.", |stats| {
        stats.counters.frames_from_files
    }),
    ("degraded", "gauge", "1 after the disk failed.", |stats| u64::from(stats.degraded)),
    ("reserve_released", "gauge", "1 while the disk has no space for more.", |stats| {
        u64::from(stats.reserve_stands == Some(false))
    }),
];

/// For each consumer, in items: found + accepted since = released + dropped + pending.
const CONSUMER: [Column<ConsumerStats>; 5] = [
    ("found_items", "gauge", "Items that waited for it at the start.", |stats| stats.found.items),
    ("released_items_total", "counter", "Items it took and is done with.", |stats| stats.released.items),
    ("pending_items", "gauge", "Items it has still to take.", |stats| stats.pending.items),
    ("pending_requests", "gauge", "Requests it has still to take.", |stats| stats.pending.frames),
    ("pending_bytes", "gauge", "Bytes of files that it has still to take.", |stats| stats.pending.bytes),
];

type Refusal = (&'static str, fn(&Stats) -> Amount);

/// Why appends are refused; the sender was told, and nothing of these is in a buffer.
const REFUSALS: [Refusal; 4] = [
    ("full", |stats| stats.counters.refused_full),
    ("busy", |stats| stats.counters.refused_busy),
    ("too_large", |stats| stats.counters.refused_too_large),
    ("disk", |stats| stats.counters.refused_by_disk),
];

type Reason = (&'static str, fn(&Dropped) -> u64);

const REASONS: [Reason; 4] = [
    ("evicted", |dropped| dropped.evicted.items),
    ("expired", |dropped| dropped.expired.items),
    ("cleared", |dropped| dropped.cleared.items),
    ("damaged", |dropped| dropped.damaged.items),
];

/// Every buffer that is open.
pub(super) fn report(text: &mut Text, buffers: &Buffers, now: Timestamp) {
    let all: Vec<(Signal, Stats)> = buffers.each().map(|(signal, buffer)| (signal, buffer.stats())).collect();
    for (name, kind, help, value) in BUFFER {
        let name = format!("tracelodge_buffer_{name}");
        text.head(&name, kind, help);
        for (signal, stats) in &all {
            text.sample(&name, &[("signal", signal.name())], value(stats));
        }
    }
    refused(text, &all);
    sync_times(text, &all);
    let consumers: Vec<(&str, &ConsumerStats)> = all
        .iter()
        .flat_map(|(signal, stats)| stats.consumers.iter().map(|consumer| (signal.name(), consumer)))
        .collect();
    for (name, kind, help, value) in CONSUMER {
        let name = format!("tracelodge_buffer_consumer_{name}");
        text.head(&name, kind, help);
        for (signal, consumer) in &consumers {
            text.sample(&name, &[("signal", signal), ("consumer", &consumer.name)], value(consumer));
        }
    }
    dropped(text, &consumers);
    lag(text, &consumers, now);
}

fn refused(text: &mut Text, buffers: &[(Signal, Stats)]) {
    for (what, value) in
        [("requests", (|amount| amount.frames) as fn(Amount) -> u64), ("items", |amount| amount.items)]
    {
        let name = format!("tracelodge_buffer_refused_{what}_total");
        text.head(&name, "counter", "Asked to come again, or too large, by reason.");
        for (signal, stats) in buffers {
            for (reason, refused) in REFUSALS {
                text.sample(&name, &[("signal", signal.name()), ("reason", reason)], value(refused(stats)));
            }
        }
    }
}

fn sync_times(text: &mut Text, buffers: &[(Signal, Stats)]) {
    let name = "tracelodge_buffer_sync_seconds";
    text.head(name, "histogram", "How long it took to make a group of requests safe.");
    for (signal, stats) in buffers {
        let (signal, times) = (("signal", signal.name()), &stats.counters.sync_times);
        let bucket = format!("{name}_bucket");
        for (bound, count) in times.cumulative() {
            text.sample(&bucket, &[signal, ("le", &bound.as_secs_f64().to_string())], count);
        }
        text.sample(&bucket, &[signal, ("le", "+Inf")], times.number());
        text.sample(&format!("{name}_sum"), &[signal], times.total().as_secs_f64());
        text.sample(&format!("{name}_count"), &[signal], times.number());
    }
}

fn dropped(text: &mut Text, consumers: &[(&str, &ConsumerStats)]) {
    let name = "tracelodge_buffer_consumer_dropped_items_total";
    text.head(name, "counter", "Items it will never be given, by reason.");
    for (signal, consumer) in consumers {
        for (reason, value) in REASONS {
            let labels = [("signal", *signal), ("consumer", &consumer.name), ("reason", reason)];
            text.sample(name, &labels, value(&consumer.dropped));
        }
    }
}

fn lag(text: &mut Text, consumers: &[(&str, &ConsumerStats)], now: Timestamp) {
    let name = "tracelodge_buffer_consumer_lag_seconds";
    text.head(name, "gauge", "Age of the oldest request it has still to take.");
    for (signal, consumer) in consumers {
        let oldest = consumer.oldest_accepted.map_or(now, Timestamp);
        let seconds = now.since(oldest).as_secs_f64();
        text.sample(name, &[("signal", signal), ("consumer", &consumer.name)], seconds);
    }
}
