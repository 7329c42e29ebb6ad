//! The archive beside the store: a store of its own, who writes to it, and who keeps it in order.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::ingest::{Archive, DrainCounts, Ingest, Upkeep};
use crate::model::Clock;
use crate::query::Query;
use crate::store::{Settings, Store};

/// Memory for pages and pieces of it: it is read now and then.
const CACHE_BYTES: usize = 4 << 20;

/// The running archive.
#[derive(Debug)]
pub(super) struct Archived {
    store: Arc<Store>,
    archive: Archive,
    ingest: Arc<Ingest>,
    query: Arc<Query>,
    upkeep: Upkeep,
}

impl Archived {
    /// Opens it in its folder. It may take what pinned traces may, a part of what the store may.
    pub(super) fn open(
        folder: &Path,
        beside: &Store,
        ingest: &Ingest,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let store = Arc::new(Store::open(folder, &Settings::for_good(CACHE_BYTES), clock.now())?);
        let archive = Archive::start(Arc::clone(&store), beside.bytes_beside(), Arc::clone(clock))
            .context("start the archive's thread")?;
        let upkeep = Upkeep::start(Arc::clone(&store), Arc::clone(clock), Arc::new(DrainCounts::default()))
            .context("start the archive's upkeep")?;
        let ingest = Arc::new(ingest.into_archive(archive.clone()));
        let query = Arc::new(Query::new(Arc::clone(&store)));
        Ok(Self { store, archive, ingest, query, upkeep })
    }

    /// The way in.
    pub(super) fn ingest(&self) -> Arc<Ingest> {
        Arc::clone(&self.ingest)
    }

    /// Who writes.
    pub(super) fn archive(&self) -> Archive {
        self.archive.clone()
    }

    /// Where it is.
    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The way out.
    pub(super) fn query(&self) -> Arc<Query> {
        Arc::clone(&self.query)
    }

    /// Writes what was taken, and ends.
    pub(super) fn close(self) {
        self.archive.close();
        drop(self.upkeep);
    }
}
