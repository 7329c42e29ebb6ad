//! Emptying a store while it is used: everything that was written before goes.

use crate::model::Timestamp;
use crate::store::{Error, Store};

impl Store {
    /// Removes all spans, pinned ones too, and what was counted and listed of them. What is appended later is kept; the
    /// buffer's cursor stays where it is. A crash on the way leaves some of it.
    pub fn purge(&self, now: Timestamp) -> Result<(), Error> {
        let _between_merges = self.merging.lock();
        let mut appender = self.appender.lock();
        if self.blocks.active().is_some() {
            appender.begin_empty(self, now)?;
        }
        let dropped = self.blocks.drop_sealed()?;
        self.archive.purge(&self.losses)?;
        self.cache.clear();
        tracing::info!(spans = dropped, "the store was emptied");
        Ok(())
    }
}
