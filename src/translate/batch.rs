//! Batches made export requests: which of their spans share a resource, and what became of the others.

use std::collections::HashMap;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batched<Error> {
    /// An `ExportTraceServiceRequest` that keeps the spans; empty when there are none.
    pub request: Vec<u8>,
    /// How many are in it.
    pub spans: u32,
    /// How many are not, because they cannot be kept.
    pub left_out: u32,
    /// Why the first of those cannot.
    pub first: Option<Error>,
}

impl<Error> Default for Batched<Error> {
    fn default() -> Self {
        Self { request: Vec::new(), spans: 0, left_out: 0, first: None }
    }
}

impl<Error> Batched<Error> {
    /// A span cannot be kept.
    pub(super) fn leave_out(&mut self, error: Error) {
        self.left_out += 1;
        self.first.get_or_insert(error);
    }
}

/// What a resource takes beside its bytes.
const RESOURCE_BYTES: usize = 256;

/// The spans of each resource, in order of first appearance.
#[derive(Debug)]
pub(super) struct ByResource<Spans> {
    /// Each resource as it is written.
    groups: Vec<(Vec<u8>, Spans)>,
    places: HashMap<Vec<u8>, usize>,
    /// Spans that follow each other mostly share theirs.
    last: usize,
    bytes: usize,
}

impl<Spans> Default for ByResource<Spans> {
    fn default() -> Self {
        Self { groups: Vec::new(), places: HashMap::new(), last: 0, bytes: 0 }
    }
}

impl<Spans: Default> ByResource<Spans> {
    /// Where the spans of this resource are.
    pub(super) fn place(&mut self, resource: Vec<u8>) -> usize {
        let is_last = self.groups.get(self.last).is_some_and(|(last, _)| *last == resource);
        if !is_last {
            self.last = *self.places.entry(resource).or_insert_with_key(|resource| {
                self.bytes += 2 * resource.len() + RESOURCE_BYTES;
                self.groups.push((resource.clone(), Spans::default()));
                self.groups.len() - 1
            });
        }
        self.last
    }

    /// The spans that are there.
    pub(super) fn at(&mut self, place: usize) -> &mut Spans {
        &mut self.groups[place].1
    }

    /// How many resources there are.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Bytes that they take without their spans.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes out all of them with their spans.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Vec<u8>, Spans)> {
        self.places.clear();
        self.bytes = 0;
        self.groups.drain(..)
    }
}
