//! How much clients are told to sample: the strategies file, read at the start and whenever it is another.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Config;
use super::listen::Serving;
use super::{named_file, watched};
use crate::serve::sampling::{self, Current, MAX_FILE_BYTES, Strategies};

/// Why there are no strategies.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Missing, not readable, or longer than anybody writes.
    #[error("read sampling.strategies_file = {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Not of this machine.
    #[error("read sampling.strategies_file = {}: write the path of a file, addresses are not asked", path.display())]
    Address { path: PathBuf },
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
        serving.keep(file.watch(self.current()));
    }
}

impl Followed {
    async fn watch(mut self, current: Arc<Current>) {
        watched::watch(vec![self.path.clone()], || self.read_again(&current)).await;
    }

    /// What cannot be used changes nothing.
    fn read_again(&mut self, current: &Current) {
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
    let path = path.to_owned();
    if path.to_string_lossy().contains("://") {
        return Err(Error::Address { path });
    }
    let text = named_file::open(&path).and_then(|file| named_file::read(file, MAX_FILE_BYTES));
    text.map_err(|source| Error::Read { path, source })
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
