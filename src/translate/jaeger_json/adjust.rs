//! What Jaeger 1.76 does to a trace before it shows it, one small function for each step.
//!
//! The steps work on Jaeger's own shapes and in its order, because later ones build on earlier ones: ids are made
//! unique before duplicates are compared, tags are sorted before that, references are cleaned before the parent
//! is moved to the front.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use super::record::{Process, Reference, ReferenceType, Span, Tag, Trace, Value};
use super::words::hex_trace_id;
use crate::model::SpanId;

/// Tags that hold an IPv4 address, by old clients as a number.
const ADDRESS_TAGS: [&str; 2] = ["ip", "peer.ipv4"];

/// Tags that speak of the process though some clients put them on each span.
const LIBRARY_TAGS: [&str; 5] = [
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
    "telemetry.distro.name",
    "telemetry.distro.version",
];

/// Every step, in order.
pub fn all(trace: &mut Trace<'_>) {
    separate_shared_ids(trace);
    sort_tags_and_fields(trace);
    drop_duplicates(trace);
    warn_of_clock_skew(trace);
    spell_addresses(trace);
    move_library_tags(trace);
    drop_empty_references(trace);
    put_parent_first(trace);
}

/// Gives the server half of a call an id of its own where it shares one with the client half (Zipkin's way):
/// the client half becomes its parent, and what hung on the shared id hangs on the server half.
pub fn separate_shared_ids(trace: &mut Trace<'_>) {
    let mut used: HashSet<SpanId> = trace.spans.iter().map(|span| span.span_id).collect();
    let clients: HashSet<SpanId> =
        trace.spans.iter().filter(|span| span.has_kind("client")).map(|span| span.span_id).collect();
    let mut next = 1u64;
    let mut renamed = HashMap::new();
    let mut separated = HashSet::new();
    for span in &mut trace.spans {
        if clients.contains(&span.span_id) && span.has_kind("server") {
            let id = unused_id(&mut used, &mut next);
            renamed.insert(span.span_id, id);
            separated.insert(id);
            replace_parent(span, span.span_id);
            span.span_id = id;
        }
    }
    for span in trace.spans.iter_mut().filter(|span| !separated.contains(&span.span_id)) {
        if let Some(&id) = span.parent().and_then(|parent| renamed.get(&parent)) {
            replace_parent(span, id);
        }
    }
}

/// The lowest id that no span of the trace has; there are more ids than spans.
fn unused_id(used: &mut HashSet<SpanId>, next: &mut u64) -> SpanId {
    loop {
        let id = SpanId(next.to_be_bytes());
        *next += 1;
        if used.insert(id) {
            return id;
        }
    }
}

fn replace_parent(span: &mut Span<'_>, parent: SpanId) {
    let old = span.parent();
    let (trace_id, ref_type) = (span.trace_id, ReferenceType::ChildOf);
    let held = span.references.iter_mut().find(|reference| {
        reference.ref_type == ref_type && reference.trace_id == trace_id && Some(reference.span_id) == old
    });
    match held {
        Some(reference) => reference.span_id = parent,
        None => span.references.insert(0, Reference { ref_type, trace_id, span_id: parent }),
    }
}

/// Sorts tags by key, and the fields of logs with `event` first.
pub fn sort_tags_and_fields(trace: &mut Trace<'_>) {
    for process in &mut trace.processes {
        process.tags.sort();
    }
    for span in &mut trace.spans {
        span.tags.sort();
        for log in &mut span.logs {
            log.fields.sort_by(|a, b| is_not_event(a).cmp(&is_not_event(b)).then_with(|| a.cmp(b)));
        }
    }
}

fn is_not_event(field: &Tag<'_>) -> bool {
    field.key != "event" || !matches!(field.value, Value::String(_))
}

/// Drops all but the first of spans that are equal in everything; equal processes become one. Spans are hashed, not
/// compared one by one: some clients give all their spans one id.
pub fn drop_duplicates(trace: &mut Trace<'_>) {
    let mut first_of_equal: HashMap<&Process<'_>, usize> = HashMap::new();
    let processes = trace.processes.iter().enumerate();
    let first: Vec<usize> =
        processes.map(|(place, process)| *first_of_equal.entry(process).or_insert(place)).collect();
    for span in &mut trace.spans {
        span.process = first[span.process];
    }
    let mut seen = HashSet::new();
    let is_new: Vec<bool> = trace.spans.iter().map(|span| seen.insert(span)).collect();
    let mut is_new = is_new.into_iter();
    trace.spans.retain(|_| is_new.next() == Some(true));
}

/// Warns of spans whose clock seems to differ from their parent's. Nothing is shifted: times are shown as they
/// were sent, which is Jaeger's default (a greatest adjustment of 0).
pub fn warn_of_clock_skew(trace: &mut Trace<'_>) {
    let mut first_of_id: HashMap<SpanId, usize> = HashMap::new();
    let mut warnings: Vec<(usize, String)> = Vec::new();
    for (place, span) in trace.spans.iter().enumerate() {
        if let std::collections::hash_map::Entry::Vacant(e) = first_of_id.entry(span.span_id) {
            e.insert(place);
        } else {
            warnings.push((place, "another span has the same id; clock skew was not looked at".into()));
        }
    }
    for (&id, &place) in &first_of_id {
        let Some(parent) = trace.spans[place].parent().filter(|parent| *parent != id) else { continue };
        let warning = match first_of_id.get(&parent) {
            None => {
                Some(format!("the parent span {parent} is not in the trace; clock skew was not looked at"))
            }
            Some(&parent) => skew_warning(trace, &trace.spans[place], &trace.spans[parent]),
        };
        warnings.extend(warning.map(|warning| (place, warning)));
    }
    for (place, warning) in warnings {
        trace.spans[place].warnings.push(Cow::Owned(warning));
    }
}

fn skew_warning(trace: &Trace<'_>, child: &Span<'_>, parent: &Span<'_>) -> Option<String> {
    let host = |span: &Span<'_>| host(&trace.processes[span.process]);
    let same_host = host(child).is_some_and(|child| host(parent) == Some(child));
    let delta = if same_host { 0 } else { skew(child, parent) };
    (delta != 0).then(|| {
        let micros = delta / 1_000;
        format!("the clock seems to be off by {micros} µs against the parent's; times are shown as sent")
    })
}

/// What tells two hosts apart: Jaeger's clients put their address on the process.
fn host<'t>(process: &'t Process<'_>) -> Option<&'t Value<'t>> {
    process.tags.iter().find(|tag| tag.key == "ip").map(|tag| &tag.value)
}

/// By how many ns the child would have to move to lie within its parent: a longer child only has to start
/// after it, a shorter one is put in its middle (the way there and the way back taken as equally long).
fn skew(child: &Span<'_>, parent: &Span<'_>) -> i128 {
    let (start, length) = (i128::from(child.start.nanos()), i128::from(child.duration));
    let (outer_start, outer_length) = (i128::from(parent.start.nanos()), i128::from(parent.duration));
    if length > outer_length {
        return (outer_start - start).max(0);
    }
    if start >= outer_start && start + length <= outer_start + outer_length {
        return 0;
    }
    outer_start + (outer_length - length) / 2 - start
}

/// Spells IPv4 addresses that were sent as numbers.
pub fn spell_addresses(trace: &mut Trace<'_>) {
    let processes = trace.processes.iter_mut().map(|process| &mut process.tags);
    for tags in processes.chain(trace.spans.iter_mut().map(|span| &mut span.tags)) {
        for tag in tags.iter_mut().filter(|tag| ADDRESS_TAGS.contains(&&*tag.key)) {
            if let Value::Int64(number) = tag.value {
                // Clients pack the four bytes into an int32, so only the low half says something.
                tag.value = Value::String(Ipv4Addr::from_bits(number as u32).to_string().into());
            }
        }
    }
}

/// Moves what speaks of the SDK from spans to their process.
pub fn move_library_tags(trace: &mut Trace<'_>) {
    let mut extended: HashMap<(usize, Vec<Tag<'_>>), usize> = HashMap::new();
    for span in &mut trace.spans {
        let is_library = |tag: &mut Tag<'_>| LIBRARY_TAGS.contains(&&*tag.key);
        let moved: Vec<_> = span.tags.extract_if(.., is_library).collect();
        if moved.is_empty() {
            continue;
        }
        let (old, processes) = (span.process, &mut trace.processes);
        span.process = *extended.entry((old, moved)).or_insert_with_key(|(_, moved)| {
            let mut process = processes[old].clone();
            process.tags.extend(moved.iter().cloned());
            process.tags.sort();
            processes.push(process);
            processes.len() - 1
        });
    }
}

/// Drops references that name nothing.
pub fn drop_empty_references(trace: &mut Trace<'_>) {
    for span in &mut trace.spans {
        let is_empty =
            |reference: &mut Reference| reference.trace_id.is_zero() || reference.span_id.is_zero();
        for reference in span.references.extract_if(.., is_empty) {
            let (trace_id, span_id) = (hex_trace_id(reference.trace_id), reference.span_id);
            let warning = format!("a reference without an id was left out: trace {trace_id}, span {span_id}");
            span.warnings.push(Cow::Owned(warning));
        }
    }
}

/// Puts the parent first: the first `CHILD_OF` within the trace, else the first reference within it.
pub fn put_parent_first(trace: &mut Trace<'_>) {
    for span in &mut trace.spans {
        let within = |reference: &Reference| reference.trace_id == span.trace_id;
        let parent = span
            .references
            .iter()
            .position(|reference| within(reference) && reference.ref_type == ReferenceType::ChildOf)
            .or_else(|| span.references.iter().position(within));
        if let Some(place) = parent {
            span.references.swap(0, place);
        }
    }
}
