//! Thrift's two wire protocols, read without copying and without believing what they announce.

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `TCompactProtocol`.
    Compact,
    /// `TBinaryProtocol`, with and without its strict version word.
    Binary,
}

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct Error {
    /// What was met, and what would have been right.
    pub what: String,
    /// From 0.
    pub offset: usize,
}
