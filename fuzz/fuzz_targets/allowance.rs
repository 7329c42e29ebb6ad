//! What a run may allocate: bytes in proportion to its input, however large the numbers are that it announces.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a run may take whatever its input.
const LEAST_BYTES: usize = 1 << 20;

/// The system's allocator, which counts.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's; numbers are counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as promised by who calls this.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as promised by who calls this.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by who calls this.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by who calls this.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn count(bytes: usize) {
    let taken = TAKEN.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes);
    PEAK.fetch_max(taken, Ordering::Relaxed);
}

/// Does the work, which may take so many bytes for each of its input's, and a mebibyte.
pub fn at_most<T>(times: usize, input: &[u8], work: impl FnOnce() -> T) -> T {
    let before = TAKEN.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = work();
    let taken = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    let allowed = times * input.len() + LEAST_BYTES;
    assert!(
        taken <= allowed,
        "{taken} bytes were taken for an input of {}; {allowed} are allowed",
        input.len()
    );
    done
}
