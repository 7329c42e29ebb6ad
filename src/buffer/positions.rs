//! Where consumers are: found out when they are opened or attached, written down, forgotten.

use std::io;

use crate::buffer::Error;
use crate::buffer::consumer::StartAt;
use crate::buffer::cursor::{self, Cursor};
use crate::buffer::folder::failed;
use crate::buffer::frame::Header;
use crate::buffer::journal::{FULL_RETRY, Journal};
use crate::buffer::ledger::{Place, SealedFile};
use crate::buffer::owed::Owed;
use crate::buffer::segment::Step;
use crate::buffer::stats::Amount;

impl Journal {
    /// Tells the consumers whose positions are in the folder what there is for them.
    pub(super) fn find_shares(&self) -> Result<(), Error> {
        let mut ledger = self.ledger.lock();
        for place in ledger.consumers.keys().copied().collect::<Vec<_>>() {
            let owed = ledger.at(place).owed.clone();
            let shares = ledger.shares(&owed, |file| self.owed_of(file, &owed))?;
            ledger.at(place).find(shares);
        }
        Ok(())
    }

    /// How much of a finished file is owed. Of one that cannot be read now all of it: reading will tell.
    pub(super) fn owed_of(&self, file: &SealedFile, owed: &Owed) -> Result<Amount, Error> {
        let mut amount = Amount::default();
        let read = self.each_header(file, |header| {
            if owed.contains(header.sequence) {
                let (items, bytes) = (u64::from(header.items), header.frame_bytes());
                amount += Amount { frames: 1, items, bytes };
            }
            true
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Err(failed("read", &self.folder.sealed(file.name))(error))
            }
            Err(_) => Ok(file.amount()),
            Ok(()) => Ok(amount),
        }
    }

    /// Shows the headers of a finished file's frames, until told to stop.
    pub(super) fn each_header(
        &self,
        file: &SealedFile,
        mut more: impl FnMut(&Header) -> bool,
    ) -> io::Result<()> {
        let mut reader = self.reader(file)?;
        loop {
            match reader.step()? {
                Step::Data(header) if !more(&header) => return Ok(()),
                Step::End => return Ok(()),
                _ => {}
            }
        }
    }

    /// The sequence that a new consumer begins with.
    pub(super) fn sequence_at(&self, start: StartAt) -> Result<u64, Error> {
        let since = match start {
            StartAt::Oldest => return Ok(self.ledger.lock().oldest()),
            StartAt::Latest => return Ok(self.ledger.lock().published),
            StartAt::Since(time) => time,
        };
        // What is in the open file can be told apart only when it is finished.
        match self.seal() {
            Err(Error::Closed) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        let files: Vec<SealedFile> = self.ledger.lock().sealed.iter().copied().collect();
        for file in files.iter().filter(|file| file.content.max_accepted >= since) {
            let mut found = None;
            let read = self.each_header(file, |header| {
                found = (header.accepted >= since).then_some(header.sequence);
                found.is_none()
            });
            read.map_err(failed("read", &self.folder.sealed(file.name)))?;
            if let Some(sequence) = found {
                return Ok(sequence);
            }
        }
        Ok(self.ledger.lock().published)
    }

    /// Makes durable what consumers have lost. Where that fails, a crash makes them look for files that are gone.
    pub(super) fn save_dropped(&self) {
        let places: Vec<Place> = self.ledger.lock().consumers.keys().copied().collect();
        for place in places {
            if let Err(error) = self.save(place) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "position of a buffer's consumer not saved");
            }
        }
    }

    /// Lays down the position of a new consumer.
    pub(super) fn create_cursor(&self, name: &str, owed: &Owed) -> Result<Cursor, Error> {
        let path = self.folder.cursor(name);
        {
            let mut ledger = self.ledger.lock();
            if !ledger.reserve(cursor::BYTES as u64) {
                let (used, limit) = (ledger.folder_bytes, ledger.folder_limit);
                return Err(Error::Full { used, limit, retry_after: FULL_RETRY });
            }
        }
        let file = match self.disk().create_new(&path) {
            Ok(file) => file,
            Err(error) => {
                self.ledger.lock().give_back(cursor::BYTES as u64);
                self.note_failure(&error);
                return Err(failed("create", &path)(error));
            }
        };
        let cursor = Cursor::new(path, file);
        let laid = cursor.lay_down(&mut cursor.lock(), &self.about.id, owed);
        match laid.and_then(|()| self.folder.sync()) {
            Ok(()) => Ok(cursor),
            Err(error) => {
                self.note(&error);
                self.remove_cursor(name);
                Err(error)
            }
        }
    }

    /// Takes back the file of a consumer that could not be attached after all.
    pub(super) fn remove_cursor(&self, name: &str) {
        let gone = self.folder.unlink(&self.folder.cursor(name));
        if let Err(error) = gone.and_then(|()| self.free(cursor::BYTES as u64)) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "file of a consumer's position not deleted");
        }
    }

    /// Forgets a consumer and its file.
    pub(super) fn forget(&self, name: &str) -> Result<(), Error> {
        let _one_at_a_time = self.attaching.lock();
        let Some(place) = self.ledger.lock().find(name)? else { return Ok(()) };
        let has_cursor = self.ledger.lock().at(place).cursor.is_some();
        if has_cursor {
            self.folder.unlink(&self.folder.cursor(name))?;
        }
        self.ledger.lock().consumers.remove(&place);
        let freed = if has_cursor { self.free(cursor::BYTES as u64) } else { Ok(()) };
        self.offer_to_sweeper();
        freed
    }

    /// Makes a consumer's position durable, if it has moved.
    pub(super) fn save(&self, place: Place) -> Result<(), Error> {
        let known = self.ledger.lock().consumers.get(&place).and_then(|consumer| consumer.cursor.clone());
        let Some(cursor) = known else { return Ok(()) };
        let mut slots = cursor.lock();
        let owed = {
            let ledger = self.ledger.lock();
            let Some(consumer) = ledger.consumers.get(&place) else { return Ok(()) };
            // What the file cannot tell apart is held as well, or it would be missed after a crash.
            let owed = consumer.owed.widened(cursor::MAX_RANGES);
            if owed == consumer.holds {
                return Ok(());
            }
            owed
        };
        cursor.write(&mut slots, &self.about.id, &owed).inspect_err(|error| self.note(error))?;
        let mut ledger = self.ledger.lock();
        ledger.counters.saved_positions += 1;
        if let Some(consumer) = ledger.consumers.get_mut(&place) {
            consumer.holds = owed;
        }
        Ok(())
    }
}
