//! The system's clocks, for all who were handed a seam instead.

use crate::buffer::{self, HostClock};
use crate::model::{Clock, Timestamp};

/// The time of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(buffer::Clock::wall_nanos(self))
    }
}

impl buffer::Clock for SystemClock {
    fn wall_nanos(&self) -> u64 {
        HostClock.wall_nanos()
    }

    fn boot_millis(&self) -> u64 {
        HostClock.boot_millis()
    }

    fn boot_id(&self) -> u64 {
        HostClock.boot_id()
    }
}
