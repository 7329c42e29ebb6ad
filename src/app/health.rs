//! How the program is, from what its parts say of themselves.

use std::sync::Arc;

use crate::buffer::Buffer;
use crate::ingest::Ingest;
use crate::serve::admin::{AskHealth, Health, Readiness, Status};

/// Asks the parts, anew each time. A full or failed disk stops the way in; what is stored can still be read.
pub(super) fn health(ingest: Arc<Ingest>, buffer: Buffer) -> AskHealth {
    Arc::new(move || {
        let stats = buffer.stats();
        let mut reasons = Vec::new();
        if ingest.is_stopping() {
            reasons.push("the server is stopping".to_owned());
        }
        if stats.degraded {
            reasons.push(
                "the disk failed while spans were made safe; restart when it is whole again".to_owned(),
            );
        }
        if stats.folder_limit.saturating_sub(stats.folder_bytes) < 1024 {
            let (used, limit) = (stats.folder_bytes, stats.folder_limit);
            reasons.push(format!("{used} of the {limit} bytes of buffer.max_folder_size wait to be stored"));
        }
        let status = match () {
            () if ingest.is_stopping() => Status::Stopping,
            () if stats.degraded => Status::PermanentError,
            () if !reasons.is_empty() => Status::RecoverableError,
            () => Status::Ok,
        };
        Health {
            status,
            ingest: Readiness { ready: reasons.is_empty(), reasons },
            query: Readiness { ready: true, reasons: Vec::new() },
        }
    })
}
