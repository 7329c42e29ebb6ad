//! What can go wrong at rest.

use std::io;
use std::path::PathBuf;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or file cannot be made or looked at.
    #[error("use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be opened: it is damaged, no database, or in use by another process.
    #[error("open the span store {path}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<redb::DatabaseError>,
    },
    /// A later version wrote the file.
    #[error(
        "open the span store {path}: its format is {found}, this version knows formats up to {known}; \
             start the version that wrote it, or a later one"
    )]
    NewerFormat {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The file holds tables, but its format number is not readable.
    #[error("open the span store {path}: its format number is damaged")]
    DamagedFormat {
        /// Which.
        path: PathBuf,
    },
    /// The file was damaged before this program started: what is written to it might do more harm.
    #[error("write to {path}: it is damaged, and only read")]
    OnlyRead {
        /// Which.
        path: PathBuf,
    },
    /// No more can be pinned.
    #[error(
        "keep a trace for good: those that are kept take {limit} bytes or more, a quarter of store.max_bytes"
    )]
    ArchiveFull {
        /// What they may take.
        limit: u64,
    },
    /// redb could not do it.
    #[error("use the span store")]
    Engine(#[source] Box<redb::Error>),
    /// What is to be written could not be read again.
    #[error("use the span store: {found} {what}, above {most}")]
    TooLarge {
        /// Of what there is too much.
        what: &'static str,
        /// How much.
        found: usize,
        /// How much there may be.
        most: usize,
    },
    /// redb panicked.
    #[error("use the span store: the engine panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// Whether the file itself is what is wrong, so that only another file can help.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::DamagedFormat { .. } | Self::OnlyRead { .. } | Self::Panicked(_) => true,
            Self::Open { source, .. } => match source.as_ref() {
                redb::DatabaseError::Storage(error) => is_damage(error),
                redb::DatabaseError::RepairAborted => true,
                // No file was ever written in an older format of redb's: what says so was changed.
                redb::DatabaseError::UpgradeRequired(_) => true,
                _ => false,
            },
            Self::Engine(error) => is_damage_met(error),
            Self::File { .. }
            | Self::NewerFormat { .. }
            | Self::TooLarge { .. }
            | Self::ArchiveFull { .. } => false,
        }
    }

    /// Whether there was no space on the disk, or none that this process may have.
    pub fn is_no_space(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let source = match self {
            Self::File { source, .. } => Some(source),
            Self::Open { source, .. } => match source.as_ref() {
                redb::DatabaseError::Storage(redb::StorageError::Io(error)) => Some(error),
                _ => None,
            },
            Self::Engine(error) => match error.as_ref() {
                redb::Error::Io(error) => Some(error),
                _ => None,
            },
            Self::NewerFormat { .. }
            | Self::DamagedFormat { .. }
            | Self::OnlyRead { .. }
            | Self::TooLarge { .. }
            | Self::ArchiveFull { .. }
            | Self::Panicked(_) => None,
        };
        source.is_some_and(|error| matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// Whether the file could not be read, for other reasons than what stands in it: the disk fails, or it is not there.
    pub(super) fn is_failed_read(&self) -> bool {
        let is_io = match self {
            Self::Open { source, .. } => {
                matches!(source.as_ref(), redb::DatabaseError::Storage(redb::StorageError::Io(_)))
            }
            Self::Engine(error) => matches!(error.as_ref(), redb::Error::Io(_)),
            _ => false,
        };
        (is_io || self.is_echo()) && !self.is_no_space()
    }

    /// Whether this only tells of a failure that another call met: the file was closed, and the next call opens it.
    pub(super) fn is_echo(&self) -> bool {
        let Self::Engine(error) = self else { return false };
        matches!(**error, redb::Error::DatabaseClosed | redb::Error::PreviousIo)
    }

    /// Whether redb must be opened anew after this.
    pub(super) fn ends_the_handle(&self) -> bool {
        let Self::Engine(error) = self else { return matches!(self, Self::Panicked(_)) };
        matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::LockPoisoned(_))
    }
}

/// A file that ends too early, or is none of redb's, is reported as an I/O error of these kinds.
fn is_damage(error: &redb::StorageError) -> bool {
    match error {
        redb::StorageError::Corrupted(_) => true,
        redb::StorageError::Io(error) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

/// All tables are made with the file and never changed: one that is missing, or another, was damaged.
fn is_damage_met(error: &redb::Error) -> bool {
    use redb::Error::{
        Corrupted, Io, TableDoesNotExist, TableIsMultimap, TableTypeMismatch, TypeDefinitionChanged,
    };
    match error {
        Corrupted(_)
        | TableDoesNotExist(_)
        | TableIsMultimap(_)
        | TableTypeMismatch { .. }
        | TypeDefinitionChanged { .. } => true,
        Io(error) => matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
        _ => false,
    }
}

macro_rules! from_engine {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Error {
            fn from(error: redb::$error) -> Self {
                Self::Engine(Box::new(error.into()))
            }
        })*
    };
}

from_engine!(StorageError, TableError, TransactionError, CommitError, CompactionError);
