//! What members of spans of both versions hold: ids, times, endpoints.

use std::net::IpAddr;

use bytes::Bytes;

use super::reader::{Reader, Syntax, Value};
use crate::model::{SpanId, TraceId};
use crate::otlp::MAX_VALUES;
use crate::translate::zipkin::{CheckedIds, Endpoint, Error, checked_ids};

/// What of a span has been read, of whichever version.
#[derive(Debug, Default)]
pub(super) struct Draft<Span> {
    pub(super) span: Span,
    pub(super) ids: Ids,
}

impl<Span: Default> Draft<Span> {
    /// The next value as a span without its ids, and these. `member` reads the value of a member of this name.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        member: impl Fn(&mut Self, &mut Reader<'_>, &Bytes) -> Result<(), Syntax>,
    ) -> Result<Result<(Span, CheckedIds), Error>, Syntax> {
        let mut draft = Self::default();
        let is_object = object(reader, |reader, name| member(&mut draft, reader, name))?;
        if !is_object {
            return Ok(Err(Error("not an object".to_owned())));
        }
        let Self { span, ids } = draft;
        Ok(ids.checked().map(|ids| (span, ids)))
    }

    /// Whether there may be one more of what there are so many of.
    pub(super) fn may_have_more(&mut self, count: usize, of: &str) -> bool {
        let may = count < MAX_VALUES;
        if !may {
            self.ids.is_wrong(format!("more than {MAX_VALUES} {of}"));
        }
        may
    }
}

/// What was read of a span's ids, and what of the span is wrong.
#[derive(Debug, Default)]
pub(super) struct Ids {
    trace_id: Option<Bytes>,
    id: Option<Bytes>,
    parent_id: Option<Bytes>,
    wrong: Option<Error>,
}

impl Ids {
    /// Reads one of the three.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, name: &[u8]) -> Result<(), Syntax> {
        let value = reader.value()?;
        reader.skip_rest(&value)?;
        let text = match value {
            Value::Null => None,
            Value::Text(text) => Some(text),
            _ => {
                self.is_wrong(format!("{} is not a text", String::from_utf8_lossy(name)));
                None
            }
        };
        match name {
            b"traceId" => self.trace_id = text,
            b"id" => self.id = text,
            _ => self.parent_id = text,
        }
        Ok(())
    }

    /// Something about the span cannot be kept; the first such thing is told.
    pub(super) fn is_wrong(&mut self, what: impl Into<String>) {
        self.wrong.get_or_insert_with(|| Error(what.into()));
    }

    /// The ids, as [`checked_ids`] has them.
    fn checked(self) -> Result<CheckedIds, Error> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let digits = |id: &Bytes| String::from_utf8_lossy(id).into_owned();
        let wrong = |error: &dyn std::fmt::Display| Error(error.to_string());
        let trace_id = self.trace_id.map(|id| TraceId::parse_hex(&digits(&id)).map_err(|e| wrong(&e)));
        let id = |id: Bytes| SpanId::parse_hex(&digits(&id)).map_err(|error| wrong(&error));
        let trace_id = trace_id.ok_or_else(|| Error("no trace id".to_owned()))??;
        let own = self.id.map(id).ok_or_else(|| Error("no id".to_owned()))??;
        let parent = self.parent_id.filter(|text| !text.is_empty()).map(id).transpose()?;
        checked_ids(trace_id, own, parent)
    }
}

/// A number of microseconds: a number, or digits as text; a part of one is left out. What is below zero, and zero
/// itself, is none (Zipkin has neither).
pub(super) fn micros(reader: &mut Reader<'_>, ids: &mut Ids, name: &str) -> Result<Option<u64>, Syntax> {
    let value = reader.value()?;
    reader.skip_rest(&value)?;
    let number = match &value {
        Value::Null => Some(0),
        Value::Number(text) | Value::Text(text) => whole(text),
        Value::Bool(_) | Value::List | Value::Object => None,
    };
    if number.is_none() {
        ids.is_wrong(format!("{name} is not a number"));
    }
    Ok(number.filter(|number| *number != 0))
}

/// A number that is not below zero; one below it as zero.
fn whole(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if text.is_empty() {
        return Some(0);
    }
    let number = || text.parse().ok().filter(|number: &f64| number.is_finite());
    text.parse().ok().or_else(|| number().map(|number| number as u64))
}

/// Yes, if it is said in any way.
pub(super) fn flag(reader: &mut Reader<'_>) -> Result<bool, Syntax> {
    let text = reader.any_text()?;
    Ok(text.is_some_and(|text| text.eq_ignore_ascii_case(b"true") || text == b"1"[..]))
}

/// An object if there is one; anything else is passed over.
pub(super) fn object(
    reader: &mut Reader<'_>,
    member: impl FnMut(&mut Reader<'_>, &Bytes) -> Result<(), Syntax>,
) -> Result<bool, Syntax> {
    match reader.value()? {
        Value::Object => reader.members(member).map(|()| true),
        value => reader.skip_rest(&value).map(|()| false),
    }
}

/// The elements of a list if there is one; anything else is passed over.
pub(super) fn list(
    reader: &mut Reader<'_>,
    element: impl FnMut(&mut Reader<'_>) -> Result<(), Syntax>,
) -> Result<(), Syntax> {
    match reader.value()? {
        Value::List => reader.elements(element),
        value => reader.skip_rest(&value),
    }
}

/// An endpoint; `None` is one that says nothing. What is no address and no port is left out of it.
pub(super) fn endpoint(reader: &mut Reader<'_>) -> Result<Option<Endpoint>, Syntax> {
    let mut endpoint = Endpoint::default();
    object(reader, |reader, name| {
        match &name[..] {
            b"serviceName" => endpoint.service_name = reader.any_text()?.unwrap_or_default(),
            // Some senders put one kind of address where the other belongs.
            b"ipv4" | b"ipv6" => match reader.any_text()?.and_then(|text| address(&text)) {
                Some(IpAddr::V4(address)) => endpoint.ipv4 = Some(address),
                Some(IpAddr::V6(address)) => endpoint.ipv6 = Some(address),
                None => {}
            },
            b"port" => {
                let number = reader.any_text()?.and_then(|text| whole(&text));
                endpoint.port = number.and_then(|number| number.try_into().ok()).filter(|port| *port != 0);
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(endpoint.unless_silent())
}

fn address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
