//! Any bytes as what a search reads first in the store: rows of spans by service, rows of filters, one filter.

#![no_main]

use libfuzzer_sys::fuzz_target;
// By the name that the store's files have for it.
use tracelodge::model;

/// The store's own files: nobody outside of it may read rows.
#[expect(dead_code, reason = "rows are read here, not written")]
#[path = "../../src/store"]
mod store {
    mod bloom;
    mod index;
    mod key;
    mod seal;
    mod tag_filters;

    /// What is said of the engine.
    use tracelodge::store::Error;

    /// Bytes of a row before what is packed.
    const HEAD_BYTES: usize = 21;

    pub(crate) fn read_as_index_row(row: &[u8]) {
        let Ok(read) = index::Reader::default().read(row) else { return };
        let head = index::Head::read(row).expect("the whole row was read");
        assert_eq!(read.spans.len(), head.spans);
        assert!(read.spans.is_sorted_by(|a, b| a.ordinal < b.ordinal));
        for span in &read.spans {
            assert!((span.class as usize) < read.classes.len());
            assert!(head.earliest <= span.start_at_least() && span.start_at_least() <= span.start_at_most());
            assert!(span.duration_at_least() <= span.duration_at_most());
        }
    }

    /// With its body packed here: few bytes at random are what zstd packs to.
    pub(crate) fn read_as_unpacked_index_row(row: &[u8]) {
        let (head, body) = row.split_at(row.len().min(HEAD_BYTES));
        let body = zstd::bulk::compress(body, 1).expect("memory takes what is written to it");
        read_as_index_row(&[head, &body].concat());
    }

    pub(crate) fn read_as_filters(row: &[u8]) {
        let Ok(filters) = bloom::filters(row) else { return };
        let with_length = |filter: &&[u8]| [&(filter.len() as u32).to_le_bytes()[..], filter].concat();
        assert_eq!(filters.iter().flat_map(with_length).collect::<Vec<u8>>(), row);
    }

    pub(crate) fn read_as_tag_row(row: &[u8]) {
        let Ok(read) = tag_filters::TagRow::read(row, 16) else { return };
        assert!(read.may_hold(7, 16), "of what is not in it nothing is known");
        let held = (0..16).filter(|chunk| read.may_hold(u64::from_le_bytes([7; 8]), *chunk)).count();
        assert!(held == 0 || row[0] < 16 || row.len() > 32);
    }

    pub(crate) fn ask(filter: &[u8]) {
        let hash = filter.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let may_hold = bloom::may_hold(filter, hash);
        assert!(!may_hold || !filter.is_empty());
        assert!(may_hold || filter.len() % 32 == 0);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((mode, bytes)) = input.split_first() else { return };
    match mode % 5 {
        0 => store::read_as_index_row(bytes),
        1 => store::read_as_unpacked_index_row(bytes),
        2 => store::read_as_filters(bytes),
        3 => store::ask(bytes),
        _ => store::read_as_tag_row(bytes),
    }
});
