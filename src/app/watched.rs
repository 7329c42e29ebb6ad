//! Files that a person changes while the program runs: told of when they are others than they were.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one version of a file from another, or `None` where there is none. Of its times it is the one that nobody can
/// set: files are often put where they belong with the time and the length that another had.
type Version = Option<(u64, u64, u64, i64, i64)>;

fn version(file: &Metadata) -> (u64, u64, u64, i64, i64) {
    (file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec())
}

/// Calls `changed` whenever one of the files was changed, replaced or removed, links followed; never ends. What they are
/// before that is what they are when this is called.
pub(super) fn watch(files: Vec<PathBuf>, changed: impl FnMut()) -> impl Future<Output = ()> {
    watch_every(LOOK_EVERY, files, changed)
}

fn watch_every(pause: Duration, files: Vec<PathBuf>, mut changed: impl FnMut()) -> impl Future<Output = ()> {
    let look = move || -> Vec<Version> {
        files.iter().map(|file| std::fs::metadata(file).ok().as_ref().map(version)).collect()
    };
    let mut last = look();
    async move {
        if last.is_empty() {
            return std::future::pending().await;
        }
        let mut looks = tokio::time::interval(pause);
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
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    const PAUSE: Duration = Duration::from_millis(2);

    /// Writes a file with the time and the length of another.
    fn write_alike(path: &Path, other: &Path) {
        let other = fs::metadata(other).unwrap();
        fs::write(path, "x".repeat(other.len() as usize)).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(other.modified().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn each_change_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("one"), "1").unwrap();
        symlink(at("one"), at("link")).unwrap();
        let told = Cell::new(0);
        let watching = watch_every(PAUSE, vec![at("link"), at("two")], || told.set(told.get() + 1));
        let changes: [(&str, &dyn Fn()); 6] = [
            ("changed before the first look", &|| fs::write(at("one"), "22").unwrap()),
            ("replaced by one that looks alike", &|| {
                write_alike(&at("one.new"), &at("one"));
                fs::rename(at("one.new"), at("one")).unwrap();
            }),
            ("written over, and looks alike", &|| write_alike(&at("one"), &at("one"))),
            ("there for the first time", &|| fs::write(at("two"), "").unwrap()),
            ("gone", &|| fs::remove_file(at("two")).unwrap()),
            ("the link leads elsewhere", &|| {
                write_alike(&at("three"), &at("one"));
                symlink(at("three"), at("link.new")).unwrap();
                fs::rename(at("link.new"), at("link")).unwrap();
            }),
        ];
        let changing = async {
            for (changes_before, (name, change)) in changes.iter().enumerate() {
                change();
                let deadline = Instant::now() + Duration::from_secs(20);
                while told.get() == changes_before {
                    assert!(Instant::now() < deadline, "{name}: nothing was told");
                    tokio::time::sleep(PAUSE).await;
                }
                tokio::time::sleep(10 * PAUSE).await;
                assert_eq!(told.get(), changes_before + 1, "{name}");
            }
        };
        tokio::select! { () = watching => {}, () = changing => {} }
    }
}
