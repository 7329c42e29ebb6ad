//! A run's spans in pieces of about two thousand: columnar, interned, packed.

use crate::model::Span;

/// A span on its way into a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    /// The span.
    pub(super) span: &'a Span,
    /// Its resource and scope: their row in `jaeger.resources`.
    pub(super) source: u32,
}
