//! What is too damaged to be opened is set aside, so that the server starts by itself.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::model::{Clock, Timestamp};
use crate::store::{self, Store};

use super::folder::DataFolder;

/// Damaged stores that are kept for somebody to look at; older ones are removed.
const KEPT: usize = 2;

const QUARANTINE: &str = "quarantine";
const PREFIX: &str = "blocks-";

/// Opens the store. A damaged one is moved to `quarantine/` and a new one begun: what the buffer still holds is
/// stored anew. A store of a later version, or one that this user may not read, is whole and stays.
pub(super) fn open_store(
    data: &DataFolder,
    settings: &store::Settings,
    clock: &dyn Clock,
) -> anyhow::Result<Store> {
    let blocks = data.join("blocks");
    let damage = match probed(&blocks, settings) {
        Err(error) if error.is_damage() => error,
        opened => return Ok(opened?),
    };
    let aside = set_aside(&blocks, data, clock.now()).context("set the damaged store aside")?;
    tracing::error!(
        error = %format!("{:#}", anyhow::Error::from(damage)),
        kept = %aside.display(),
        "the store is damaged; it was set aside and a new one begun, spans that only it held are not shown"
    );
    Ok(Store::open(&blocks, settings)?)
}

/// Asked once at the start, so that damage behind a sound header shows while it can be set aside.
fn probed(blocks: &Path, settings: &store::Settings) -> Result<Store, store::Error> {
    let store = Store::open(blocks, settings)?;
    store.status()?;
    store.cursor([0; 16], 0)?;
    Ok(store)
}

/// Damaged stores that are kept.
pub(super) fn count(data: &DataFolder) -> usize {
    kept(data).map_or(0, |kept| kept.len())
}

/// Ours only; what else somebody put there stays. Named by time, so the oldest come first.
fn kept(data: &DataFolder) -> io::Result<Vec<PathBuf>> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(PREFIX) && path.is_dir()
    };
    let mut kept: Vec<_> = fs::read_dir(data.join(QUARANTINE))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(ours)
        .collect();
    kept.sort();
    Ok(kept)
}

fn set_aside(blocks: &Path, data: &DataFolder, now: Timestamp) -> io::Result<PathBuf> {
    let quarantine = data.join(QUARANTINE);
    fs::create_dir_all(&quarantine)?;
    let mut kept = kept(data)?;
    kept.truncate((kept.len() + 1).saturating_sub(KEPT));
    for path in &kept {
        if let Err(error) = fs::remove_dir_all(path) {
            tracing::warn!(%error, path = %path.display(), "an older damaged store could not be removed");
        }
    }
    let aside = quarantine.join(format!("{PREFIX}{:020}", now.millis()));
    fs::rename(blocks, &aside)?;
    // The names must be as durable as what is stored anew.
    File::open(&quarantine)?.sync_all()?;
    File::open(data.join(""))?.sync_all()?;
    Ok(aside)
}
