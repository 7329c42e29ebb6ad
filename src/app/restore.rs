//! `tracelodge restore`: the store of a backup, where there is none.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::Context as _;

use super::folder::DataFolder;
use super::{Config, backup, say};
use crate::store;

/// What to restore; where to is the data folder.
#[derive(Debug, Clone, clap::Args)]
pub struct Restore {
    /// A file that `tracelodge backup` has written
    pub file: PathBuf,
}

/// Puts the store into the data folder and says what it holds.
pub(super) fn run(restore: &Restore, config: &Config) -> anyhow::Result<()> {
    let (from, folder) = (restore.file.display(), &config.data_dir);
    let attempt = || format!("restore {from}");
    let file = File::open(&restore.file).with_context(attempt)?;
    let mut held = DataFolder::take(folder)?;
    held.introduce(None, None).context("write who holds the data folder")?;
    let manifest = store::restore(BufReader::new(file), folder).with_context(attempt)?;
    let said = format!("restored to {}: {}", folder.display(), backup::described(&manifest));
    say(&mut std::io::stdout(), &said);
    Ok(())
}
