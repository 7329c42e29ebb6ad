//! The seam by which the buffer asks for time.

use std::fmt;

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
