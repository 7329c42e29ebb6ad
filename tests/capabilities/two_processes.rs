//! One buffer's folder, two processes: the second is refused, and let in as soon as the first is gone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracelodge::buffer::{Buffer, Clock, Environment, Error, FileStorageConfig, Signal, Take};

/// Tells a process which folder to hold.
const MARK: &str = "HOLD_BUFFER";

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn wall_nanos(&self) -> u64 {
        1_700_000_000_000_000_000
    }

    fn boot_millis(&self) -> u64 {
        1
    }

    fn boot_id(&self) -> u64 {
        1
    }
}

fn open(folder: &Path) -> Result<Buffer, Error> {
    let environment = Environment::host(Arc::new(StoppedClock));
    Buffer::open(folder, Signal::Traces, FileStorageConfig::appliance(), environment)
        .map(|(buffer, _)| buffer)
}

/// The process that holds the folder until its input ends; by itself it does nothing.
#[test]
fn a_process_that_holds_a_folder() {
    let Some(folder) = std::env::var_os(MARK) else { return };
    let buffer = open(Path::new(&folder)).unwrap();
    buffer.append(Bytes::from_static(b"its own"), 1, |outcome| {
        outcome.unwrap();
        writeln!(std::io::stdout(), "\nheld").unwrap();
    });
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Another process, that has the folder when this returns.
fn holder(folder: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "two_processes::a_process_that_holds_a_folder", "--nocapture"])
        .env(MARK, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"), "it never had the folder");
    child
}

#[test]
fn a_folder_that_another_process_has_is_refused_by_name_until_that_one_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = holder(folder.path());
    for _ in 0..2 {
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        assert_eq!(error.to_string(), format!("lock {}: in use by another process", folder.path().display()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let buffer = open(folder.path()).unwrap();
    let mut consumer = buffer.external_consumer("store", None).unwrap();
    let take = Take { max_frames: 10, max_bytes: 1_000, max_items: 10 };
    let frames = consumer.next(take, Duration::ZERO).unwrap();
    assert_eq!(frames.iter().map(|frame| &*frame.payload).collect::<Vec<_>>(), [b"its own"]);
}
