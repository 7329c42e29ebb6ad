//! What the way in counts; the app reports it.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// What came in by one door and transport. The meanings are the collector's receiver metrics':
/// *refused* is what the buffer had no room for, *failed* is what could not be used.
#[derive(Debug, Default)]
pub struct DoorCounts {
    /// Requests answered.
    pub requests: Counter,
    /// Spans taken, on disk.
    pub accepted_spans: Counter,
    /// Requests that may be sent again.
    pub refused_requests: Counter,
    /// Requests that cannot be used.
    pub failed_requests: Counter,
    /// Spans left out of accepted requests because they cannot be used.
    pub failed_spans: Counter,
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
    /// Spans removed because their time was over.
    pub expired_spans: Counter,
}
