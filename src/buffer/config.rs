//! The knobs of the disk buffer, what they mean, and which values make no sense together.

use std::time::Duration;

use crate::buffer::frame;
use crate::buffer::identity;
use crate::buffer::segment;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The longest time that a group may wait for company.
const MAX_LINGER: Duration = Duration::from_secs(1);
/// The longest time that what is answered may stay unsynced: later the system has written it anyhow.
const MAX_SYNC_INTERVAL: Duration = Duration::from_secs(60);

/// When an append is answered, and so what an answer is worth. SIGKILL costs nothing in any mode: what is answered is
/// with the system. What a power cut costs is said for each.
///
/// A sync that has failed is never tried again on the same file: the next one would succeed and keep nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Answered when written. Nothing is synced by the writer, neither frames nor finished files nor names: a power cut
    /// takes what the system has not written by itself, about half a minute. As the original does.
    Relaxed,
    /// Answered when written, and synced no later than so long after the oldest unsynced write: a power cut takes that
    /// much. If the sync fails, what it was to keep stays as it is, in a file of its own, and nothing is promised for it.
    Interval(Duration),
    /// Answered when synced; appends that come while one group is synced share the next sync. A power cut takes nothing.
    GroupCommit {
        /// How long the first append of a group waits for company. Zero, unless a sync takes tens of milliseconds.
        linger: Duration,
    },
    /// Answered when synced, by a write and a sync of its own. A power cut takes nothing.
    EachWrite,
}

impl Durability {
    fn check(self) -> Result<(), InvalidSetting> {
        match self {
            Self::Interval(given) if given < Duration::from_millis(1) || given > MAX_SYNC_INTERVAL => {
                Err(InvalidSetting::SyncInterval { given, most: MAX_SYNC_INTERVAL })
            }
            Self::GroupCommit { linger } if linger > MAX_LINGER => {
                Err(InvalidSetting::Linger { given: linger, most: MAX_LINGER })
            }
            _ => Ok(()),
        }
    }
}

/// How one signal's buffer behaves. Sizes count every byte of a file: headers, padding and footer included.
///
/// The first six carry the names and, in [`FileStorageConfig::default`], the documented values of OpenTelemetry Java's
/// disk-buffering (`FileStorageConfiguration`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStorageConfig {
    /// Bytes a file may reach before the next one is begun; also bounds one payload.
    pub max_file_size: u64,
    /// Bytes the folder may reach, files of all kinds together; never exceeded.
    pub max_folder_size: u64,
    /// How long one file is written to. An older one is sealed even if nothing more comes.
    pub max_file_age_for_write: Duration,
    /// How old a file must be before it is read; zero hands frames on as soon as they are durable, from memory.
    /// Otherwise longer than `max_file_age_for_write`.
    pub min_file_age_for_read: Duration,
    /// How old a file may become while a consumer has not released it: then it is dropped, and counted. A consumer
    /// that keeps its own position gets everything, however old.
    pub max_file_age_for_read: Duration,
    /// Whether asking an iterator for more releases what it gave before; otherwise only removing does.
    pub delete_items_on_iteration: bool,
    /// What becomes of an append that does not fit into the folder any more.
    pub when_full: WhenFull,
    /// Bytes of fresh frames held in memory for consumers that keep up; older ones are read from files.
    pub tail_bytes: usize,
    /// The least time between two files sealed early because a consumer needs what is in them.
    pub min_seal_interval: Duration,
    /// When an append is answered.
    pub durability: Durability,
}

/// What becomes of an append when the folder has no room for it. Released files always make room first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest files go that only consumers with a cursor here still owe: their copy is lost, and counted. What a
    /// consumer that keeps its own position has not taken never goes: then the append is refused.
    DropForwardBacklog,
    /// The oldest file goes, whoever owes it; counted. The original's way.
    DropOldest,
    /// It is refused.
    Reject,
    /// It waits for room for so long, and all others with it, then it is refused.
    Block(Duration),
}

impl Default for FileStorageConfig {
    /// The documented values of the original, meant for telephones.
    fn default() -> Self {
        Self {
            max_file_size: MIB,
            max_folder_size: 10 * MIB,
            max_file_age_for_write: Duration::from_secs(30),
            min_file_age_for_read: Duration::from_secs(33),
            max_file_age_for_read: Duration::from_secs(18 * 60 * 60),
            delete_items_on_iteration: true,
            when_full: WhenFull::DropOldest,
            tail_bytes: 4 << 20,
            min_seal_interval: Duration::from_millis(250),
            durability: Durability::GroupCommit { linger: Duration::ZERO },
        }
    }
}

impl FileStorageConfig {
    /// Values for a server that persists what it buffers within moments and survives a weekend without upstream.
    pub fn appliance() -> Self {
        Self {
            max_file_size: 32 * MIB,
            max_folder_size: 2 * GIB,
            min_file_age_for_read: Duration::ZERO,
            max_file_age_for_read: Duration::from_secs(72 * 60 * 60),
            delete_items_on_iteration: false,
            when_full: WhenFull::DropForwardBacklog,
            tail_bytes: 32 << 20,
            ..Self::default()
        }
    }

    /// The longest payload that fits into a file of its own.
    pub fn max_payload_bytes(&self) -> usize {
        let room = self.max_file_size.saturating_sub((segment::OVERHEAD_BYTES + frame::HEADER_BYTES) as u64);
        usize::try_from(room.min(u64::from(u32::MAX))).unwrap_or(usize::MAX) & !7
    }

    /// Bytes that damaged files may keep: 1/32 of the folder, and one file at least.
    pub(super) fn max_quarantine_size(&self) -> u64 {
        (self.max_folder_size / 32).max(self.max_file_size)
    }

    /// Says the first thing that makes no sense.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        if self.max_file_size < 4 * KIB {
            return Err(InvalidSetting::FileSize { given: self.max_file_size });
        }
        let beside = self.max_quarantine_size().saturating_add(identity::BYTES as u64);
        let least = self.max_file_size.saturating_add(beside);
        if self.max_folder_size < least {
            return Err(InvalidSetting::FolderSize { given: self.max_folder_size, least });
        }
        if self.max_file_age_for_write.is_zero() {
            return Err(InvalidSetting::WriteAge);
        }
        let delay = self.min_file_age_for_read;
        if !delay.is_zero() && delay <= self.max_file_age_for_write {
            return Err(InvalidSetting::ReadDelay { given: delay, write: self.max_file_age_for_write });
        }
        if self.max_file_age_for_read <= delay.max(self.max_file_age_for_write) {
            let write = self.max_file_age_for_write;
            return Err(InvalidSetting::ReadAge { given: self.max_file_age_for_read, write, delay });
        }
        self.durability.check()
    }
}

/// A setting that makes no sense, alone or beside another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum InvalidSetting {
    /// Too small to hold anything.
    #[error("max_file_size is {given} bytes, the least is 4096")]
    FileSize { given: u64 },
    /// Not even one full file fits.
    #[error("max_folder_size is {given} bytes, one full file and what is kept beside it need {least}")]
    FolderSize { given: u64, least: u64 },
    /// Every append would have a file of its own.
    #[error("max_file_age_for_write is zero")]
    WriteAge,
    /// The original's rule: a file must be finished before it is old enough to be read.
    #[error(
        "min_file_age_for_read is {given:?}, it must be zero or more than max_file_age_for_write ({write:?})"
    )]
    ReadDelay { given: Duration, write: Duration },
    /// Files would expire before they could be read.
    #[error(
        "max_file_age_for_read is {given:?}, it must be more than a file is written to ({write:?}) or waits ({delay:?})"
    )]
    ReadAge { given: Duration, write: Duration, delay: Duration },
    /// Never, or always.
    #[error("durability syncs every {given:?}, it must be 1ms to {most:?}")]
    SyncInterval { given: Duration, most: Duration },
    /// Senders would give up.
    #[error("durability lingers {given:?}, the most is {most:?}")]
    Linger { given: Duration, most: Duration },
}

#[cfg(test)]
mod tests {
    use super::{Durability, FileStorageConfig};
    use std::time::Duration;

    #[test]
    fn both_ready_made_settings_make_sense() {
        assert_eq!(FileStorageConfig::default().check(), Ok(()));
        assert_eq!(FileStorageConfig::appliance().check(), Ok(()));
    }

    #[test]
    fn answers_wait_for_a_shared_sync_unless_asked_otherwise() {
        let group_commit = Durability::GroupCommit { linger: Duration::ZERO };
        assert_eq!(FileStorageConfig::default().durability, group_commit);
        assert_eq!(FileStorageConfig::appliance().durability, group_commit);
    }

    #[test]
    fn the_defaults_are_those_of_the_original() {
        let FileStorageConfig {
            max_file_size,
            max_folder_size,
            max_file_age_for_write,
            min_file_age_for_read,
            max_file_age_for_read,
            delete_items_on_iteration,
            ..
        } = FileStorageConfig::default();
        assert_eq!((max_file_size, max_folder_size), (1_048_576, 10_485_760));
        assert_eq!(max_file_age_for_write.as_millis(), 30_000);
        assert_eq!(min_file_age_for_read.as_millis(), 33_000);
        assert_eq!(max_file_age_for_read.as_millis(), 64_800_000);
        assert!(delete_items_on_iteration);
    }

    #[test]
    fn senseless_settings_are_named_with_what_would_make_sense() {
        type Spoil = fn(&mut FileStorageConfig);
        let said = |spoil: Spoil| {
            let mut settings = FileStorageConfig::default();
            spoil(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        let cases: [(Spoil, &str); 10] = [
            (|s| s.max_file_size = 100, "max_file_size is 100 bytes, the least is 4096"),
            (
                |s| s.max_folder_size = s.max_file_size,
                "max_folder_size is 1048576 bytes, one full file and what is kept beside it need 2097216",
            ),
            (
                |s| s.max_file_size = u64::MAX,
                "max_folder_size is 10485760 bytes, one full file and what is kept beside it need 18446744073709551615",
            ),
            (|s| s.max_file_age_for_write = Duration::ZERO, "max_file_age_for_write is zero"),
            (
                |s| s.min_file_age_for_read = s.max_file_age_for_write,
                "min_file_age_for_read is 30s, it must be zero or more than max_file_age_for_write (30s)",
            ),
            (
                |s| s.max_file_age_for_read = s.min_file_age_for_read,
                "max_file_age_for_read is 33s, it must be more than a file is written to (30s) or waits (33s)",
            ),
            (
                |s| {
                    (s.min_file_age_for_read, s.max_file_age_for_read) =
                        (Duration::ZERO, s.max_file_age_for_write)
                },
                "max_file_age_for_read is 30s, it must be more than a file is written to (30s) or waits (0ns)",
            ),
            (
                |s| s.durability = Durability::Interval(Duration::ZERO),
                "durability syncs every 0ns, it must be 1ms to 60s",
            ),
            (
                |s| s.durability = Durability::Interval(Duration::from_secs(61)),
                "durability syncs every 61s, it must be 1ms to 60s",
            ),
            (
                |s| s.durability = Durability::GroupCommit { linger: Duration::from_secs(2) },
                "durability lingers 2s, the most is 1s",
            ),
        ];
        for (spoil, expected) in cases {
            assert_eq!(said(spoil), expected);
        }
    }
}
