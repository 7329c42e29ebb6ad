//! Standard error for logs. A reader who is gone is no reason to fail, and the logging library would say so on standard
//! error, and panic over it.

use std::io::{self, Stderr, Write};

/// Takes everything, whatever becomes of it.
pub(super) struct Forgiving(Stderr);

impl Forgiving {
    /// This process's.
    pub(super) fn stderr() -> Self {
        Self(io::stderr())
    }
}

impl Write for Forgiving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _gone = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _gone = self.0.flush();
        Ok(())
    }
}
