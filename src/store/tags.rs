//! What a chunk can be searched by: its (key, value) pairs as hashes.

use crate::model::{Resource, Scope, SpanKind, StatusCode};

/// The hash by which a pair is looked for; stored, hence fixed for ever.
pub fn tag_hash(_key: &str, _value: &str) -> u64 {
    0
}

/// The pairs that resource and scope bring to every span of theirs.
pub(super) fn source_tags(_resource: &Resource, _scope: &Scope) -> Vec<u64> {
    Vec::new()
}

/// The pairs of one chunk.
#[derive(Debug, Default)]
pub(super) struct Tags {
    hashes: Vec<u64>,
}

impl Tags {
    /// Forgets all, keeps the room.
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
    }

    /// A plain attribute of a span: its key, and the `AnyValue` message.
    pub(super) fn attribute(&mut self, _key: &[u8], _value: &[u8]) {}

    /// Any other fields of a `Span` message: events, links, status, trace state, attributes in an unusual form.
    pub(super) fn fields(&mut self, _fields: &[u8]) {}

    /// A span's name.
    pub(super) fn name(&mut self, _name: &[u8]) {}

    /// A span's kind and status.
    pub(super) fn outcome(&mut self, _kind: SpanKind, _status: StatusCode) {}

    /// What [`source_tags`] made of a source.
    pub(super) fn source(&mut self, hashes: &[u64]) {
        self.hashes.extend_from_slice(hashes);
    }

    /// All of them, sorted, none twice.
    pub(super) fn finish(&mut self) -> &[u64] {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        &self.hashes
    }
}
