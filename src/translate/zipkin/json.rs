//! Zipkin's JSON: lists of version 1 and 2 in, of version 2 out.

use super::{Error, Read, Span};

/// A list of version 2, or a span of it alone.
pub fn read(_body: &[u8]) -> Result<Read, Error> {
    Ok(Read::default())
}

/// A list of version 1, or a span of it alone.
pub fn read_v1(_body: &[u8]) -> Result<Read, Error> {
    Ok(Read::default())
}

/// Appends a span of version 2.
pub fn write(_out: &mut Vec<u8>, _span: &Span) {}
