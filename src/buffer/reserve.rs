//! Space set aside while there is some, to get out of a full disk with.
//!
//! A disk that others have filled keeps consumers from moving on, and so from releasing what fills the buffer. One file
//! takes up space for that moment: when the first operation finds no space it is deleted, and what was under way (positions,
//! sealing, one commit of the store) goes on in its place. Appends are refused until it stands again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::buffer::Error;
use crate::buffer::disk::{Disk, is_no_space};
use crate::buffer::folder::failed;

/// The least time between two tries to set it up.
const RETRY: Duration = Duration::from_secs(1);
/// So many times its size must be free before it is set up again: what it takes was free the moment it was released, and
/// would be taken back and forth.
const HEADROOM: u64 = 2;

/// See the file's opening lines. One may serve all buffers on a disk.
#[derive(Debug)]
pub struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
    stands: AtomicBool,
    /// Held while the file is made or deleted.
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Stands,
    /// Set up no sooner than at this time since boot; none where the time of the release is not known.
    Released(Option<u64>),
}

impl Reserve {
    /// Sets so many bytes aside in a file of this name, whose folder is made if need be. On a disk without space it is
    /// opened all the same, as if it had been released.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder or the file cannot be made for another reason.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, bytes: u64) -> Result<Self, Error> {
        let reserve = Self {
            disk,
            path: path.to_owned(),
            bytes,
            stands: AtomicBool::new(false),
            state: Mutex::new(State::Released(None)),
        };
        let folder = path.parent().map_or(Ok(()), |folder| reserve.disk.create_folder(folder));
        match folder.and_then(|()| reserve.keep().or_else(|_| reserve.make(1))) {
            Ok(()) => reserve.set(&mut reserve.state.lock(), State::Stands),
            Err(error) if is_no_space(&error) => {
                tracing::error!(
                    path = %path.display(),
                    bytes,
                    error = &error as &dyn std::error::Error,
                    "no space for the reserve: nothing is taken until there is"
                );
            }
            Err(error) => return Err(failed("set aside", path)(error)),
        }
        Ok(reserve)
    }

    /// Gives the space back to the disk. Does nothing while it does not stand.
    pub fn release(&self) {
        self.release_until(None);
    }

    /// Whether the space is set aside.
    pub fn stands(&self) -> bool {
        self.stands.load(Ordering::Acquire)
    }

    /// As [`Reserve::release`], by one who knows the time since boot.
    pub(super) fn release_at(&self, now_millis: u64) {
        self.release_until(Some(later(now_millis)));
    }

    /// Sets the space aside again, tried once a second at most; whether it stands.
    pub(super) fn restore(&self, now_millis: u64) -> bool {
        let mut state = self.state.lock();
        match *state {
            State::Stands => return true,
            // Whoever released it gets a second to use the space.
            State::Released(None) => *state = State::Released(Some(later(now_millis))),
            State::Released(Some(at)) if now_millis < at => {}
            State::Released(Some(_)) => match self.make(HEADROOM) {
                Ok(()) => {
                    tracing::info!(path = %self.path.display(), "the disk has space again");
                    self.set(&mut state, State::Stands);
                    return true;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(path = %self.path.display(), error, "the reserve cannot be set aside yet");
                    *state = State::Released(Some(later(now_millis)));
                }
            },
        }
        false
    }

    fn release_until(&self, next_try: Option<u64>) {
        let mut state = self.state.lock();
        if let State::Released(_) = *state {
            return;
        }
        tracing::error!(path = %self.path.display(), "no space on the disk: the reserve is released");
        self.remove();
        self.set(&mut state, State::Released(next_try));
    }

    fn set(&self, state: &mut State, to: State) {
        self.stands.store(matches!(to, State::Stands), Ordering::Release);
        *state = to;
    }

    /// Takes over what an earlier run has set aside: on a full disk it could not be had again.
    fn keep(&self) -> io::Result<()> {
        let file = self.disk.open_to_mend(&self.path)?;
        file.allocate(self.bytes)?;
        file.set_len(self.bytes)?;
        file.sync_data()
    }

    /// Takes up so many times the space, and gives all but one part back. Nothing is left of a file that could not be
    /// made whole.
    fn make(&self, times: u64) -> io::Result<()> {
        self.remove();
        let file = self.disk.create_new(&self.path)?;
        let room = file.allocate(self.bytes.saturating_mul(times));
        let made = room.and_then(|()| file.set_len(self.bytes)).and_then(|()| file.sync_data());
        if made.is_err() {
            // Its space is free only when nobody has it open.
            drop(file);
            self.remove();
        }
        made
    }

    fn remove(&self) {
        match self.disk.unlink(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(path = %self.path.display(), error, "the reserve was not deleted");
            }
            _ => {}
        }
    }
}

fn later(now_millis: u64) -> u64 {
    now_millis + RETRY.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::sync::Arc;

    use super::Reserve;
    use crate::buffer::HostDisk;
    use crate::buffer::simulated_disk::SimulatedDisk;

    const BYTES: u64 = 100_000;

    fn reserve_on(disk: &SimulatedDisk) -> Reserve {
        Reserve::open(Arc::new(disk.clone()), Path::new("/data/reserve"), BYTES).unwrap()
    }

    #[test]
    fn its_bytes_are_taken_from_the_disk_until_it_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("buffer/reserve");
        for _ in 0..2 {
            let reserve = Reserve::open(Arc::new(HostDisk), &path, 1 << 20).unwrap();
            assert!(reserve.stands());
            let about = std::fs::metadata(&path).unwrap();
            assert_eq!(about.len(), 1 << 20);
            assert!(about.blocks() * 512 >= 1 << 20, "{} blocks", about.blocks());
        }
        let reserve = Reserve::open(Arc::new(HostDisk), &path, 1 << 20).unwrap();
        reserve.release();
        reserve.release();
        assert!(!reserve.stands() && !path.exists());
    }

    #[test]
    fn on_a_full_disk_it_is_opened_released_and_leaves_nothing() {
        let disk = SimulatedDisk::default();
        disk.set_capacity(BYTES - 1);
        assert!(!reserve_on(&disk).stands());
        assert!(disk.paths().is_empty());
    }

    #[test]
    fn it_is_set_up_again_when_there_is_space_and_tried_once_a_second() {
        let disk = SimulatedDisk::default();
        let reserve = reserve_on(&disk);
        reserve.release_at(5_000);
        disk.set_capacity(BYTES - 1);
        assert!(!reserve.restore(6_000));
        disk.set_capacity(2 * BYTES - 1);
        assert!(!reserve.restore(6_999) && !reserve.restore(7_000) && !reserve.stands());
        disk.set_capacity(2 * BYTES);
        assert!(reserve.restore(8_000) && reserve.stands());
    }

    #[test]
    fn what_an_earlier_run_set_aside_is_kept_on_a_full_disk() {
        let disk = SimulatedDisk::default();
        drop(reserve_on(&disk));
        disk.set_capacity(disk.total_bytes());
        assert!(reserve_on(&disk).stands());
    }

    #[test]
    fn whoever_releases_it_has_a_second_to_use_the_space() {
        let disk = SimulatedDisk::default();
        let reserve = reserve_on(&disk);
        reserve.release();
        assert!(!reserve.restore(50_000) && !reserve.restore(50_999));
        assert!(reserve.restore(51_000));
    }
}
