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

/// Calls `read_again` whenever one of the files was changed, replaced or removed, links followed; never ends. Calls it at
/// once, too: they may have changed since the start, which can take a while.
pub(super) async fn watch(files: Vec<PathBuf>, mut read_again: impl FnMut()) {
    if files.is_empty() {
        return std::future::pending().await;
    }
    let mut watched = Watched::new(files);
    read_again();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if watched.have_changed() {
            read_again();
        }
    }
}

/// Files, and what they were when they were last looked at.
struct Watched {
    files: Vec<PathBuf>,
    last: Vec<Version>,
}

impl Watched {
    fn new(files: Vec<PathBuf>) -> Self {
        let last = versions(&files);
        Self { files, last }
    }

    /// Whether one of them is another than before.
    fn have_changed(&mut self) -> bool {
        let now = versions(&self.files);
        let before = std::mem::replace(&mut self.last, now);
        before != self.last
    }
}

fn versions(files: &[PathBuf]) -> Vec<Version> {
    files.iter().map(|file| std::fs::metadata(file).ok().as_ref().map(version)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// Writes a file with the time and the length of another, once the clock by which changes are dated has gone on.
    fn write_alike(path: &Path, other: &Path) {
        let other = fs::metadata(other).unwrap();
        let changed = |file: &Metadata| (file.ctime(), file.ctime_nsec());
        loop {
            fs::write(path, "x".repeat(other.len() as usize)).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(other.modified().unwrap()).unwrap();
            if changed(&file.metadata().unwrap()) != changed(&other) {
                break;
            }
        }
    }

    #[test]
    fn each_change_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("one"), "1").unwrap();
        symlink(at("one"), at("link")).unwrap();
        let mut watched = Watched::new(vec![at("link"), at("two")]);
        assert!(!watched.have_changed(), "nothing has");
        let changes: [(&str, &dyn Fn()); 6] = [
            ("changed", &|| fs::write(at("one"), "22").unwrap()),
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
        for (name, change) in changes {
            change();
            assert!(watched.have_changed(), "{name}");
            assert!(!watched.have_changed(), "{name}: only once");
        }
    }
}
