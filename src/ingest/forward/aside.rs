//! Requests that the other server will not take, kept for whoever wants to look: bounded, the newest win.
//!
//! Each file is a row of requests, each after its length as a varint: the layout that protobuf's
//! `writeDelimitedTo` gives, and that OpenTelemetry Java's disk-buffering has. A file's name is the time of its
//! first request in Unix milliseconds.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::Clock;
use crate::otlp::write;

/// Bytes of all files of one signal, unless one request alone is larger; the oldest files go.
const MAX_BYTES: u64 = 16 << 20;

/// After this a new file is begun, so that going away takes a part and not all.
const MAX_FILE_BYTES: u64 = 2 << 20;

/// A folder of requests.
#[derive(Debug)]
pub(super) struct Aside {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    open: Option<Open>,
}

/// The file that is being written.
#[derive(Debug)]
struct Open {
    name: u64,
    file: File,
    written: u64,
}

impl Open {
    /// Half a record is none. Where not even that can be done, it ends a file that is not written to any more.
    fn take_back(self, path: &Path) {
        let _best_effort = match self.written {
            0 => fs::remove_file(path),
            written => self.file.set_len(written),
        };
    }
}

impl Aside {
    /// Nothing is made before something is put in.
    pub(super) fn new(folder: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { folder: folder.to_owned(), clock, open: None }
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a request; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// The disk's: nothing of the request is left behind, and it can be put in again.
    pub(super) fn put(&mut self, request: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(request.len() + 10);
        write::varint(&mut record, request.len() as u64);
        record.extend_from_slice(request);
        let bytes = record.len() as u64;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.make_room(bytes)?;
        let mut open = match self.open.take() {
            Some(open) if open.written + bytes <= MAX_FILE_BYTES => open,
            _ => self.begin()?,
        };
        let outcome = open.file.write_all(&record).and_then(|()| open.file.sync_data());
        if outcome.is_err() {
            let path = self.path(open.name);
            open.take_back(&path);
        } else {
            open.written += bytes;
            self.open = Some(open);
        }
        outcome
    }

    fn begin(&self) -> io::Result<Open> {
        let newest = self.files()?.last().map_or(0, |(name, _)| *name);
        let name = self.clock.now().millis().max(newest.saturating_add(1));
        let file = File::options().create_new(true).append(true).open(self.path(name))?;
        File::open(&self.folder)?.sync_all()?;
        Ok(Open { name, file, written: 0 })
    }

    /// For one more of so many bytes; a request that is larger than the bound is kept alone.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let files = self.files()?;
        let mut used: u64 = files.iter().map(|(_, size)| size).sum();
        for (name, size) in files {
            if used + bytes <= MAX_BYTES {
                break;
            }
            fs::remove_file(self.path(name))?;
            used -= size;
        }
        Ok(())
    }

    /// Names and sizes, the oldest first; what is not ours is left alone.
    fn files(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                files.push((name, entry.metadata()?.len()));
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn path(&self, name: u64) -> PathBuf {
        self.folder.join(name.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    /// Stands still: names must differ all the same.
    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1_700_000_000_000)
        }
    }

    fn records(folder: &Path) -> Vec<Vec<u8>> {
        let aside = Aside::new(folder, Arc::new(Still));
        let mut records = Vec::new();
        for (name, _) in aside.files().unwrap() {
            let bytes = fs::read(aside.path(name)).unwrap();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let length = prost::decode_length_delimiter(&mut rest).unwrap();
                let (record, after) = rest.split_at(length);
                records.push(record.to_vec());
                rest = after;
            }
        }
        records
    }

    #[test]
    fn requests_are_read_back_by_their_lengths() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("rejected/traces");
        let requests = [vec![1; 5], vec![2; 300], Vec::new(), vec![3; 70_000]];
        let mut aside = Aside::new(&folder, Arc::new(Still));
        aside.put(&requests[0]).unwrap();
        aside.put(&requests[1]).unwrap();
        // The next run begins a file of its own.
        let mut aside = Aside::new(&folder, Arc::new(Still));
        aside.put(&requests[2]).unwrap();
        aside.put(&requests[3]).unwrap();
        assert_eq!(records(&folder), requests);
        assert_eq!(aside.files().unwrap().len(), 2);
    }

    #[test]
    fn the_oldest_go_when_the_bound_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let mut aside = Aside::new(folder.path(), Arc::new(Still));
        fs::write(folder.path().join("somebody's"), "own").unwrap();
        for number in 0..40_u8 {
            aside.put(&vec![number; 1 << 20]).unwrap();
            let used: u64 = aside.files().unwrap().iter().map(|(_, size)| size).sum();
            assert!(used <= MAX_BYTES, "{used}");
        }
        let kept: Vec<u8> = records(folder.path()).iter().map(|record| record[0]).collect();
        assert_eq!(kept, (40 - kept.len() as u8..40).collect::<Vec<_>>());
        assert!(kept.len() >= 13, "{kept:?}");
        assert!(folder.path().join("somebody's").exists());
    }

    #[test]
    fn a_request_beyond_the_bound_is_kept_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut aside = Aside::new(folder.path(), Arc::new(Still));
        let large = vec![0; MAX_BYTES as usize];
        for (request, kept) in [(&b"old"[..], 1), (&large, 1), (b"new", 1), (b"newer", 2)] {
            aside.put(request).unwrap();
            let records = records(folder.path());
            assert_eq!((records.len(), &records[kept - 1][..]), (kept, request));
        }
    }

    #[test]
    fn what_could_not_be_put_in_can_be_put_in_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejected");
        fs::write(&path, "in the way").unwrap();
        let mut aside = Aside::new(&path, Arc::new(Still));
        aside.put(b"first").unwrap_err();
        fs::remove_file(&path).unwrap();
        aside.put(b"first").unwrap();
        // A file that does not take what is written leaves nothing behind.
        aside.open.as_mut().unwrap().file = File::open(&path).unwrap();
        aside.put(b"second").unwrap_err();
        aside.put(b"second").unwrap();
        assert_eq!(records(&path), [b"first".to_vec(), b"second".to_vec()]);
    }
}
