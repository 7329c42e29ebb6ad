//! Values of rows: written and read byte for byte, each under a checksum of its own.
//!
//! The engine checks its pages when it recovers, not when it reads; a value's checksum (CRC-32C over the row's key
//! and the value) is looked at every time. docs/formats.md draws every byte.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::model::{Origin, Resource, Scope, Span, SpanId, SpanKind, StatusCode, Timestamp};
use crate::otlp::SpanView;
use crate::store::literal::key::{self, Identity, shortened};
use crate::store::seal::Cut;
pub(super) use crate::store::seal::{Damaged, seal, unseal};

/// Version of a span's row.
const SPAN_VERSION: u8 = 1;

/// Bytes before a span's texts and messages.
const SPAN_HEADER_BYTES: usize = 64;

/// Where ExpireTime stands in a span's row.
const EXPIRE_TIME_AT: usize = 32;

/// ExpireTime of rows that stay.
pub(super) const NEVER: u64 = 0;

/// Distinct resources and scopes of one trace that are looked through for an equal one before it is copied.
const INTERNED: usize = 32;

/// A span's row.
pub(super) fn span(span: &Span, expire_time: u64) -> Vec<u8> {
    let parts = [
        span.resource.service.as_bytes(),
        span.resource.schema_url.as_bytes(),
        &span.resource.bytes,
        span.scope.schema_url.as_bytes(),
        &span.scope.bytes,
        &span.body,
    ];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut row = Vec::with_capacity(SPAN_HEADER_BYTES + length + 4);
    row.extend_from_slice(&[SPAN_VERSION, span.kind as u8, span.status as u8, span.origin as u8]);
    row.extend_from_slice(&span.flags.to_le_bytes());
    row.extend_from_slice(&span.parent_id.unwrap_or_default().0);
    for number in [span.start.nanos(), span.end.nanos(), expire_time] {
        row.extend_from_slice(&number.to_le_bytes());
    }
    for part in parts {
        row.extend_from_slice(&length_of(part).to_le_bytes());
    }
    for part in parts {
        row.extend_from_slice(part);
    }
    seal(&Identity::of(span).to_key(), row)
}

/// The same row with another ExpireTime.
pub(super) fn span_with_expire_time(key: &[u8], sealed: &[u8], expire_time: u64) -> Result<Vec<u8>, Damaged> {
    let mut row = unseal(key, sealed)?.to_vec();
    let field = row.get_mut(EXPIRE_TIME_AT..EXPIRE_TIME_AT + 8).ok_or(Damaged)?;
    field.copy_from_slice(&expire_time.to_le_bytes());
    Ok(seal(key, row))
}

fn length_of(part: &[u8]) -> u32 {
    u32::try_from(part.len()).expect("a part of a request is far below 4 GiB")
}

/// A span's row, checked and cut into its parts.
#[derive(Debug)]
pub(super) struct SpanRow<'a> {
    pub(super) identity: Identity,
    kind: SpanKind,
    status: StatusCode,
    origin: Origin,
    flags: u32,
    parent_id: Option<SpanId>,
    pub(super) start: Timestamp,
    end: Timestamp,
    expire_time: u64,
    pub(super) service: &'a str,
    resource_schema_url: &'a str,
    resource: &'a [u8],
    scope_schema_url: &'a str,
    scope: &'a [u8],
    body: &'a [u8],
}

impl<'a> SpanRow<'a> {
    pub(super) fn read(key: &[u8], sealed: &'a [u8]) -> Result<Self, Damaged> {
        Self::cut(Identity::from_key(key).ok_or(Damaged)?, unseal(key, sealed)?).ok_or(Damaged)
    }

    fn cut(identity: Identity, row: &'a [u8]) -> Option<Self> {
        let mut cut = Cut(row);
        let [SPAN_VERSION, kind, status, origin] = cut.array::<4>()? else { return None };
        let flags = cut.u32()?;
        let parent_id = Some(SpanId(cut.array()?)).filter(|parent| !parent.is_zero());
        let (start, end, expire_time) = (Timestamp(cut.u64()?), Timestamp(cut.u64()?), cut.u64()?);
        let mut lengths = [0; 6];
        for length in &mut lengths {
            *length = cut.u32()? as usize;
        }
        let mut parts = lengths.into_iter().map(|length| cut.bytes(length));
        let mut part = || parts.next().flatten();
        Some(Self {
            identity,
            kind: SpanKind::from_number(kind.into()),
            status: StatusCode::from_number(status.into()),
            origin: Origin::from_number(origin)?,
            flags,
            parent_id,
            start,
            end,
            expire_time,
            service: str::from_utf8(part()?).ok()?,
            resource_schema_url: str::from_utf8(part()?).ok()?,
            resource: part()?,
            scope_schema_url: str::from_utf8(part()?).ok()?,
            scope: part()?,
            body: part()?,
        })
    }

    /// What the reminder of its expiry says.
    pub(super) fn to_reminder(&self) -> Note {
        Note {
            expire_time: self.expire_time,
            number: self.start.nanos(),
            text: shortened(self.service).into_owned(),
        }
    }
}

/// Makes spans of rows; spans of one trace share the resources and scopes they have in common.
#[derive(Debug, Default)]
pub(super) struct SpanMaker {
    resources: Vec<Arc<Resource>>,
    scopes: Vec<Arc<Scope>>,
}

impl SpanMaker {
    pub(super) fn span(&mut self, row: &SpanRow<'_>) -> Span {
        Span {
            trace_id: row.identity.trace_id,
            span_id: row.identity.span_id,
            parent_id: row.parent_id,
            start: row.start,
            end: row.end,
            kind: row.kind,
            status: row.status,
            origin: row.origin,
            flags: row.flags,
            content_hash: row.identity.content_hash,
            resource: self.resource(row),
            scope: self.scope(row),
            body: Bytes::copy_from_slice(row.body),
        }
    }

    fn resource(&mut self, row: &SpanRow<'_>) -> Arc<Resource> {
        let equal = |known: &&Arc<Resource>| {
            known.bytes == row.resource
                && known.schema_url == row.resource_schema_url
                && known.service == row.service
        };
        if let Some(known) = self.resources.iter().rev().take(INTERNED).find(equal) {
            return Arc::clone(known);
        }
        let resource = Arc::new(Resource {
            bytes: Bytes::copy_from_slice(row.resource),
            schema_url: row.resource_schema_url.into(),
            service: row.service.into(),
        });
        self.resources.push(Arc::clone(&resource));
        resource
    }

    fn scope(&mut self, row: &SpanRow<'_>) -> Arc<Scope> {
        let equal =
            |known: &&Arc<Scope>| known.bytes == row.scope && known.schema_url == row.scope_schema_url;
        if let Some(known) = self.scopes.iter().rev().take(INTERNED).find(equal) {
            return Arc::clone(known);
        }
        let scope = Arc::new(Scope {
            bytes: Bytes::copy_from_slice(row.scope),
            schema_url: row.scope_schema_url.into(),
        });
        self.scopes.push(Arc::clone(&scope));
        scope
    }
}

/// What the indexes know of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// Which span.
    pub identity: Identity,
    /// When it started.
    pub start: Timestamp,
    /// From start to end.
    pub duration: Duration,
    /// Its kind.
    pub kind: SpanKind,
    /// Its status.
    pub status: StatusCode,
    /// Its service, [`shortened`].
    pub service: String,
    /// Its name, [`shortened`].
    pub operation: String,
}

impl IndexRow {
    /// What the indexes say of this span.
    pub fn of(span: &Span) -> Self {
        Self {
            identity: Identity::of(span),
            start: span.start,
            duration: span.duration(),
            kind: span.kind,
            status: span.status,
            service: shortened(&span.resource.service).into_owned(),
            operation: shortened(&SpanView::name_of(&span.body)).into_owned(),
        }
    }

    pub(super) fn to_value(&self, key: &[u8]) -> Vec<u8> {
        let nanos = u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX);
        let mut value = Vec::with_capacity(18 + self.service.len() + self.operation.len());
        value.extend_from_slice(&nanos.to_le_bytes());
        value.extend_from_slice(&[self.kind as u8, self.status as u8]);
        value.extend_from_slice(&length_of(self.service.as_bytes()).to_le_bytes());
        value.extend_from_slice(self.service.as_bytes());
        value.extend_from_slice(self.operation.as_bytes());
        seal(key, value)
    }

    pub(super) fn read(key: &[u8], sealed: &[u8]) -> Result<Self, Damaged> {
        let (start, identity) = key::indexed(key).ok_or(Damaged)?;
        Self::cut(start, identity, unseal(key, sealed)?).ok_or(Damaged)
    }

    fn cut(start: Timestamp, identity: Identity, value: &[u8]) -> Option<Self> {
        let mut cut = Cut(value);
        let duration = Duration::from_nanos(cut.u64()?);
        let [kind, status] = cut.array()?;
        let length = cut.u32()? as usize;
        Some(Self {
            identity,
            start,
            duration,
            kind: SpanKind::from_number(kind.into()),
            status: StatusCode::from_number(status.into()),
            service: String::from_utf8(cut.bytes(length)?.into()).ok()?,
            operation: String::from_utf8(cut.0.into()).ok()?,
        })
    }
}

/// A row of a small table: when it goes, a number (last seen, calls, hour), and a text where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) expire_time: u64,
    pub(super) number: u64,
    pub(super) text: String,
}

impl Note {
    pub(super) fn to_value(&self, key: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(20 + self.text.len());
        value.extend_from_slice(&self.expire_time.to_le_bytes());
        value.extend_from_slice(&self.number.to_le_bytes());
        value.extend_from_slice(self.text.as_bytes());
        seal(key, value)
    }

    pub(super) fn read(key: &[u8], sealed: &[u8]) -> Result<Self, Damaged> {
        let mut cut = Cut(unseal(key, sealed)?);
        let (Some(expire_time), Some(number)) = (cut.u64(), cut.u64()) else { return Err(Damaged) };
        let text = String::from_utf8(cut.0.into()).map_err(|_| Damaged)?;
        Ok(Self { expire_time, number, text })
    }
}
