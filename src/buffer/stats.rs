//! Plain numbers about a buffer, for whoever shows them.

use std::ops::{AddAssign, Sub, SubAssign};
use std::time::Duration;

use crate::buffer::registration::Loss;

/// What has been counted since the buffer was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames that were made durable.
    pub appended_frames: u64,
    /// Items in them.
    pub appended_items: u64,
    /// Their payload bytes.
    pub appended_bytes: u64,
    /// Groups of frames that shared one `fdatasync`.
    pub groups: u64,
    /// Syncs of files and of folders by the writer.
    pub syncs: u64,
    /// How long syncs of the writer's files took.
    pub sync_times: SyncTimes,
    /// Syncs and writes by the writer that failed.
    pub disk_failures: u64,
    /// Files that were finished.
    pub sealed_files: u64,
    /// Files that were finished early because a consumer needed them.
    pub demanded_seals: u64,
    /// Files that were deleted: released by every consumer, or dropped.
    pub deleted_files: u64,
    /// Positions of consumers that were made durable, each with a sync.
    pub saved_positions: u64,
    /// Files that were deleted although a consumer had not released them: for room, by age or on demand.
    pub dropped_files: u64,
    /// Appends refused because the folder was full of unreleased data.
    pub refused_full: Amount,
    /// Appends refused because too much was waiting for the disk.
    pub refused_busy: Amount,
    /// Appends refused because of their size.
    pub refused_too_large: Amount,
    /// Appends refused because the disk had no space or failed.
    pub refused_by_disk: Amount,
    /// Frames handed to consumers from memory.
    pub frames_from_memory: u64,
    /// Frames handed to consumers from files.
    pub frames_from_files: u64,
    /// Frames that consumers were not given because they are damaged or their file is gone.
    pub damaged_frames: u64,
    /// Items in them, where that could be known.
    pub damaged_items: u64,
}

/// How long syncs took: so many within each bound, and beyond all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncTimes {
    within: [u64; Self::BOUNDS.len()],
    beyond: u64,
    total: Duration,
}

impl SyncTimes {
    /// From a disk with a cache of its own to one that spins and is busy.
    pub const BOUNDS: [Duration; 10] = [
        Duration::from_micros(250),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(100),
        Duration::from_millis(500),
        Duration::from_secs(2),
    ];

    pub(super) fn count(&mut self, took: Duration) {
        let at = Self::BOUNDS.partition_point(|bound| *bound < took);
        *self.within.get_mut(at).unwrap_or(&mut self.beyond) += 1;
        self.total += took;
    }

    /// How many took no longer than each bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        Self::BOUNDS.into_iter().zip(self.within).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }

    /// How many there were.
    pub fn number(&self) -> u64 {
        self.within.iter().sum::<u64>() + self.beyond
    }

    /// All of them together.
    pub fn total(&self) -> Duration {
        self.total
    }
}

/// The state of a buffer at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// What has been counted since it was opened.
    pub counters: Counters,
    /// What opening it found.
    pub recovery: Recovery,
    /// Bytes of all its files, and of what the open one still needs to be sealed.
    pub folder_bytes: u64,
    /// The bound on that.
    pub folder_limit: u64,
    /// Finished files.
    pub files: usize,
    /// Frames held in memory for consumers.
    pub tail_frames: usize,
    /// Memory that they take.
    pub tail_bytes: usize,
    /// Bytes waiting for the disk.
    pub queued_bytes: usize,
    /// The last number that was given to a frame.
    pub last_sequence: u64,
    /// Whether the disk has failed and appends are refused until the next start.
    pub degraded: bool,
    /// Whether space is set aside for getting out of a full disk: while it is not, appends are refused. None where the
    /// environment has no reserve.
    pub reserve_stands: Option<bool>,
    /// Why the last append was refused, if that was within the last seconds and none has succeeded since.
    pub trouble: Option<String>,
    /// Where each consumer is.
    pub consumers: Vec<ConsumerStats>,
}

/// So much of what is in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Frames: one for each append.
    pub frames: u64,
    /// Items in them, as their appenders counted.
    pub items: u64,
    /// Bytes that they take up in files, headers and padding included.
    pub bytes: u64,
}

impl Amount {
    /// No more of anything than there is in `other`.
    pub(super) fn at_most(self, other: Self) -> Self {
        Self {
            frames: self.frames.min(other.frames),
            items: self.items.min(other.items),
            bytes: self.bytes.min(other.bytes),
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.items += other.items;
        self.bytes += other.bytes;
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(other.frames),
            items: self.items.saturating_sub(other.items),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// What a consumer was owed and never given, or given and not waited for, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// To make room: see [`WhenFull`](crate::buffer::WhenFull).
    pub evicted: Amount,
    /// Older than `max_file_age_for_read`.
    pub expired: Amount,
    /// By [`Buffer::clear`](crate::buffer::Buffer::clear).
    pub cleared: Amount,
    /// Its bytes do not match their checksums, or cannot be read.
    pub damaged: Amount,
}

impl Dropped {
    pub(super) fn of(&mut self, why: Loss) -> &mut Amount {
        match why {
            Loss::Evicted => &mut self.evicted,
            Loss::Expired => &mut self.expired,
            Loss::Cleared => &mut self.cleared,
        }
    }

    /// All of it.
    pub fn total(&self) -> Amount {
        let mut total = self.evicted;
        [self.expired, self.cleared, self.damaged].into_iter().for_each(|amount| total += amount);
        total
    }
}

/// Where a consumer is. What it `found` when it was attached first, and what was appended since, is what was
/// `released`, `dropped` or is `pending`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerStats {
    /// Its name.
    pub name: String,
    /// Whether its backlog is safe from eviction and expiry.
    pub kept: bool,
    /// Whether someone reads under that name now.
    pub attached: bool,
    /// What was there for it when the buffer was opened, or when it was made.
    pub found: Amount,
    /// What it has released since.
    pub released: Amount,
    /// What it lost since.
    pub dropped: Dropped,
    /// What it has not released.
    pub pending: Amount,
    /// When the oldest of that was accepted, in nanoseconds since the Unix epoch, or a little earlier.
    pub oldest_accepted: Option<u64>,
}

/// What opening a buffer found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Files that hold frames.
    pub files: u64,
    /// Frames in them.
    pub frames: u64,
    /// Items in those.
    pub items: u64,
    /// Files that a crash had left unfinished and that were finished now.
    pub recovered_files: u64,
    /// Bytes of appends that were cut short.
    pub torn_bytes: u64,
    /// Frames with damaged headers in files that had to be read through. Those with damaged payloads, and those of
    /// files that are gone, are counted when a consumer comes to them.
    pub vanished_frames: u64,
    /// Consumers whose position could not be read: they begin again with the oldest frame.
    pub lost_positions: u64,
    /// Files in which nothing could be read, moved to `quarantine`.
    pub quarantined_files: u64,
    /// Files without a single frame, deleted.
    pub empty_files: u64,
    /// The number of the next frame.
    pub next_sequence: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::SyncTimes;

    #[test]
    fn each_time_is_counted_within_its_bound_and_those_above() {
        let mut times = SyncTimes::default();
        for micros in [1, 250, 251, 3_000, 10_000_000] {
            times.count(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = times.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 3, 3, 3, 4, 4, 4, 4, 4, 4]);
        assert_eq!((times.number(), times.total()), (5, Duration::from_micros(10_003_502)));
    }
}
