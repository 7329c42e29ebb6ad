//! `tracelodge verify`: everything that is stored is read once, and what is damaged is named.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::folder::DataFolder;
use super::{Config, backup, say};
use crate::store::{self, Damage, Found, Tally};

/// How often it is said how far it is.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Damages that are named one by one; more of a file's are counted only.
const MAX_NAMED: u64 = 1_000;

/// What to read.
#[derive(Debug, Clone, clap::Args)]
pub struct Verify {
    /// A data folder that no server runs on, or a backup; unless given, the data folder of the settings
    #[arg(value_name = "FOLDER|FILE")]
    pub path: Option<PathBuf>,
}

/// Reads all of it; an error when something is damaged.
pub(super) fn run(verify: &Verify, config: &Config) -> anyhow::Result<()> {
    let path = verify.path.as_ref().unwrap_or(&config.data_dir);
    let shown = path.display();
    let attempt = || format!("verify {shown}");
    let about = fs::metadata(path).with_context(attempt)?;
    let total = if about.is_dir() { folder(path) } else { tar(path) }.with_context(attempt)?;
    if total.damages > 0 {
        bail!(
            "find {shown} sound: {} damages, {} spans that cannot be read; {} can",
            total.damages,
            total.lost_spans,
            total.spans
        );
    }
    let Tally { runs, chunks, spans, rows, .. } = total;
    say_out(&format!("sound: {spans} spans, {rows} rows, {runs} runs, {chunks} chunks"));
    Ok(())
}

fn say_out(line: &str) {
    say(&mut std::io::stdout(), line);
}

fn folder(folder: &Path) -> anyhow::Result<Tally> {
    let files = store::store_files(folder)?;
    if files.is_empty() && !store::is_store(folder) {
        bail!("find a store in it");
    }
    if files.iter().any(|name| store::is_first_format(name)) {
        bail!("read what is of the first format: start the server once, which takes it over, then verify");
    }
    let mut held = DataFolder::take(folder)?;
    held.introduce(None, None).context("write who holds the data folder")?;
    let mut total = Tally::default();
    for name in files {
        total.add(&file(&name, &folder.join(&name))?);
    }
    Ok(total)
}

/// Its own checksums, and then every file of it, one at a time beside the backup.
fn tar(path: &Path) -> anyhow::Result<Tally> {
    let beside = Unpacked::beside(path);
    let reader = BufReader::new(File::open(path)?);
    let mut total = Tally::default();
    let mut failed = None;
    let manifest = store::unpack(reader, &beside.0, &mut |name, path| {
        match file(name, path) {
            Ok(tally) => total.add(&tally),
            Err(error) => failed = failed.take().or(Some(error)),
        }
        // Only one is there at a time.
        fs::remove_file(path).map_err(|source| store::BackupError::Copy { name: name.to_owned(), source })
    })?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    say_out(&format!("a backup: {}", backup::described(&manifest)));
    Ok(total)
}

/// A folder that goes with this.
struct Unpacked(PathBuf);

impl Unpacked {
    fn beside(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".verify-{}.tmp", std::process::id()));
        Self(name.into())
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // Nothing can be done about it here, and its name says what it is.
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

fn file(name: &str, path: &Path) -> anyhow::Result<Tally> {
    let (mut said, mut named) = (Instant::now(), 0);
    let tally = store::verify(path, &mut |found| match found {
        Found::Damage(damage) => {
            named += 1;
            match named {
                1..=MAX_NAMED => say_out(&format!("damaged: {name}: {}", in_words(damage))),
                _ if named == MAX_NAMED + 1 => {
                    say_out(&format!("damaged: {name}: there is more; it is only counted"));
                }
                _ => {}
            }
        }
        Found::Progress(tally) => {
            if said.elapsed() >= SAID_EVERY {
                said = Instant::now();
                say_out(&format!("{name}: {} spans so far", tally.spans));
            }
        }
    })?;
    let Tally { runs, chunks, spans, rows, damages, repaired, .. } = tally;
    let outcome = if damages == 0 { "sound".to_owned() } else { format!("{damages} damages") };
    let note = if repaired { "; it was not closed in order: the next start repairs that" } else { "" };
    say_out(&format!("{name}: {spans} spans, {rows} rows, {runs} runs, {chunks} chunks: {outcome}{note}"));
    Ok(tally)
}

fn in_words(damage: &Damage) -> String {
    let Damage { table, key, what, cost } = damage;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let place = match (table, hex.as_str()) {
        (None, _) => String::new(),
        (Some(table), "") => format!("{table}: "),
        (Some(table), hex) => format!("{table} {hex}: "),
    };
    format!("{place}{what}; {cost}")
}
