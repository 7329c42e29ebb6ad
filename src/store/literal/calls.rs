//! Who calls whom: each span below a span of another service or its own is one call, counted once.
//!
//! A child looks for its parent when it is stored; when the parent is not there it waits in
//! `jaeger.pending_parents` until a span of that id is stored, or its own time is over. Both happen in the
//! transaction that stores the span, and only for spans that were not stored before: neither order of arrival, nor
//! a restart, nor a retry counts a call twice.

use std::collections::HashMap;

use redb::{ReadableTable as _, ReadableTableMetadata as _, WriteTransaction};

use crate::model::{Span, SpanId, TraceId};
use crate::store::literal::Error;
use crate::store::literal::append::{Moment, WriteTable, remind};
use crate::store::literal::key::{self, Identity};
use crate::store::literal::record::{Note, SpanRow};
use crate::store::literal::schema::{DEPENDENCIES, EXPIRY, Expiring, PENDING_PARENTS, SPANS};
use crate::store::losses::Losses;

/// Rows of `jaeger.dependencies`: pairs of services that call each other, times the hours in which they do.
/// Further calls are not counted.
pub(super) const MAX_DEPENDENCIES: u64 = 100_000;

/// Spans of one id among which a parent is looked for.
const MAX_PARENTS: usize = 16;

/// Parent service, child service and hour of a call.
type Edge = (String, String, u32);

/// The tables that calls are counted in, and what one batch adds.
pub(super) struct Calls<'t> {
    spans: WriteTable<'t>,
    pending: WriteTable<'t>,
    counts: WriteTable<'t>,
    reminders: WriteTable<'t>,
    losses: &'t Losses,
    added: HashMap<Edge, u64>,
    moment: Moment,
}

impl<'t> Calls<'t> {
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        losses: &'t Losses,
        moment: Moment,
    ) -> Result<Self, Error> {
        Ok(Self {
            spans: transaction.open_table(SPANS)?,
            pending: transaction.open_table(PENDING_PARENTS)?,
            counts: transaction.open_table(DEPENDENCIES)?,
            reminders: transaction.open_table(EXPIRY)?,
            losses,
            added: HashMap::new(),
            moment,
        })
    }

    /// Counts the calls that spans which were just stored complete.
    pub(super) fn count(mut self, new: &[&Span]) -> Result<(), Error> {
        // First all as children, so that those whose parent came in the same batch never wait.
        for child in new {
            self.look_for_parent(child)?;
        }
        for parent in new {
            self.take_waiting_children(parent)?;
        }
        self.write()
    }

    fn look_for_parent(&mut self, child: &Span) -> Result<(), Error> {
        let Some(parent_id) = child.parent_id.filter(|&parent| parent != child.span_id) else {
            return Ok(());
        };
        let (service, hour) = (child.resource.service.clone(), key::hour(child.start));
        if let Some(parent) = self.parent_service((child.trace_id, parent_id), &service)? {
            *self.added.entry((parent, service, hour)).or_default() += 1;
            return Ok(());
        }
        let key = key::pending_parent(parent_id, Identity::of(child));
        let waiting = Note { expire_time: self.moment.expire_time, number: hour.into(), text: service };
        self.pending.insert(&key[..], &waiting.to_value(&key)[..])?;
        remind(&mut self.reminders, Expiring::PendingParents, &key, &waiting)
    }

    /// The service of the parent; of several spans with its id the one in the child's own service, else the
    /// earliest, as a trace's outline has it.
    fn parent_service(
        &self,
        (trace_id, span_id): (TraceId, SpanId),
        child: &str,
    ) -> Result<Option<String>, Error> {
        let (first, last) = key::span_bounds(trace_id, span_id);
        let mut earliest = None;
        for row in self.spans.range::<&[u8]>(&first[..]..=&last[..])?.take(MAX_PARENTS) {
            let (key, value) = row?;
            let read = SpanRow::read(key.value(), value.value());
            let Some(parent) = self.losses.step_over(SPANS, read) else { continue };
            if parent.service == child {
                return Ok(Some(child.to_owned()));
            }
            if earliest.as_ref().is_none_or(|(start, _service)| parent.start < *start) {
                earliest = Some((parent.start, parent.service.to_owned()));
            }
        }
        Ok(earliest.map(|(_start, service)| service))
    }

    fn take_waiting_children(&mut self, parent: &Span) -> Result<(), Error> {
        let (first, last) = key::pending_bounds(parent.trace_id, parent.span_id);
        if self.pending.range::<&[u8]>(&first[..]..=&last[..])?.next().is_none() {
            return Ok(());
        }
        let (losses, mut waiting) = (self.losses, HashMap::<(String, u32), u64>::new());
        self.pending.retain_in::<&[u8], _>(&first[..]..=&last[..], |key, value| {
            if let Some(child) = losses.step_over(PENDING_PARENTS, Note::read(key, value)) {
                *waiting.entry((child.text, child.number as u32)).or_default() += 1;
            }
            false
        })?;
        for ((child, hour), calls) in waiting {
            // This parent is there, but may stand behind the ones that are looked at.
            let found = self.parent_service((parent.trace_id, parent.span_id), &child)?;
            let service = found.unwrap_or_else(|| parent.resource.service.clone());
            *self.added.entry((service, child, hour)).or_default() += calls;
        }
        Ok(())
    }

    fn write(mut self) -> Result<(), Error> {
        for ((parent, child, hour), calls) in std::mem::take(&mut self.added) {
            let key = key::dependency(&parent, &child, hour);
            let stored = self.counts.get(&key[..])?.map(|value| Note::read(&key, value.value()));
            let is_known = stored.is_some();
            if !is_known && self.counts.len()? >= MAX_DEPENDENCIES {
                self.losses.leave_out(DEPENDENCIES, MAX_DEPENDENCIES);
                continue;
            }
            // What a damaged row had counted is lost; it counts anew.
            let before = stored.and_then(|note| self.losses.step_over(DEPENDENCIES, note));
            let counted = Note {
                expire_time: self.moment.expire_time,
                number: before.map_or(0, |note| note.number).saturating_add(calls),
                text: String::new(),
            };
            self.counts.insert(&key[..], &counted.to_value(&key)[..])?;
            if !is_known {
                remind(&mut self.reminders, Expiring::Dependencies, &key, &counted)?;
            }
        }
        Ok(())
    }
}
