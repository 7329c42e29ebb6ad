//! Files that settings name: what is no file, or more than anybody writes, is not read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Opens it to be read.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // What is no file may take its time to be opened, for ever even.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    File::open(path)
}

/// All of it.
pub(super) fn read(file: File, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut text)?;
    if text.len() as u64 > max_bytes {
        let why = format!("it has more than {} KiB", max_bytes >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}
