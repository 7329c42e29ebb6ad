//! How much is put together: into chunks, into runs, and by merging. Tests put together less.

/// The numbers beside which nothing else changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// The most spans of one run.
    pub(super) run_spans: usize,
    /// Bytes of bodies behind which a run ends. A chunk ends where another span id begins, so a run of one id is one
    /// chunk: this and one span more must fit into it.
    pub(super) run_bytes: usize,
    /// A chunk ends before the trace with which it would have more than these, unless that trace is all it has.
    pub(super) chunk_spans: usize,
    pub(super) chunk_bytes: usize,
    /// Within a trace a chunk ends after these.
    pub(super) trace_spans: usize,
    pub(super) trace_bytes: usize,
    /// A run with fewer spans is small.
    pub(super) small_run: u32,
    /// Small runs that are merged in the active block once there are so many, or so many spans in them.
    pub(super) many_runs: usize,
    pub(super) many_spans: u32,
    /// The most that is merged at once: runs, and spans and raw bytes, which are in memory meanwhile.
    pub(super) merged_runs: usize,
    pub(super) merged_spans: u32,
    pub(super) merged_bytes: u64,
    /// Spans that are kept in mind while a trace is gone through, so that none comes twice: 2.5 MiB. Of a larger trace a
    /// part is gone through at a time.
    pub(super) walked_spans: u64,
    /// Spans of one batch when an older format is taken over, and bytes of rows behind which it ends.
    pub(super) conversion_spans: usize,
    pub(super) conversion_bytes: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            run_spans: 50_000,
            run_bytes: 28 << 20,
            chunk_spans: 2_000,
            chunk_bytes: 1 << 20,
            trace_spans: 4_096,
            trace_bytes: 4 << 20,
            small_run: 5_000,
            many_runs: 64,
            many_spans: 25_000,
            merged_runs: 256,
            merged_spans: 30_000,
            merged_bytes: 32 << 20,
            walked_spans: 1 << 17,
            conversion_spans: 10_000,
            conversion_bytes: 16 << 20,
        }
    }
}
