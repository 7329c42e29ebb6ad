//! The system's clocks, for all who were handed a seam instead.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::buffer;
use crate::model::{Clock, Timestamp};

/// The time of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

fn wall() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    let now = SystemTime::now();
    // A machine whose clock stands before 1970 is told that it is 1970.
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO.plus(wall())
    }
}

impl buffer::Clock for SystemClock {
    fn wall_nanos(&self) -> u64 {
        self.now().nanos()
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

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
