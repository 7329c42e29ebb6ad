//! Reading a folder of records once, oldest file first.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::buffer::Error;
use crate::buffer::delimited::record::{RecordReader, Step};
use crate::buffer::delimited::state::State;
use crate::buffer::folder::{Name, failed};
use crate::buffer::storage::{Batch, Session};

/// One pass over the folder. Only finished files are read.
#[derive(Debug)]
pub(super) struct DelimitedSession {
    state: Arc<Mutex<State>>,
    /// Files of this name and older ones were read through, or cannot be read.
    passed: Name,
    reading: Option<(Name, RecordReader)>,
    /// The file of the batch that was given last, and the bytes that it takes up there.
    given: Option<(Name, u64, u64)>,
    /// Why a file could not be read: said when the others are read through, not taken for the end.
    failed: Option<Error>,
}

impl DelimitedSession {
    pub(super) fn new(state: Arc<Mutex<State>>) -> Self {
        Self { state, passed: 0, reading: None, given: None, failed: None }
    }
}

impl Session for DelimitedSession {
    fn next(&mut self) -> Result<Option<Batch>, Error> {
        self.given = None;
        let state = Arc::clone(&self.state);
        let mut state = state.lock();
        loop {
            let Some((name, mut reader)) = self.take_file(&mut state) else {
                return self.failed.take().map_or(Ok(None), Err);
            };
            match reader.step() {
                Ok(Step::Record { payload, begin, end }) => {
                    if let Some(behind) = state.removed_at(name, begin) {
                        reader.seek(behind);
                        self.reading = Some((name, reader));
                        continue;
                    }
                    self.given = Some((name, begin, end));
                    self.reading = Some((name, reader));
                    return Ok(Some(Batch { payload, items: None }));
                }
                Ok(Step::Flaw(flaw, at)) => state.met_flaw(name, flaw, at),
                Ok(Step::End) => {}
                Err(error) => self.skip(&state.path(name), error),
            }
            self.passed = name;
        }
    }

    fn remove_given(&mut self) {
        if let Some((name, begin, end)) = self.given.take() {
            self.state.lock().remove(name, begin, end);
        }
    }

    fn settle(&mut self) {
        self.reading = None;
        let mut state = self.state.lock();
        if state.is_closed() {
            return;
        }
        if let Err(error) = state.settle() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "removed batches are not durably removed yet");
        }
    }
}

impl DelimitedSession {
    /// The file that is being read, if it is still there and young enough, else the next one.
    fn take_file(&mut self, state: &mut State) -> Option<(Name, RecordReader)> {
        if let Some((name, reader)) = self.reading.take() {
            if state.is_readable(name) {
                return Some((name, reader));
            }
            self.passed = name;
        }
        while let Some((name, bytes)) = state.next_readable(self.passed) {
            match state.open_sealed(name, bytes) {
                Ok(reader) => return Some((name, reader)),
                Err(error) => self.skip(&state.path(name), error),
            }
            self.passed = name;
        }
        None
    }

    fn skip(&mut self, path: &Path, error: io::Error) {
        self.failed.get_or_insert(failed("read", path)(error));
    }
}

impl Drop for DelimitedSession {
    fn drop(&mut self) {
        self.state.lock().end_session();
    }
}
