//! A span of version 2, read from JSON.

use bytes::Bytes;

use super::members::{Draft, endpoint, flag, list, micros, object};
use super::reader::{Reader, Syntax};
use crate::translate::zipkin::{Annotation, Error, Kind, Span};

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
            b"kind" => span.kind = reader.any_text()?.and_then(|word| Kind::from_word(&word)),
            b"timestamp" => span.timestamp = micros(reader, ids, "timestamp")?,
            b"duration" => span.duration = micros(reader, ids, "duration")?,
            b"localEndpoint" => span.local_endpoint = endpoint(reader)?,
            b"remoteEndpoint" => span.remote_endpoint = endpoint(reader)?,
            b"annotations" => list(reader, |reader| self.annotation(reader))?,
            b"tags" => {
                object(reader, |reader, key| self.tag(reader, key))?;
            }
            b"debug" => span.debug = flag(reader)?,
            b"shared" => span.shared = flag(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    /// Whether there may be one more tag or annotation.
    fn has_room(&mut self) -> bool {
        let count = self.span.tags.len() + self.span.annotations.len();
        self.may_have_more(count, "tags and annotations")
    }

    fn annotation(&mut self, reader: &mut Reader<'_>) -> Result<(), Syntax> {
        let mut annotation = Annotation::default();
        let is_object = object(reader, |reader, name| {
            match &name[..] {
                b"timestamp" => {
                    annotation.timestamp =
                        micros(reader, &mut self.ids, "an annotation's timestamp")?.unwrap_or_default();
                }
                b"value" => annotation.value = reader.any_text()?.unwrap_or_default(),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if is_object && annotation != Annotation::default() && self.has_room() {
            self.span.annotations.push(annotation);
        }
        Ok(())
    }

    fn tag(&mut self, reader: &mut Reader<'_>, key: &Bytes) -> Result<(), Syntax> {
        if let Some(value) = reader.any_text()?
            && self.has_room()
        {
            self.span.tags.push((key.clone(), value));
        }
        Ok(())
    }
}
