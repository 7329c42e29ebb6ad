//! The stores that are compared, behind one face.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracelodge::model::{Span, Timestamp};
use tracelodge::store::literal;
use tracelodge::store::{Cursor, Settings};

use crate::generator::EPOCH;

/// The store of the program.
pub(crate) type Packed = tracelodge::store::Store;

const CACHE_BYTES: usize = 64 << 20;

/// How long spans are kept, by the time that the generator tells.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

const BUFFER: [u8; 16] = *b"bench of a store";

/// One of them, open.
#[derive(Debug)]
pub(crate) enum Arm {
    Packed(Arc<Packed>),
    Literal(literal::Store),
}

impl Arm {
    /// What is measured.
    pub(crate) fn packed(folder: &Path) -> Self {
        Self::Packed(open_packed(folder))
    }

    /// What it is measured by: a row a span.
    pub(crate) fn literal(folder: &Path) -> Self {
        Self::Literal(literal::Store::open(folder, &literal_settings()).expect("the store opens"))
    }

    /// Stores the spans, durably; a second time would change nothing.
    pub(crate) fn append(&self, spans: &[Span], sequence: u64, now: Timestamp) {
        let cursor = Cursor { buffer: BUFFER, signal: 1, sequence };
        let appended = match self {
            Self::Packed(store) => store.append(spans, &cursor, now),
            Self::Literal(store) => store.append(spans, &cursor, now),
        };
        let appended = appended.expect("the disk has room");
        assert_eq!(appended.new, spans.len() as u64, "every generated span is another one");
    }
}

pub(crate) fn open_packed(folder: &Path) -> Arc<Packed> {
    Arc::new(Packed::open(folder, &settings(), EPOCH).expect("the store opens"))
}

/// The last batch that the store has.
pub(crate) fn last_sequence(store: &Packed) -> u64 {
    store.cursor(BUFFER, 1).expect("the store can be read").unwrap_or(0)
}

fn settings() -> Settings {
    Settings { cache_bytes: CACHE_BYTES, max_age: MAX_AGE, max_bytes: Some(64 << 30), min_free_bytes: 0 }
}

fn literal_settings() -> literal::Settings {
    literal::Settings { cache_bytes: CACHE_BYTES, max_age: MAX_AGE }
}
