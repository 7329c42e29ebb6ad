//! `tracelodge backup`: everything that is stored, in one file that is whole or not there.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::Method;
use http_body_util::BodyExt as _;

use super::folder::{self, DataFolder};
use super::{ARCHIVE, Config, SystemClock, VERSION, ask, say, status};
use crate::buffer::Buffer;
use crate::model::{Clock, Timestamp};
use crate::serve::admin::WriteBackup;
use crate::store::{Manifest, Settings, Store, check_backup, is_store, store_files};

/// Between two pieces of a backup: longer than a server waits for the disk.
const GO_ON_WITHIN: Duration = Duration::from_secs(120);

/// What is in the buffer when a backup is asked for has this long to reach the store …
const TAKE_WITHIN: Duration = Duration::from_secs(10);

/// … and it is looked at as often.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The buffer's consumer that carries into the store.
const STORE: &str = "store";

/// Where to put a backup, and whose.
#[derive(Debug, Clone, clap::Args)]
pub struct Backup {
    /// The file to write, a tar; it gets this name when it is whole and on the disk
    pub file: PathBuf,

    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,

    /// The admin door of a running server, such as localhost:14269, with https:// before it if it speaks TLS; unless
    /// given, whoever runs on the data folder is asked, and where nobody does its files are copied
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
}

/// Where a backup comes from.
enum Origin {
    Server(String),
    Stopped(DataFolder),
}

/// Makes the backup and says what is in it.
pub(super) fn run(backup: &Backup, config: &Config) -> anyhow::Result<()> {
    let file = backup.file.display();
    if backup.file.exists() && !backup.force {
        bail!("write {file}: it is there already; --force writes over it");
    }
    let origin = origin(backup, config).with_context(|| format!("back up to {file}"))?;
    let partial = with_suffix(&backup.file, ".tmp");
    let written = write(origin, config, &partial).and_then(|manifest| {
        fs::rename(&partial, &backup.file).context("give it its name")?;
        sync_folder_of(&backup.file).context("give it its name for good")?;
        Ok(manifest)
    });
    if written.is_err() {
        // The error that is told is the first.
        let _left_behind = fs::remove_file(&partial);
    }
    let manifest = written.with_context(|| format!("back up to {file}"))?;
    say(&mut std::io::stdout(), &format!("wrote {file}: {}", described(&manifest)));
    Ok(())
}

/// In words for people.
pub(super) fn described(manifest: &Manifest) -> String {
    let missing = match manifest.left_in_buffer() {
        0 => String::new(),
        spans => format!("; WITHOUT {spans} spans that waited in the buffer: the store did not keep up"),
    };
    let archived = match manifest.archived_spans() {
        0 => String::new(),
        spans => format!(" and {spans} that are archived"),
    };
    format!(
        "{} spans in {} blocks{archived}, {}; everything that was stored until {}{missing}",
        manifest.spans(),
        manifest.blocks(),
        status::bytes(manifest.bytes()),
        status::moment(manifest.until())
    )
}

fn origin(backup: &Backup, config: &Config) -> anyhow::Result<Origin> {
    if let Some(address) = &backup.address {
        return Ok(Origin::Server(address.clone()));
    }
    let folder = &config.data_dir;
    // Only what is there is opened: a folder that is made for it would be a backup of nothing.
    let files = store_files(folder).with_context(|| format!("look into {}", folder.display()))?;
    if files.is_empty() && !is_store(folder) {
        bail!(
            "find a store in {}; name the data folder with --data-dir, or a server with --address",
            folder.display()
        );
    }
    match DataFolder::take(folder) {
        Ok(folder) => Ok(Origin::Stopped(folder)),
        Err(folder::Error::Held { admin: Some(admin), .. }) => Ok(Origin::Server(admin)),
        Err(folder::Error::Held { holder, .. }) => {
            bail!(
                "ask {holder}: it has no admin door (doors.admin), or does not serve; switch it on, or wait for its end"
            )
        }
        Err(error) => Err(error.into()),
    }
}

fn write(origin: Origin, config: &Config, partial: &Path) -> anyhow::Result<Manifest> {
    let at = || format!("write {}", partial.display());
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(partial).with_context(at)?;
    match origin {
        Origin::Server(address) => {
            let door = ask::Door::new(&address, config)?;
            ask::wait_for(receive(&door, &file, partial))?;
        }
        Origin::Stopped(folder) => {
            let mut folder = folder;
            folder.introduce(None, None).context("write who holds the data folder")?;
            write_at_rest(&folder, config, &file)?;
        }
    }
    file.sync_all().with_context(at)?;
    // Only what can be read back is a backup.
    let file = File::open(partial).with_context(at)?;
    Ok(check_backup(file)?)
}

fn write_at_rest(folder: &DataFolder, config: &Config, file: &File) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let store = open_whole(&folder.join(""), &config.store, now)?;
    let mut backup = store.backup_at_rest(now)?;
    let path = folder.join(ARCHIVE);
    if !store_files(&path)?.is_empty() {
        let settings = Settings::for_good(config.store.cache_bytes);
        backup = backup.with_archived(open_whole(&path, &settings, now)?.backup_at_rest(now)?);
    }
    backup.write(BufWriter::new(file), VERSION)?;
    Ok(())
}

fn open_whole(folder: &Path, settings: &Settings, now: Timestamp) -> anyhow::Result<Store> {
    let quarantine = folder.join("quarantine");
    let before = names_in(&quarantine);
    let store = Store::open(folder, settings, now)?;
    if names_in(&quarantine).difference(&before).next().is_some() {
        bail!(
            "open it whole: what is too damaged is now in {}; another backup is of the rest",
            quarantine.display()
        );
    }
    Ok(store)
}

/// None where there is no such folder.
fn names_in(folder: &Path) -> HashSet<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect()
}

async fn receive(door: &ask::Door, mut file: &File, partial: &Path) -> anyhow::Result<()> {
    let answer = door.ask(Method::POST, "/backup").await?;
    let mut body = answer.into_body();
    loop {
        let frame = tokio::time::timeout(GO_ON_WITHIN, body.frame()).await;
        let Some(frame) = frame.context("have the rest of it: the server sends nothing more")? else {
            return Ok(());
        };
        let frame = frame.context("have the rest of it: the server ended, or broke off and logged why")?;
        if let Ok(bytes) = frame.into_data() {
            file.write_all(&bytes).with_context(|| format!("write {}", partial.display()))?;
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// An error with its causes.
fn in_words(error: anyhow::Error) -> String {
    format!("could not {error:#}")
}

/// The server's side: waits for what was accepted before, begins a new block, and copies those before that.
pub(super) fn writing(
    store: Arc<Store>,
    archived: Arc<Store>,
    buffer: Buffer,
    clock: Arc<dyn Clock>,
) -> WriteBackup {
    Arc::new(move |out: &mut dyn Write| {
        let left_in_buffer = wait_until_taken(&buffer, TAKE_WITHIN);
        if left_in_buffer > 0 {
            tracing::warn!(
                spans = left_in_buffer,
                "a backup is without what waits in the buffer: the store does not keep up"
            );
        }
        let now = clock.now();
        let hold = |store: &Store| store.backup(now).map_err(|error| in_words(error.into()));
        let held = hold(&store)?.without(left_in_buffer);
        let held = if archived.is_empty() { held } else { held.with_archived(hold(&archived)?) };
        let manifest = held.write(out, VERSION).map_err(|error| in_words(error.into()))?;
        tracing::info!(
            blocks = manifest.blocks(),
            spans = manifest.spans(),
            bytes = manifest.bytes(),
            "gave a backup"
        );
        Ok(())
    })
}

/// Waits until the store has what the buffer holds for it now; how many spans wait still when that takes too long.
pub(super) fn wait_until_taken(buffer: &Buffer, within: Duration) -> u64 {
    // Requests that the store is done with, those that it has still to take, and their spans.
    let counts = || {
        let stats = buffer.stats().consumers.into_iter().find(|consumer| consumer.name == STORE)?;
        let done = stats.released.frames + stats.dropped.total().frames;
        Some((done, stats.pending.frames, stats.pending.items))
    };
    let (deadline, first) = (Instant::now() + within, counts());
    let goal = first.map_or(0, |(done, pending, _)| done + pending);
    while let Some((_, _, spans)) = counts().filter(|(done, ..)| *done < goal) {
        if Instant::now() >= deadline {
            return spans;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    0
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::buffer::{Environment, FileStorageConfig, HostClock, Signal};

    #[test]
    fn what_the_store_has_not_taken_in_time_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::host(Arc::new(HostClock));
        let settings = FileStorageConfig::appliance();
        let (buffer, _) = Buffer::open(folder.path(), Signal::Traces, settings, environment).unwrap();
        let _store = buffer.external_consumer(STORE, None).unwrap();
        assert_eq!(wait_until_taken(&buffer, Duration::ZERO), 0);
        let (told, hears) = std::sync::mpsc::sync_channel(1);
        for items in [3, 4] {
            let told = told.clone();
            buffer.append(Bytes::from_static(b"spans"), items, move |done| told.send(done.unwrap()).unwrap());
        }
        assert_eq!(hears.iter().take(2).count(), 2);
        assert_eq!(wait_until_taken(&buffer, Duration::ZERO), 7);
    }
}
