//! What the way in counts; the app reports it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds, and says what it was before.
    pub fn add(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::Relaxed)
    }

    /// What it is.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What came in by one transport: export requests of every signal, however they were answered.
#[derive(Debug, Default)]
pub struct DoorCounts {
    /// Requests that got an outcome.
    pub requests: Counter,
    /// Spans that are on disk.
    pub accepted_spans: Counter,
    /// Requests that may be sent again: there was no room, or the server was stopping.
    pub refused_requests: Counter,
    /// Requests that cannot be used, or that we failed on.
    pub failed_requests: Counter,
    /// Spans left out of accepted requests because they cannot be used.
    pub rejected_spans: Counter,
}

/// What was accepted and discarded because nothing here stores it.
#[derive(Debug, Default)]
pub struct SignalCounts {
    /// Log records.
    pub log_records: Counter,
    /// Metric data points.
    pub data_points: Counter,
}

/// What the drain did.
#[derive(Debug, Default)]
pub struct DrainCounts {
    /// Spans written to the store.
    pub stored_spans: Counter,
    /// Spans the store already had: retries and replays.
    pub duplicate_spans: Counter,
    /// Frames whose checksum held but whose bytes could not be read as spans.
    pub damaged_frames: Counter,
    /// Commits to the store.
    pub commits: Counter,
    /// Commits that failed and were tried again.
    pub failed_commits: Counter,
    /// Whether the last try to commit or to read the buffer failed.
    pub failing: AtomicBool,
    /// Runs of the store that became parts of others.
    pub merged_runs: Counter,
}
