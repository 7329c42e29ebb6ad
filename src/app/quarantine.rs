//! What is too damaged to be opened is set aside, so that the server starts by itself.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use crate::model::{Clock, Timestamp};
use crate::store::{self, Store};

use super::folder::DataFolder;

/// Damaged stores that are kept for somebody to look at; older ones are removed.
const KEPT: usize = 2;

/// Opens the store. A damaged one is moved to `quarantine/` and a new one begun: what the buffer still holds is
/// stored anew. A store of a later version, or one that this user may not read, is whole and stays.
pub(super) fn open_store(
    data: &DataFolder,
    settings: &store::Settings,
    clock: &dyn Clock,
) -> anyhow::Result<Store> {
    let blocks = data.join("blocks");
    // Asked once, so that damage behind a sound header shows now.
    let opened = Store::open(&blocks, settings).and_then(|store| store.status().map(|_status| store));
    let damage = match opened {
        Err(error) if error.is_damage() => error,
        opened => return Ok(opened?),
    };
    let aside =
        set_aside(&blocks, &data.join("quarantine"), clock.now()).context("set the damaged store aside")?;
    tracing::error!(
        error = %format!("{:#}", anyhow::Error::from(damage)),
        kept = %aside.display(),
        "the store is damaged; it was set aside and a new one begun, spans that only it held are not shown"
    );
    Ok(Store::open(&blocks, settings)?)
}

fn set_aside(folder: &Path, quarantine: &Path, now: Timestamp) -> io::Result<std::path::PathBuf> {
    fs::create_dir_all(quarantine)?;
    let mut names: Vec<_> = fs::read_dir(quarantine)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // Named by time, so the oldest come first.
    names.sort();
    let old = names.len().saturating_sub(KEPT - 1);
    for path in &names[..old] {
        fs::remove_dir_all(path)?;
    }
    let aside = quarantine.join(format!("blocks-{:020}", now.millis()));
    fs::rename(folder, &aside)?;
    // Until both are synced, a power cut may bring the damaged store back.
    for changed in [Some(quarantine), folder.parent()].into_iter().flatten() {
        fs::File::open(changed)?.sync_all()?;
    }
    Ok(aside)
}
