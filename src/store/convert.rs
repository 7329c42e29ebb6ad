//! What the first format's file holds, taken over: once, when a newer version starts.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::Timestamp;
use crate::store::files::BLOCKS;
use crate::store::schema::CURSOR;
use crate::store::{Cursor, Error, Store, key, literal};

/// The first format's file.
pub(super) const OLD: &str = "blocks/spans.redb";

/// The buffer that its batches seem to come from, so that a start that was cut off is gone on with.
const CONVERSION: [u8; 16] = *b"format 1 to 2 \0\0";

/// Memory for its pages.
const CACHE_BYTES: usize = 16 << 20;

impl Store {
    /// Stores what an old file holds, as if it came now, and removes the file. A damaged one is set aside.
    pub(super) fn take_over_format_1(&self, now: Timestamp) -> Result<(), Error> {
        if !self.blocks.files().exists(OLD) {
            return self.forget_conversion(now);
        }
        tracing::info!("taking over the spans that the first format's file holds");
        match self.convert(now) {
            Ok(spans) => {
                tracing::info!(spans, "took over the first format's file");
                let removed = self.blocks.files().remove(OLD);
                removed.map_err(|source| Error::File { path: self.old_path(), source })?;
            }
            Err(error) if error.is_damage() => self.blocks.set_aside(OLD, &error, now)?,
            Err(error) => return Err(error),
        }
        self.forget_conversion(now)
    }

    /// Once the file is gone: how far it was taken over says nothing about another one that an older version, run for
    /// a while, may leave.
    fn forget_conversion(&self, now: Timestamp) -> Result<(), Error> {
        let Some(active) = self.blocks.active() else { return Ok(()) };
        if self.cursor(CONVERSION, 0)?.is_none() {
            return Ok(());
        }
        let active = if active.is_known_sound() {
            active
        } else {
            self.roll(now)?;
            self.blocks.active().expect("one was begun just now")
        };
        active.commit(&self.losses, |transaction, runs| {
            transaction.open_table(CURSOR)?.remove(&key::cursor(CONVERSION, 0)[..])?;
            Ok(((), Arc::clone(runs)))
        })
    }

    fn old_path(&self) -> PathBuf {
        self.blocks.files().path(OLD)
    }

    fn convert(&self, now: Timestamp) -> Result<u64, Error> {
        let settings =
            literal::Settings { cache_bytes: CACHE_BYTES, max_age: self.blocks.settings().max_age };
        let old = literal::Store::open(&self.blocks.files().path(BLOCKS), &settings)?;
        let done = self.cursor(CONVERSION, 0)?.unwrap_or(0);
        // The same batches at every attempt: they are told apart by their number alone.
        let most = (self.sizes.conversion_spans, self.sizes.conversion_bytes);
        let (mut sequence, mut after, mut spans) = (0, None, 0);
        loop {
            let batch = old.spans_after(after, most)?;
            let Some(last) = batch.last() else { break };
            after = Some(literal::Identity::of(last));
            sequence += 1;
            spans += batch.len() as u64;
            if sequence > done {
                self.append(&batch, &Cursor { buffer: CONVERSION, signal: 0, sequence }, now)?;
            }
        }
        let mut after = None;
        loop {
            let batch = old.pinned_after(after, most)?;
            let Some(last) = batch.last() else { break };
            after = Some(literal::Identity::of(last));
            for trace in batch.chunk_by(|one, other| one.trace_id == other.trace_id) {
                self.archive.add(&self.snapshot()?, trace.to_vec(), Some((trace[0].trace_id, now)))?;
            }
        }
        for cursor in old.cursors()? {
            self.append(&[], &cursor, now)?;
        }
        Ok(spans)
    }
}
