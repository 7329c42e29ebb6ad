//! A span of version 1, read from JSON.

use bytes::Bytes;

use super::members::{Draft, endpoint, flag, list, micros, object};
use super::reader::{Reader, Syntax, Value as Json};
use crate::translate::zipkin::Error;
use crate::translate::zipkin::v1::{Annotation, BinaryAnnotation, Span, Value};

/// The next value as a span.
pub(super) fn span(reader: &mut Reader<'_>) -> Result<Result<Span, Error>, Syntax> {
    let read = Draft::read(reader, Draft::member)?;
    Ok(read.map(|(span, (trace_id, id, parent_id))| Span { trace_id, id, parent_id, ..span }))
}

impl Draft<Span> {
    fn member(&mut self, reader: &mut Reader<'_>, name: &Bytes) -> Result<(), Syntax> {
        let Self { span, ids } = self;
        match &name[..] {
            b"traceId" | b"id" | b"parentId" => ids.read(reader, name)?,
            b"name" => span.name = reader.any_text()?.unwrap_or_default(),
            b"timestamp" => span.timestamp = micros(reader, ids, "timestamp")?.map(signed),
            b"duration" => span.duration = micros(reader, ids, "duration")?.map(signed),
            b"annotations" => list(reader, |reader| self.annotation(reader))?,
            b"binaryAnnotations" => list(reader, |reader| self.binary_annotation(reader))?,
            b"debug" => span.debug = flag(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    /// Whether there may be one more annotation of either kind.
    fn has_room(&mut self) -> bool {
        let count = self.span.annotations.len() + self.span.binary_annotations.len();
        self.may_have_more(count, "annotations")
    }

    fn annotation(&mut self, reader: &mut Reader<'_>) -> Result<(), Syntax> {
        let mut annotation = Annotation::default();
        let is_object = object(reader, |reader, name| {
            match &name[..] {
                b"timestamp" => {
                    let timestamp = micros(reader, &mut self.ids, "an annotation's timestamp")?;
                    annotation.timestamp = timestamp.map_or(0, signed);
                }
                b"value" => annotation.value = reader.any_text()?.unwrap_or_default(),
                b"endpoint" => annotation.endpoint = endpoint(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if is_object && annotation != Annotation::default() && self.has_room() {
            self.span.annotations.push(annotation);
        }
        Ok(())
    }

    fn binary_annotation(&mut self, reader: &mut Reader<'_>) -> Result<(), Syntax> {
        let (mut key, mut value, mut host) = (Bytes::new(), None, None);
        object(reader, |reader, name| {
            match &name[..] {
                b"key" => key = reader.any_text()?.unwrap_or_default(),
                b"value" => value = self::value(reader)?,
                b"endpoint" => host = endpoint(reader)?,
                // The type is seen from the value.
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if let Some(value) = value
            && self.has_room()
        {
            self.span.binary_annotations.push(BinaryAnnotation { key, value, endpoint: host });
        }
        Ok(())
    }
}

fn value(reader: &mut Reader<'_>) -> Result<Option<Value>, Syntax> {
    if matches!(reader.peek(), Some(b't' | b'f')) {
        let bit = reader.value()? == Json::Bool(true);
        return Ok(Some(Value::Bool(bit)));
    }
    Ok(reader.any_text()?.map(Value::Text))
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}
