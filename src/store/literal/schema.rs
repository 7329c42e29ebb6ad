//! All tables on one page: the schema jaeger-dynamodb gave DynamoDB, and what a redb mirror needs beside it.
//!
//! | table | DynamoDB's hash and range | key | value |
//! | --- | --- | --- | --- |
//! | `jaeger.spans` | TraceID, SpanID | TraceID ‖ SpanID ‖ content hash | the span, ExpireTime |
//! | `jaeger.spans.ServiceNameIndex` | ServiceName, StartTime | ServiceName ‖ 00 ‖ StartTime ‖ span key | OperationName, Duration, kind, status |
//! | `jaeger.spans.StartTimeIndex` | – | StartTime ‖ span key | the same |
//! | `jaeger.services` | Name | Name ‖ 00 | last seen |
//! | `jaeger.operations` | ServiceName, Name | ServiceName ‖ 00 ‖ Name ‖ 00 ‖ SpanKind | last seen |
//! | `jaeger.dependencies` | Key (`parent/child`), CallTimeBucket | parent ‖ 00 ‖ child ‖ 00 ‖ hour | calls |
//! | `jaeger.pending_parents` | – | TraceID ‖ parent SpanID ‖ child SpanID ‖ content hash | child's service, hour |
//! | `jaeger.archive` | – (a second `jaeger.spans`) | as `jaeger.spans` | as `jaeger.spans`, no ExpireTime |
//! | `buffer.cursor` | – | buffer id ‖ signal | last applied sequence |
//! | `expiry` | – (DynamoDB's own background) | ExpireTime ‖ table ‖ row key | for spans: StartTime, ServiceName |
//! | `meta` | – | `format` | format number |
//!
//! `StartTimeIndex` is not in DynamoDB's schema, which cannot search without a service; merging one range per
//! service instead would open thousands of ranges where there are thousands of services. `expiry` stands for
//! DynamoDB's own sweeper: ordered by time, so that what is due is found without looking at anything else.
//! Keys are [`crate::store::literal::key`]'s, values [`crate::store::literal::record`]'s; docs/formats.md draws every byte.

pub(super) use crate::store::engine::Definition;
use crate::store::engine::META;

pub(super) const SPANS: Definition = Definition::new("jaeger.spans");
pub(super) const SERVICE_NAME_INDEX: Definition = Definition::new("jaeger.spans.ServiceNameIndex");
pub(super) const START_TIME_INDEX: Definition = Definition::new("jaeger.spans.StartTimeIndex");
pub(super) const SERVICES: Definition = Definition::new("jaeger.services");
pub(super) const OPERATIONS: Definition = Definition::new("jaeger.operations");
pub(super) const DEPENDENCIES: Definition = Definition::new("jaeger.dependencies");
pub(super) const PENDING_PARENTS: Definition = Definition::new("jaeger.pending_parents");
pub(super) const ARCHIVE: Definition = Definition::new("jaeger.archive");
pub(super) const CURSOR: Definition = Definition::new("buffer.cursor");
pub(super) const EXPIRY: Definition = Definition::new("expiry");

/// Every table; all are made when a file is made, so that readers never miss one.
pub(super) const TABLES: [Definition; 11] = [
    SPANS,
    SERVICE_NAME_INDEX,
    START_TIME_INDEX,
    SERVICES,
    OPERATIONS,
    DEPENDENCIES,
    PENDING_PARENTS,
    ARCHIVE,
    CURSOR,
    EXPIRY,
    META,
];

/// The tables whose rows have their day; the numbers stand in the keys of `expiry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Expiring {
    Spans = 1,
    Services = 2,
    Operations = 3,
    Dependencies = 4,
    PendingParents = 5,
}

impl Expiring {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Self::Spans, Self::Services, Self::Operations, Self::Dependencies, Self::PendingParents]
            .into_iter()
            .find(|table| *table as u8 == number)
    }
}
