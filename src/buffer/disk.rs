//! The few file operations that the buffer uses, so that tests can bring a disk that fails and forgets.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::io::Errno;

/// What is given up with one bad sector: a page, the least that Linux reads.
const PIECE_BYTES: u64 = 4 << 10;
/// Slices that one write takes at most (`IOV_MAX` of Linux and macOS).
const MAX_SLICES: usize = 1_024;
/// Space of a deleted file that is freed at once.
const FREE_STEP_BYTES: u64 = 1 << 20;
/// Zeros are written so many at a time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A regular file in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name within the folder.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
}

/// A place for files.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes the folder and its parents, durably; succeeds where it is there already.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// The regular files in a folder, in no order. Names that are not UTF-8 are left out.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;
    /// Makes a file to write and read; fails where the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read and mend.
    fn open_to_mend(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens or makes a file that this handle alone owns until it is dropped; `WouldBlock` where another does.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name in the same folder or below; replaces what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads some bytes; zero at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of the bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Writes some of the bytes of all slices, which follow each other in the file.
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write_at(&slices.concat(), offset)
    }
    /// Makes the content and the length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes a file without content so long that it takes up all of these bytes on the disk, not only by its length.
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        write_zeros(self, bytes)
    }
    /// Cuts the file, or fills it up with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

/// Writes all of the bytes; on an error some of them may have been written.
pub(super) fn write_all_at<File>(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()>
where
    File: DiskFile + ?Sized,
{
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of the slices, one after the other; on an error some of them may have been written.
pub(super) fn write_all_vectored_at(
    file: &dyn DiskFile,
    mut slices: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored_at(slices, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut slices, written);
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_zeros<File: DiskFile + ?Sized>(file: &File, bytes: u64) -> io::Result<()> {
    let mut at = 0;
    while at < bytes {
        let zeros = ZEROS.len().min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
        write_all_at(file, &ZEROS[..zeros], at)?;
        at += zeros as u64;
    }
    Ok(())
}

/// Reads until the bytes are full or the file ends; how many were read. Sectors that the disk cannot read come as
/// zeros: no checksum holds over them, and whoever checks it counts what is lost.
pub(super) fn read_up_to(file: &dyn DiskFile, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let (mut filled, mut piecewise) = (0, false);
    while filled < bytes.len() {
        let at = offset + filled as u64;
        let rest = bytes.len() - filled;
        let most = if piecewise { rest.min((PIECE_BYTES - at % PIECE_BYTES) as usize) } else { rest };
        let piece = &mut bytes[filled..filled + most];
        match file.read_at(piece, at) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_unreadable(&error) && piecewise => {
                piece.fill(0);
                filled += most;
            }
            Err(error) if is_unreadable(&error) => {
                tracing::warn!(at, error = &error as &dyn std::error::Error, "bad sectors in a buffer file");
                piecewise = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether an error says that the medium cannot be read; others may pass.
pub(super) fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// Whether an error says that the disk, a quota or the process's file size limit is used up.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge | WriteZero)
}

/// The machine's own file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostDisk;

impl Disk for HostDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let missing = folder.ancestors().take_while(|path| !path.exists()).count();
        fs::create_dir_all(folder)?;
        // Also of folders that are there already: whoever made them may have been killed before this.
        for (above, parent) in folder.ancestors().skip(1).enumerate() {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            match self.sync_folder(parent) {
                // Not to be read or synced: a folder of the system, and nobody has made anything in it.
                Err(_) if above >= missing => break,
                synced => synced?,
            }
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (about, name) = (entry.metadata()?, entry.file_name().into_string());
            if let (true, Ok(name)) = (about.is_file(), name) {
                entries.push(Entry { name, bytes: about.len() });
            }
        }
        Ok(entries)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn open_to_mend(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path);
        fs::remove_file(path)?;
        if let Ok(file) = file {
            free_in_steps(&file);
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

/// Frees the space of a file that has lost its name bit by bit: a disk that is told of freed space (mount option
/// `discard`) would have every sync wait until all of it is.
fn free_in_steps(file: &File) {
    let Ok(about) = file.metadata() else { return };
    // It may have another name, given by a backup.
    if about.nlink() > 0 {
        return;
    }
    let mut bytes = about.len();
    while bytes > FREE_STEP_BYTES {
        bytes -= FREE_STEP_BYTES;
        if file.set_len(bytes).is_err() {
            return;
        }
    }
}

impl DiskFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(self, &slices[..slices.len().min(MAX_SLICES)], offset)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(self, bytes),
            allocated => Ok(allocated?),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Disk, HostDisk};

    #[test]
    fn folders_are_made_with_their_parents_and_again_without_harm() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data/buffer/traces");
        for _ in 0..2 {
            HostDisk.create_folder(&folder).unwrap();
            assert!(folder.is_dir());
        }
    }

    #[test]
    fn a_deleted_file_keeps_its_bytes_under_its_other_name() {
        let folder = tempfile::tempdir().unwrap();
        let [path, backup] = ["file", "backup"].map(|name| folder.path().join(name));
        let bytes = vec![7; 3 << 20];
        std::fs::write(&path, &bytes).unwrap();
        std::fs::hard_link(&path, &backup).unwrap();
        HostDisk.unlink(&path).unwrap();
        assert!(!path.exists() && std::fs::read(&backup).unwrap() == bytes);
        HostDisk.unlink(&backup).unwrap();
        assert!(!backup.exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn parents_that_cannot_be_synced_are_no_obstacle() {
        HostDisk.create_folder(Path::new("/proc/self")).unwrap();
    }
}
