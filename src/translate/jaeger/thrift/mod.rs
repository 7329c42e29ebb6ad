//! Jaeger's spans as thrift (`jaeger.thrift`), as the words of its protobuf.
//!
//! A span that lacks a field which `jaeger.thrift` requires, in itself or in a tag, a log or a reference of its own, is left
//! out alone. `parentSpanId` becomes the first reference unless one of the references says it already. A tag of a type
//! that `jaeger.thrift` does not have is read as a text.

use bytes::{Bytes, BytesMut};
use prost_types::{Duration, Timestamp};

use crate::proto::jaeger::api_v2::{Batch, KeyValue, Log, Process, Span, SpanRef, SpanRefType, ValueType};
use crate::translate::thrift::{self, Binary, Compact, Error, Kind, Protocol, Read};

/// A batch, and what its client says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Emitted {
    /// The spans that could be read, and the process of all of them.
    pub batch: Batch,
    /// Spans that lack what a span must have.
    pub left_out: u32,
    /// `seqNo`: the number of this batch among those of its client.
    pub sequence: Option<i64>,
    /// What the client lost before it could send it, since it began.
    pub losses: Option<ClientLosses>,
}

/// `ClientStats`: spans that never left their client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientLosses {
    /// Its queue was full.
    pub full_queue: i64,
    /// They would not have fitted into a datagram.
    pub too_large: i64,
    /// They could not be sent.
    pub failed: i64,
}

/// A `Batch` alone, as it is sent over HTTP.
pub fn batch(protocol: Protocol, body: &Bytes) -> Result<Emitted, Error> {
    let emitted = match protocol {
        Protocol::Compact => emitted(&mut Compact::new(body)),
        Protocol::Binary => emitted(&mut Binary::new(body)),
    };
    emitted.map_err(|error| *error)
}

/// The same where a reader stands.
pub(in crate::translate) fn emitted<'a>(reader: &mut impl Read<'a>) -> thrift::Result<Emitted> {
    let start = reader.input().at();
    let (mut emitted, mut spans) = (Emitted::default(), None);
    let mut ids = Ids::default();
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::Struct) => emitted.batch.process = Some(process(reader)?),
            (2, Kind::List) => {
                spans = Some(reader.structs(|reader| {
                    let span = span(reader, &mut ids)?;
                    emitted.left_out += u32::from(span.is_none());
                    Ok(span)
                })?);
            }
            (3, Kind::I64) => emitted.sequence = Some(reader.i64()?),
            (4, Kind::Struct) => emitted.losses = Some(losses(reader)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    emitted.batch.spans = spans.ok_or_else(|| Error::new("a batch without a list of spans", start))?;
    Ok(emitted)
}

/// A process: of one without a name the name is empty, so that its spans are not lost.
fn process<'a>(reader: &mut impl Read<'a>) -> thrift::Result<Process> {
    let mut process = Process::default();
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::Bytes) => process.service_name = reader.text()?,
            (2, Kind::List) => process.tags = reader.structs(tag)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(process)
}

fn losses<'a>(reader: &mut impl Read<'a>) -> thrift::Result<ClientLosses> {
    let mut losses = ClientLosses::default();
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::I64) => losses.full_queue = reader.i64()?,
            (2, Kind::I64) => losses.too_large = reader.i64()?,
            (3, Kind::I64) => losses.failed = reader.i64()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(losses)
}

/// `None` if it lacks what it must have, and so everywhere below.
fn span<'a>(reader: &mut impl Read<'a>, ids: &mut Ids) -> thrift::Result<Option<Span>> {
    let mut sent = Sent::default();
    let mut lacking = false;
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::I64) => sent.trace_id_low = Some(reader.i64()?),
            (2, Kind::I64) => sent.trace_id_high = Some(reader.i64()?),
            (3, Kind::I64) => sent.span_id = Some(reader.i64()?),
            (4, Kind::I64) => sent.parent_span_id = Some(reader.i64()?),
            (5, Kind::Bytes) => sent.operation_name = Some(reader.text()?),
            (6, Kind::List) => sent.references = whole(reader, &mut lacking, |it| reference(it, ids))?,
            (7, Kind::I32) => sent.flags = Some(reader.i32()?),
            (8, Kind::I64) => sent.start_time = Some(reader.i64()?),
            (9, Kind::I64) => sent.duration = Some(reader.i64()?),
            (10, Kind::List) => sent.tags = whole(reader, &mut lacking, tag)?,
            (11, Kind::List) => sent.logs = whole(reader, &mut lacking, log)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(sent.span(ids).filter(|_| !lacking))
}

/// The structs of a list; `lacking` is set if one of them lacks what it must have.
fn whole<'a, R: Read<'a>, T>(
    reader: &mut R,
    lacking: &mut bool,
    mut element: impl FnMut(&mut R) -> thrift::Result<Option<T>>,
) -> thrift::Result<Vec<T>> {
    reader.structs(|reader| {
        let element = element(reader)?;
        *lacking |= element.is_none();
        Ok(element)
    })
}

/// A span's fields as they came; times in µs.
#[derive(Debug, Default)]
struct Sent {
    trace_id_low: Option<i64>,
    trace_id_high: Option<i64>,
    span_id: Option<i64>,
    parent_span_id: Option<i64>,
    operation_name: Option<Bytes>,
    references: Vec<SpanRef>,
    flags: Option<i32>,
    start_time: Option<i64>,
    duration: Option<i64>,
    tags: Vec<KeyValue>,
    logs: Vec<Log>,
}

impl Sent {
    fn span(self, ids: &mut Ids) -> Option<Span> {
        let trace_id = ids.trace_id(self.trace_id_high?, self.trace_id_low?);
        let mut references = self.references;
        let parent = self.parent_span_id?;
        if parent != 0 {
            let span_id = ids.span_id(parent);
            let says_it =
                |reference: &SpanRef| reference.trace_id == trace_id && reference.span_id == span_id;
            if !references.iter().any(says_it) {
                let ref_type = SpanRefType::ChildOf.into();
                references.insert(0, SpanRef { trace_id: trace_id.clone(), span_id, ref_type });
            }
        }
        Some(Span {
            trace_id,
            span_id: ids.span_id(self.span_id?),
            operation_name: self.operation_name?,
            references,
            flags: self.flags? as u32,
            start_time: Some(timestamp(self.start_time?)),
            duration: Some(duration(self.duration?)),
            tags: self.tags,
            logs: self.logs,
            ..Span::default()
        })
    }
}

fn reference<'a>(reader: &mut impl Read<'a>, ids: &mut Ids) -> thrift::Result<Option<SpanRef>> {
    let (mut ref_type, mut low, mut high, mut span_id) = (None, None, None, None);
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::I32) => ref_type = Some(reader.i32()?),
            (2, Kind::I64) => low = Some(reader.i64()?),
            (3, Kind::I64) => high = Some(reader.i64()?),
            (4, Kind::I64) => span_id = Some(reader.i64()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let (Some(ref_type), Some(low), Some(high), Some(span_id)) = (ref_type, low, high, span_id) else {
        return Ok(None);
    };
    Ok(Some(SpanRef { trace_id: ids.trace_id(high, low), span_id: ids.span_id(span_id), ref_type }))
}

fn log<'a>(reader: &mut impl Read<'a>) -> thrift::Result<Option<Log>> {
    let (mut time, mut fields, mut lacking) = (None, None, false);
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::I64) => time = Some(reader.i64()?),
            (2, Kind::List) => fields = Some(whole(reader, &mut lacking, tag)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let log = time.zip(fields).map(|(time, fields)| Log { timestamp: Some(timestamp(time)), fields });
    Ok(log.filter(|_| !lacking))
}

fn tag<'a>(reader: &mut impl Read<'a>) -> thrift::Result<Option<KeyValue>> {
    let (mut tag, mut has_key, mut tag_type, mut values) = (KeyValue::default(), false, None, 0u8);
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::Bytes) => {
                tag.key = reader.text()?;
                has_key = true;
                return Ok(true);
            }
            (2, Kind::I32) => {
                tag_type = Some(reader.i32()?);
                return Ok(true);
            }
            (3, Kind::Bytes) => tag.v_str = reader.text()?,
            (4, Kind::Double) => tag.v_float64 = reader.double()?.to_bits(),
            (5, Kind::Bool) => tag.v_bool = reader.boolean()?,
            (6, Kind::I64) => tag.v_int64 = reader.i64()?,
            (7, Kind::Bytes) => tag.v_binary = reader.text()?,
            _ => return Ok(false),
        }
        values |= 1 << id;
        Ok(true)
    })?;
    let Some(tag_type) = tag_type.filter(|_| has_key) else { return Ok(None) };
    let (v_type, field) = value_type(tag_type);
    tag.v_type = v_type.into();
    let others = values & !(1 << field);
    Ok(Some(if others == 0 { tag } else { with_one_value(tag) }))
}

/// Thrift's `TagType` numbers the types otherwise than protobuf's `ValueType`; and the field that has the value.
fn value_type(tag_type: i32) -> (ValueType, i16) {
    match tag_type {
        1 => (ValueType::Float64, 4),
        2 => (ValueType::Bool, 5),
        3 => (ValueType::Int64, 6),
        4 => (ValueType::Binary, 7),
        _ => (ValueType::String, 3),
    }
}

/// The tag without the values that its type does not name.
#[cold]
fn with_one_value(tag: KeyValue) -> KeyValue {
    let (v_type, rest) = (tag.v_type(), KeyValue { key: tag.key, v_type: tag.v_type, ..KeyValue::default() });
    match v_type {
        ValueType::String => KeyValue { v_str: tag.v_str, ..rest },
        ValueType::Float64 => KeyValue { v_float64: tag.v_float64, ..rest },
        ValueType::Bool => KeyValue { v_bool: tag.v_bool, ..rest },
        ValueType::Int64 => KeyValue { v_int64: tag.v_int64, ..rest },
        ValueType::Binary => KeyValue { v_binary: tag.v_binary, ..rest },
    }
}

/// Ids as bytes, the highest first. They share memory, because a batch has many and each is tiny.
#[derive(Debug, Default)]
struct Ids {
    written: BytesMut,
}

impl Ids {
    /// Bytes of memory asked for at once.
    const ROOM: usize = 1 << 10;

    fn trace_id(&mut self, high: i64, low: i64) -> Bytes {
        let id = u128::from(high as u64) << 64 | u128::from(low as u64);
        self.bytes(&id.to_be_bytes())
    }

    fn span_id(&mut self, id: i64) -> Bytes {
        self.bytes(&id.to_be_bytes())
    }

    fn bytes(&mut self, id: &[u8]) -> Bytes {
        if self.written.capacity() < id.len() {
            self.written = BytesMut::with_capacity(Self::ROOM);
        }
        self.written.extend_from_slice(id);
        self.written.split().freeze()
    }
}

const MILLION: i64 = 1_000_000;

fn timestamp(micros: i64) -> Timestamp {
    Timestamp { seconds: micros.div_euclid(MILLION), nanos: micros.rem_euclid(MILLION) as i32 * 1_000 }
}

/// Seconds and nanoseconds have one sign.
fn duration(micros: i64) -> Duration {
    Duration { seconds: micros / MILLION, nanos: (micros % MILLION) as i32 * 1_000 }
}

#[cfg(test)]
mod tests;
