//! Who calls whom: each span below a span of another service or its own is one call, counted once.
//!
//! A child looks for its parent when it is stored; when the parent is not there it waits in
//! `jaeger.pending_parents` until a span of that id is stored, or its own time is over. Both happen in the
//! transaction that stores the span, and only for spans that were not stored before: neither order of arrival, nor
//! a restart, nor a retry counts a call twice.

use std::collections::HashMap;

use redb::{ReadableTable as _, WriteTransaction};

use crate::model::{Span, SpanId, TraceId};
use crate::store::Error;
use crate::store::append::{Moment, WriteTable, remind};
use crate::store::key::{self, Identity};
use crate::store::record::{Note, SpanRow};
use crate::store::schema::{DEPENDENCIES, EXPIRY, Expiring, PENDING_PARENTS, SPANS};

/// Parent service, child service and hour of a call.
type Edge = (String, String, u32);

/// The tables that calls are counted in, and what one batch adds.
pub(super) struct Calls<'t> {
    spans: WriteTable<'t>,
    pending: WriteTable<'t>,
    counts: WriteTable<'t>,
    reminders: WriteTable<'t>,
    added: HashMap<Edge, u64>,
    moment: Moment,
}

impl<'t> Calls<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction, moment: Moment) -> Result<Self, Error> {
        Ok(Self {
            spans: transaction.open_table(SPANS)?,
            pending: transaction.open_table(PENDING_PARENTS)?,
            counts: transaction.open_table(DEPENDENCIES)?,
            reminders: transaction.open_table(EXPIRY)?,
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
        if let Some(parent) = self.service_of(child.trace_id, parent_id)? {
            *self.added.entry((parent, service, hour)).or_default() += 1;
            return Ok(());
        }
        let key = key::pending_parent(parent_id, Identity::of(child));
        let waiting = Note { expire_time: self.moment.expire_time, number: hour.into(), text: service };
        self.pending.insert(&key[..], &waiting.to_value(&key)[..])?;
        remind(&mut self.reminders, Expiring::PendingParents, &key, &waiting)
    }

    /// The service of a stored span; of several with one id, the first by content hash.
    fn service_of(&self, trace_id: TraceId, span_id: SpanId) -> Result<Option<String>, Error> {
        let (first, last) = key::span_bounds(trace_id, span_id);
        for row in self.spans.range::<&[u8]>(&first[..]..=&last[..])? {
            let (key, value) = row?;
            if let Ok(span) = SpanRow::read(key.value(), value.value()) {
                return Ok(Some(span.service.to_owned()));
            }
        }
        Ok(None)
    }

    fn take_waiting_children(&mut self, parent: &Span) -> Result<(), Error> {
        let (first, last) = key::pending_bounds(parent.trace_id, parent.span_id);
        if self.pending.range::<&[u8]>(&first[..]..=&last[..])?.next().is_none() {
            return Ok(());
        }
        let (service, added) = (&parent.resource.service, &mut self.added);
        self.pending.retain_in::<&[u8], _>(&first[..]..=&last[..], |key, value| {
            if let Ok(Note { text: child, number: hour, .. }) = Note::read(key, value) {
                *added.entry((service.clone(), child, hour as u32)).or_default() += 1;
            }
            false
        })?;
        Ok(())
    }

    fn write(mut self) -> Result<(), Error> {
        for ((parent, child, hour), calls) in std::mem::take(&mut self.added) {
            let key = key::dependency(&parent, &child, hour);
            let stored = self.counts.get(&key[..])?.map(|value| Note::read(&key, value.value()).ok());
            let before = stored.as_ref().and_then(Option::as_ref).map_or(0, |note| note.number);
            let counted = Note {
                expire_time: self.moment.expire_time,
                number: before.saturating_add(calls),
                text: String::new(),
            };
            self.counts.insert(&key[..], &counted.to_value(&key)[..])?;
            if stored.is_none() {
                remind(&mut self.reminders, Expiring::Dependencies, &key, &counted)?;
            }
        }
        Ok(())
    }
}
