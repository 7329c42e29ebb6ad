//! Services by the names they are shown by, for all doors. One such name may mean two: the service that really goes by
//! it, and the one that is shown by it because it was not named.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{SpanKind, Timestamp};
use crate::query::{Call, Conditions, Error, Operation, Query};
use crate::translate::jaeger_json::{asked_services, shown_service};

/// The names of all services.
pub(super) fn names(query: &Query) -> Result<BTreeSet<String>, Error> {
    Ok(query.services()?.iter().map(|name| shown_service(name).to_owned()).collect())
}

/// The operations of all services that may be meant.
pub(super) fn operations(
    query: &Query,
    shown: &str,
    kind: Option<SpanKind>,
) -> Result<BTreeSet<Operation>, Error> {
    let mut operations = BTreeSet::new();
    for service in asked_services(shown) {
        operations.extend(query.operations(service, kind)?);
    }
    Ok(operations)
}

/// The same as Jaeger's third API says them, by name: in OTLP, a kind that was not said is taken for internal.
pub(super) fn operations_of_otlp(
    query: &Query,
    shown: &str,
    kind: Option<SpanKind>,
) -> Result<BTreeSet<Operation>, Error> {
    let mut operations = operations(query, shown, kind)?;
    if kind == Some(SpanKind::Internal) {
        operations.extend(self::operations(query, shown, Some(SpanKind::Unspecified))?);
    }
    let said = |kind| if kind == SpanKind::Unspecified { SpanKind::Internal } else { kind };
    Ok(operations.into_iter().map(|it| Operation { kind: said(it.kind), ..it }).collect())
}

/// Conditions whose service is a shown name, as those that differ in nothing but the service that may be meant.
pub(super) fn meant(conditions: Conditions) -> Vec<Conditions> {
    match &conditions.service {
        None => vec![conditions],
        Some(shown) => asked_services(shown)
            .map(|service| Conditions { service: Some(service.to_owned()), ..conditions.clone() })
            .collect(),
    }
}

/// How often services called others; only calls of and by services that are wanted.
pub(super) fn calls(
    query: &Query,
    (start, end): (Timestamp, Timestamp),
    with_links: bool,
    is_wanted: impl Fn(&Call) -> bool,
) -> Result<BTreeMap<(String, String), u64>, Error> {
    let mut calls = BTreeMap::new();
    for call in query.calls(start, end, with_links)?.iter().filter(|call| is_wanted(call)) {
        let ends = (shown_service(&call.parent).to_owned(), shown_service(&call.child).to_owned());
        *calls.entry(ends).or_default() += call.count;
    }
    Ok(calls)
}
