//! The seam by which the buffer asks for time.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Tells the time of day and the time since boot. The program has one, tests have theirs.
///
/// Ages are measured in time since boot, which no one can set back; the time of day only names files and
/// stands in frames.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Nanoseconds since the Unix epoch.
    fn wall_nanos(&self) -> u64;
    /// Milliseconds since the machine started, sleep included.
    fn boot_millis(&self) -> u64;
    /// Differs from one start of the machine to the next.
    fn boot_id(&self) -> u64;
}

/// Milliseconds since the Unix epoch.
pub(super) fn wall_millis(clock: &dyn Clock) -> u64 {
    clock.wall_nanos() / 1_000_000
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostClock;

impl Clock for HostClock {
    fn wall_nanos(&self) -> u64 {
        u64::try_from(wall().as_nanos()).unwrap_or(u64::MAX)
    }

    fn boot_millis(&self) -> u64 {
        millis(since_boot())
    }

    fn boot_id(&self) -> u64 {
        // It cannot change while we run, and is asked for where nobody should wait for a file.
        static BOOT_ID: OnceLock<u64> = OnceLock::new();
        *BOOT_ID.get_or_init(|| {
            let linux = std::fs::read("/proc/sys/kernel/random/boot_id").ok();
            // Elsewhere the moment of the start tells one start from another, to the minute.
            let start = || (millis(wall().saturating_sub(since_boot())) / 60_000).to_le_bytes().to_vec();
            xxhash_rust::xxh3::xxh3_64(&linux.unwrap_or_else(start))
        })
    }
}

fn wall() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is a clock that others are handed")]
    let now = SystemTime::now();
    // A machine whose clock stands before 1970 is told that it is 1970.
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Sleep included, where the system can tell.
fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
