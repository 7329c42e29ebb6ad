//! Hands what another program has buffered to a sender of one's own: `cargo run --example buffer_from_disk -- spans`.
#![expect(clippy::print_stdout, reason = "it shows what it sends")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use tracelodge::buffer::{FileSpanStorage, FileStorageConfig, SignalStorage};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("name a folder with buffered spans")?);
    let config = FileStorageConfig {
        // Nobody writes to it any more: there is nothing to wait for.
        min_file_age_for_read: Duration::ZERO,
        // What is older is deleted, by opening the folder already: by default, that is 18 hours.
        max_file_age_for_read: Duration::from_secs(365 * 24 * 60 * 60),
        delete_items_on_iteration: false,
        ..FileStorageConfig::default()
    };
    let storage = FileSpanStorage::create(&folder, config)?;
    let mut batches = storage.iter()?;
    while let Some(batch) = batches.next_batch() {
        send(&batch?.payload)?;
        batches.remove()?;
    }
    drop(batches);
    storage.close()?;
    Ok(())
}

/// Where a real program posts an `ExportTraceServiceRequest` to `/v1/traces`. What fails here comes again next time.
fn send(request: &[u8]) -> Result<(), Box<dyn Error>> {
    println!("{} bytes of spans", request.len());
    Ok(())
}
