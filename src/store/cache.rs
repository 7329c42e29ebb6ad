//! Chunks that were read lately, opened.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::chunk::Chunk;

/// Block, run and number of a chunk.
pub(super) type ChunkId = (u64, u32, u32);

/// Keeps chunks up to a number of bytes; those that were not asked for longest go first.
#[derive(Debug)]
pub(super) struct ChunkCache {
    max_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    chunks: HashMap<ChunkId, Cached>,
    bytes: usize,
    turn: u64,
}

#[derive(Debug)]
struct Cached {
    chunk: Arc<Chunk>,
    bytes: usize,
    asked: u64,
}

impl ChunkCache {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, kept: Mutex::default() }
    }

    pub(super) fn clear(&self) {
        *self.kept.lock() = Kept::default();
    }

    pub(super) fn get(&self, id: ChunkId) -> Option<Arc<Chunk>> {
        let mut kept = self.kept.lock();
        kept.turn += 1;
        let turn = kept.turn;
        let cached = kept.chunks.get_mut(&id)?;
        cached.asked = turn;
        Some(Arc::clone(&cached.chunk))
    }

    pub(super) fn put(&self, id: ChunkId, chunk: &Arc<Chunk>) {
        let mut kept = self.kept.lock();
        kept.turn += 1;
        let turn = kept.turn;
        let cached = Cached { chunk: Arc::clone(chunk), bytes: chunk.bytes(), asked: turn };
        kept.bytes += cached.bytes;
        if let Some(before) = kept.chunks.insert(id, cached) {
            kept.bytes -= before.bytes;
        }
        while kept.bytes > self.max_bytes {
            // Some fifty chunks: looking at all of them is quicker than keeping them in order.
            let oldest = kept.chunks.iter().min_by_key(|(_, cached)| cached.asked).map(|(id, _)| *id);
            let Some(cached) = oldest.and_then(|id| kept.chunks.remove(&id)) else { break };
            kept.bytes -= cached.bytes;
        }
    }
}
