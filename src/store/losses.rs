//! What could not be read, or was not kept: counted, and said ever more rarely.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::engine::Definition;
use crate::store::seal::Damaged;

/// Counts what could not be read or was not kept, and says so in the log ever more rarely.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) damaged_rows: AtomicU64,
    pub(super) left_out: AtomicU64,
    pub(super) unchecked: AtomicU64,
}

impl Losses {
    /// What was read, or `None` and one more on the count.
    pub(super) fn step_over<T>(&self, table: Definition, read: Result<T, Damaged>) -> Option<T> {
        if read.is_err() {
            let count = self.damaged_rows.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_power_of_two() {
                let table = redb::TableHandle::name(&table);
                tracing::warn!(table, count, "left out a damaged row of the span store");
            }
        }
        read.ok()
    }

    /// A row was not written because its table has as many as it may have.
    pub(super) fn leave_out(&self, table: Definition, most: u64) {
        let count = self.left_out.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            let table = redb::TableHandle::name(&table);
            tracing::warn!(table, most, count, "left out a name or a call: its table is full");
        }
    }

    /// Late spans of pinned traces are not kept longer than others.
    pub(super) fn leave_uncopied(&self, spans: u64, error: &crate::store::Error) {
        let before = self.left_out.fetch_add(spans, Ordering::Relaxed);
        let count = before + spans;
        if before.checked_ilog2() != count.checked_ilog2() {
            let error = error as &(dyn std::error::Error + 'static);
            tracing::warn!(error, count, "late spans of pinned traces are not kept for good");
        }
    }

    /// A block could not be read.
    pub(super) fn damaged_block(&self, block: &str, error: &crate::store::Error) {
        let count = self.damaged_rows.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            let error = error as &(dyn std::error::Error + 'static);
            tracing::warn!(block, count, error, "left out what a damaged part of the span store holds");
        }
    }

    /// A trace was not looked for in a run, because too much was read for its batch.
    pub(super) fn leave_unchecked(&self) {
        let count = self.unchecked.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(count, "did not look whether the spans of a trace are stored already");
        }
    }
}
