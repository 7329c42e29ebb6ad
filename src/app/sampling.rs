//! How much clients are told to sample: the strategies file, read at the start and whenever it is another.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Config;
use super::listen::Serving;
use super::watched;
use crate::serve::sampling::{self, Current, MAX_FILE_BYTES, Strategies};

/// Why there are no strategies.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Missing, or not readable.
    #[error("read sampling.strategies_file = {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A folder, or something that has no end.
    #[error("read sampling.strategies_file = {}: it is not a file", path.display())]
    NotAFile { path: PathBuf },
    /// Not of this machine.
    #[error("read sampling.strategies_file = {}: write the path of a file, addresses are not asked", path.display())]
    Address { path: PathBuf },
    /// Longer than anybody writes.
    #[error("read sampling.strategies_file = {}: it has more than {} MiB", path.display(), MAX_FILE_BYTES >> 20)]
    TooLarge { path: PathBuf },
    /// Of no use.
    #[error("use sampling.strategies_file = {}", path.display())]
    Unusable { path: PathBuf, source: sampling::Error },
}

/// The strategies, and the file they came from.
#[derive(Debug, Default)]
pub(super) struct Sampling {
    current: Arc<Current>,
    file: Option<Followed>,
}

/// A file whose text is known.
#[derive(Debug)]
struct Followed {
    path: PathBuf,
    text: Vec<u8>,
}

impl Sampling {
    /// Reads the file, if there is one.
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let Some(path) = &config.strategies_file else { return Ok(Self::default()) };
        let text = read(path)?;
        let current = Arc::new(Current::new(meant(path, &text)?));
        Ok(Self { current, file: Some(Followed { path: path.clone(), text }) })
    }

    /// The strategies, which may be others later.
    pub(super) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current)
    }

    /// Has them follow the file for as long as doors are served.
    pub(super) fn follow(&mut self, serving: &mut Serving) {
        let Some(file) = self.file.take() else { return };
        let mut ending = serving.ending();
        let watch = file.watch(self.current());
        serving.run(async move {
            tokio::select! { () = watch => {}, _ = ending.wait_for(|ending| *ending) => {} }
        });
    }
}

impl Followed {
    async fn watch(self, current: Arc<Current>) {
        let files = vec![self.path.clone()];
        let followed = Mutex::new(self);
        let look = || followed.lock().look_again(&current);
        let watching = watched::watch(files, look);
        // It may have changed since the start, which can take a while.
        look();
        watching.await;
    }

    /// What cannot be used changes nothing.
    fn look_again(&mut self, current: &Current) {
        match self.changed() {
            Ok(None) => {}
            Ok(Some(strategies)) => {
                current.set(strategies);
                tracing::info!(file = %self.path.display(), "clients are told to sample as the changed file says");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "clients are told to sample as before");
            }
        }
    }

    fn changed(&mut self) -> Result<Option<Strategies>, Error> {
        let text = read(&self.path)?;
        if text == self.text {
            return Ok(None);
        }
        let strategies = meant(&self.path, &text)?;
        self.text = text;
        Ok(Some(strategies))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let at = || path.to_owned();
    let failed = |source| Error::Read { path: at(), source };
    if path.to_string_lossy().contains("://") {
        return Err(Error::Address { path: at() });
    }
    // What is no file may take its time to be opened, for ever even.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::NotAFile { path: at() });
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::TooLarge { path: at() });
    }
    Ok(text)
}

/// What is doubtful goes to the log.
fn meant(path: &Path, text: &[u8]) -> Result<Strategies, Error> {
    let read = Strategies::parse(text);
    let read = read.map_err(|source| Error::Unusable { path: path.to_owned(), source })?;
    for doubt in read.doubts {
        tracing::warn!(file = %path.display(), "{doubt}");
    }
    Ok(read.strategies)
}
