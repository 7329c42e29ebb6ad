//! Keys whose bytes sort as their values: numbers most significant byte first, names ended by a byte none contains.

use crate::model::{SpanId, Timestamp, TraceId};

pub use crate::store::key::{Identity, MAX_NAME_BYTES, shortened};
pub(super) use crate::store::key::{cursor, hour, name, operation, operation_bounds, service, split_name};

/// First key of a table of identities that belongs to the trace.
pub(super) fn trace_first(trace_id: TraceId) -> [u8; 32] {
    Identity { trace_id, span_id: SpanId([0; 8]), content_hash: 0 }.to_key()
}

/// Last key of a table of identities that can belong to the trace.
pub(super) fn trace_last(trace_id: TraceId) -> [u8; 32] {
    Identity { trace_id, span_id: SpanId([0xff; 8]), content_hash: u64::MAX }.to_key()
}

/// First and last key that can belong to spans of this id.
pub(super) fn span_bounds(trace_id: TraceId, span_id: SpanId) -> ([u8; 32], [u8; 32]) {
    let key = |content_hash| Identity { trace_id, span_id, content_hash }.to_key();
    (key(0), key(u64::MAX))
}

/// `jaeger.spans.ServiceNameIndex`: ServiceName ‖ 00 ‖ StartTime ‖ identity.
pub(super) fn service_index(service: &str, start: Timestamp, identity: Identity) -> Vec<u8> {
    let mut key = name(service);
    key.extend_from_slice(&start_index(start, identity));
    key
}

/// `jaeger.spans.StartTimeIndex`: StartTime ‖ identity.
pub(super) fn start_index(start: Timestamp, identity: Identity) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&start.nanos().to_be_bytes());
    key[8..].copy_from_slice(&identity.to_key());
    key
}

/// First and last key of either index for spans that start within the bounds.
pub(super) fn index_bounds(service: Option<&str>, start: Timestamp, end: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let prefix = service.map(name).unwrap_or_default();
    let first = [&prefix[..], &start.nanos().to_be_bytes()].concat();
    let last = [&prefix[..], &end.nanos().to_be_bytes(), &[0xff; Identity::BYTES]].concat();
    (first, last)
}

/// Start and identity from the end of a key of either index.
pub(super) fn indexed(key: &[u8]) -> Option<(Timestamp, Identity)> {
    let tail = key.last_chunk::<40>()?;
    let (start, identity) = tail.split_first_chunk()?;
    Some((Timestamp(u64::from_be_bytes(*start)), Identity::from_key(identity)?))
}

/// `jaeger.dependencies`: parent ‖ 00 ‖ child ‖ 00 ‖ CallTimeBucket.
pub(super) fn dependency(parent: &str, child: &str, hour: u32) -> Vec<u8> {
    let mut key = name(parent);
    key.extend_from_slice(&name(child));
    key.extend_from_slice(&hour.to_be_bytes());
    key
}

/// Parent, child and hour from a key of `jaeger.dependencies`.
pub(super) fn split_dependency(key: &[u8]) -> Option<(String, String, u32)> {
    let (parent, rest) = split_name(key)?;
    let (child, hour) = split_name(rest)?;
    Some((parent, child, u32::from_be_bytes(hour.try_into().ok()?)))
}

/// `jaeger.pending_parents`: TraceID ‖ parent SpanID ‖ child SpanID ‖ child's content hash.
pub(super) fn pending_parent(parent: SpanId, child: Identity) -> [u8; 40] {
    let mut key = [0; 40];
    key[..16].copy_from_slice(&child.trace_id.0);
    key[16..24].copy_from_slice(&parent.0);
    key[24..].copy_from_slice(&child.to_key()[16..]);
    key
}

/// First and last key of the children that wait for a parent.
pub(super) fn pending_bounds(trace_id: TraceId, parent: SpanId) -> ([u8; 40], [u8; 40]) {
    let child = |byte, content_hash| Identity { trace_id, span_id: SpanId([byte; 8]), content_hash };
    (pending_parent(parent, child(0, 0)), pending_parent(parent, child(0xff, u64::MAX)))
}

/// `expiry`: ExpireTime ‖ number of the table ‖ the row's key there.
pub(super) fn expiry(expire_time: u64, table: u8, row: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + row.len());
    key.extend_from_slice(&expire_time.to_be_bytes());
    key.push(table);
    key.extend_from_slice(row);
    key
}

/// ExpireTime, number of the table and the row's key from a key of `expiry`.
pub(super) fn expiring(key: &[u8]) -> Option<(u64, u8, &[u8])> {
    let (expire_time, rest) = key.split_first_chunk()?;
    let (table, row) = rest.split_first()?;
    Some((u64::from_be_bytes(*expire_time), *table, row))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::SpanKind;

    fn identity() -> impl Strategy<Value = Identity> {
        (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<u64>()).prop_map(|(trace, span, content_hash)| Identity {
            trace_id: TraceId(trace),
            span_id: SpanId(span),
            content_hash,
        })
    }

    /// Texts that are often equal, prefixes of each other, and full of the bytes keys escape.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[\u{0}\u{1}\u{2}a/]{0,4}", ".{0,8}"]
    }

    proptest! {
        #[test]
        fn an_index_key_sorts_as_service_start_and_identity(
            left in (text(), any::<u64>(), identity()), right in (text(), any::<u64>(), identity()),
        ) {
            let key = |(service, start, identity): &(String, u64, Identity)| {
                service_index(service, Timestamp(*start), *identity)
            };
            prop_assert_eq!(key(&left).cmp(&key(&right)), left.cmp(&right));
            prop_assert_eq!(indexed(&key(&left)), Some((Timestamp(left.1), left.2)));
        }

        #[test]
        fn a_dependency_key_sorts_as_its_parts_and_gives_them_back(
            left in (text(), text(), any::<u32>()), right in (text(), text(), any::<u32>()),
        ) {
            let key = |(parent, child, hour): &(String, String, u32)| dependency(parent, child, *hour);
            prop_assert_eq!(key(&left).cmp(&key(&right)), left.cmp(&right));
            prop_assert_eq!(split_dependency(&key(&left)), Some(left));
        }

        #[test]
        fn bounds_hold_a_service_and_nothing_else(
            service in text(), other in text(), start in any::<u64>(), identity in identity(),
        ) {
            let (first, last) = index_bounds(Some(&service), Timestamp::ZERO, Timestamp::MAX);
            let key = service_index(&other, Timestamp(start), identity);
            prop_assert_eq!((first..=last).contains(&key), service == other);
            let (first, last) = operation_bounds(&service);
            let key = operation(&other, "op", SpanKind::Server);
            prop_assert_eq!((first..=last).contains(&key), service == other);
        }

        #[test]
        fn the_soonest_expiry_sorts_first(left in any::<(u64, u8, Vec<u8>)>(), right in any::<(u64, u8, Vec<u8>)>()) {
            let key = |(time, table, row): &(u64, u8, Vec<u8>)| expiry(*time, *table, row);
            prop_assert_eq!(key(&left).cmp(&key(&right)), left.cmp(&right));
            let made = key(&left);
            prop_assert_eq!(expiring(&made), Some((left.0, left.1, &left.2[..])));
        }
    }

    #[test]
    fn a_long_name_is_shortened_once_and_for_all() {
        for letter in ["a", "ü", "語"] {
            let long = letter.repeat(2_000);
            let short = shortened(&long).into_owned();
            assert!(short.len() <= MAX_NAME_BYTES && short.contains('…'), "{} bytes", short.len());
            assert_eq!(shortened(&short), short);
            assert_ne!(shortened(&format!("{long}!")), short);
        }
        assert_eq!(shortened("checkout"), "checkout");
    }
}
