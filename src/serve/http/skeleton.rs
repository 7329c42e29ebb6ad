//! A trace as columns of numbers, so that a page can draw a large one without building an object per span.
//!
//! Little-endian throughout; every column starts at a multiple of 8 bytes (zeros fill the gap). Rows are in
//! preorder. `n` rows, `m` event marks, `s` strings in `b` bytes.
//!
//! ```text
//!  0  magic "TLSKEL1\n"                       8      columns, from byte 64 on
//!  8  n                                     u32      start, ns after base            f64 × n
//! 12  flags: 1 complete, 2 cut              u32      duration, ns                    f64 × n
//! 16  base: earliest start, unix ns         u64      self time, ns                   f64 × n
//! 24  duration: latest end − base, ns       u64      event mark, ns after base       f64 × m
//! 32  trace id                               16      span id, big-endian             8 B × n
//! 48  s                                     u32      parent row, 2^32 − 1 = none     u32 × n
//! 52  b                                     u32      row after the last descendant   u32 × n
//! 56  m                                     u32      name, service: string           u32 × n each
//! 60  0                                     u32      event mark's row                u32 × m
//!                                                    string's end in the blob        u32 × s
//!                                                    depth                           u16 × n
//!                                                    kind (OTLP's number)            u8 × n
//!                                                    row flags                       u8 × n
//!                                                    strings, UTF-8                  u8 × b
//! ```

use std::collections::HashMap;

use crate::model::{Span, StatusCode, Timestamp};
use crate::otlp::{Fields, Value};
use crate::query::{Outline, Row, Trace};
use crate::translate::jaeger_json::shown_service;
use crate::translate::otlp::has_links;

pub(super) const CONTENT_TYPE: &str = "application/vnd.tracelodge.skeleton";

const MAGIC: &[u8; 8] = b"TLSKEL1\n";
const NO_PARENT: u32 = u32::MAX;
/// Exactly one root and nothing missing.
const COMPLETE: u32 = 1;
/// Larger than an answer may be: some spans are left out.
const CUT: u32 = 2;

/// Flags of a row.
const ERROR: u8 = 1;
const OK: u8 = 2;
const MISSING_PARENT: u8 = 4;
const HAS_EVENTS: u8 = 8;
const HAS_LINKS: u8 = 16;
const SHARED_ID: u8 = 32;

/// Writes a trace in the order of its outline.
pub(super) fn encode(trace: &Trace, outline: &Outline) -> Vec<u8> {
    let rows = &outline.rows;
    let spans: Vec<&Span> = rows.iter().map(|row| &trace.spans[row.span as usize]).collect();
    let mut strings = Strings::default();
    let glances: Vec<Glance> = spans.iter().map(|span| Glance::at(span, &mut strings)).collect();
    let marks = || {
        let numbered = (0u32..).zip(&glances);
        numbered.flat_map(|(row, glance)| glance.events.iter().map(move |&time| (row, time)))
    };
    let offset = |time: Timestamp| (i128::from(time.nanos()) - i128::from(outline.start.nanos())) as f64;

    let mut columns = Columns(Vec::with_capacity(64 + rows.len() * 72));
    columns.header(trace, outline, &strings, marks().count() as u32);
    columns.add(spans.iter().map(|span| offset(span.start).to_le_bytes()));
    columns.add(spans.iter().map(|span| (span.duration().as_nanos() as f64).to_le_bytes()));
    columns.add(rows.iter().map(|row| (row.self_time.as_nanos() as f64).to_le_bytes()));
    columns.add(marks().map(|(_, time)| offset(time).to_le_bytes()));
    columns.add(spans.iter().map(|span| span.span_id.0));
    columns.add(rows.iter().map(|row| row.parent.unwrap_or(NO_PARENT).to_le_bytes()));
    columns.add(rows.iter().map(|row| row.subtree_end.to_le_bytes()));
    columns.add(glances.iter().map(|glance| glance.name.to_le_bytes()));
    columns.add(glances.iter().map(|glance| glance.service.to_le_bytes()));
    columns.add(marks().map(|(row, _)| row.to_le_bytes()));
    columns.add(strings.ends.iter().map(|end| end.to_le_bytes()));
    columns.add(rows.iter().map(|row| row.depth.to_le_bytes()));
    columns.add(spans.iter().map(|span| [span.kind as u8]));
    columns
        .add(rows.iter().zip(&spans).zip(&glances).map(|((row, span), glance)| [flags(row, span, glance)]));
    columns.add(strings.blob.bytes().map(|byte| [byte]));
    columns.0
}

fn flags(row: &Row, span: &Span, glance: &Glance) -> u8 {
    let status = match span.status {
        StatusCode::Unset => 0,
        StatusCode::Ok => OK,
        StatusCode::Error => ERROR,
    };
    let given = |is: bool, flag: u8| if is { flag } else { 0 };
    status
        | given(row.missing_parent, MISSING_PARENT)
        | given(!glance.events.is_empty(), HAS_EVENTS)
        | given(glance.has_links, HAS_LINKS)
        | given(row.shared_id, SHARED_ID)
}

struct Columns(Vec<u8>);

impl Columns {
    fn header(&mut self, trace: &Trace, outline: &Outline, strings: &Strings, marks: u32) {
        let flags = match (trace.cut, outline.is_whole()) {
            (true, _) => CUT,
            (false, true) => COMPLETE,
            (false, false) => 0,
        };
        let out = &mut self.0;
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(outline.rows.len() as u32).to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&outline.start.nanos().to_le_bytes());
        out.extend_from_slice(&(outline.duration.as_nanos() as u64).to_le_bytes());
        out.extend_from_slice(&trace.id.0);
        out.extend_from_slice(&(strings.ends.len() as u32).to_le_bytes());
        out.extend_from_slice(&(strings.blob.len() as u32).to_le_bytes());
        out.extend_from_slice(&marks.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }

    fn add<const N: usize>(&mut self, items: impl Iterator<Item = [u8; N]>) {
        items.for_each(|item| self.0.extend_from_slice(&item));
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }
}

/// Each text once, numbered in order of appearance.
#[derive(Default)]
struct Strings {
    numbers: HashMap<String, u32>,
    blob: String,
    ends: Vec<u32>,
}

impl Strings {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.ends.len() as u32;
        self.blob.push_str(text);
        self.ends.push(self.blob.len() as u32);
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// What the page needs of a span's message; attributes are not read for it.
struct Glance {
    name: u32,
    service: u32,
    events: Vec<Timestamp>,
    has_links: bool,
}

impl Glance {
    fn at(span: &Span, strings: &mut Strings) -> Self {
        let (mut name, mut events) = (&[][..], Vec::new());
        for field in Fields::new(&span.body) {
            match field {
                (5, Value::Bytes(text)) => name = text,
                (11, Value::Bytes(event)) => events.push(event_time(event)),
                _ => {}
            }
        }
        let service = strings.number(shown_service(&span.resource.service));
        let name = strings.number(&String::from_utf8_lossy(name));
        Self { name, service, events, has_links: has_links(span) }
    }
}

fn event_time(event: &[u8]) -> Timestamp {
    let mut time = Timestamp::ZERO;
    for field in Fields::new(event) {
        if let (1, Value::Fixed64(nanos)) = field {
            time = Timestamp(nanos);
        }
    }
    time
}
