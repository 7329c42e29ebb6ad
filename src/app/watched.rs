//! Files that a person changes while the program runs: told of when they are others than they were.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

/// How often they are looked at. What changes a file in the same moment in which it was looked at, to the same length,
/// is found at the next change.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one version of a file from another: when it was written and how long it is, or that it is not there.
type Version = Option<(SystemTime, u64)>;

/// Calls `changed` whenever one of the files was changed, replaced or removed, links followed; never ends.
pub(super) async fn watch(files: Vec<PathBuf>, mut changed: impl FnMut()) {
    let look = || -> Vec<Version> {
        let version = |file: &PathBuf| {
            let found = std::fs::metadata(file).ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        files.iter().map(version).collect()
    };
    let mut last = look();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let now = look();
        if now != last {
            last = now;
            changed();
        }
    }
}
