//! Everything is deleted while the program goes on: for test rigs that begin each case with nothing.

use std::sync::Arc;
use std::time::Duration;

use super::backup::wait_until_taken;
use crate::buffer::Buffer;
use crate::ingest::Archive;
use crate::model::Clock;
use crate::serve::admin::Purge;
use crate::store::Store;

/// What is in the buffer has this long to reach the store, where it is deleted.
const TAKE_WITHIN: Duration = Duration::from_secs(30);

/// What was accepted before it is called is gone when it returns; what is accepted meanwhile may go or stay. What waits
/// in the buffer for an upstream is still forwarded.
pub(super) fn purging(store: Arc<Store>, buffer: Buffer, archive: Archive, clock: Arc<dyn Clock>) -> Purge {
    Arc::new(move || {
        let left = wait_until_taken(&buffer, TAKE_WITHIN);
        if left > 0 {
            return Err(format!(
                "{left} spans wait in the buffer: the store does not keep up, and nothing was deleted"
            ));
        }
        let failed = |what: &str, error: anyhow::Error| {
            tracing::error!("{what} could not be emptied: {error:#}");
            format!("{what} could not be emptied; the log has the details")
        };
        store.purge(clock.now()).map_err(|error| failed("the store", error.into()))?;
        match archive.purge() {
            Some(purged) => purged.map_err(|error| failed("the archive", error.into())),
            None => Err("the server is stopping".to_owned()),
        }
    })
}
