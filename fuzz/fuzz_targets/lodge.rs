//! The doors of the program before a buffer in memory and an empty store.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tower::ServiceExt as _;
use tracelodge::buffer::{Buffer, Consumer, Environment, FileStorageConfig, Signal, WhenFull};
use tracelodge::ingest::{Buffers, Ingest, Settings};
use tracelodge::model::{Clock, Timestamp};
use tracelodge::query::Query;
use tracelodge::receive::{self, Counts};
use tracelodge::serve::guard::AllowedHosts;
use tracelodge::serve::http::{About, Answers};
use tracelodge::serve::turns::Turns;
use tracelodge::store::{self, Store};

use super::memory_disk::{MemoryDisk, StoppedClock};

/// The largest request, inflated: small, so that small inputs can be too large.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;

/// The name that the page's door may be asked by, beside those that are always safe.
pub const ALLOWED_HOST: &str = "traces.example.org";

/// An answer, whole.
pub struct Answer {
    pub status: u16,
    pub headers: axum::http::HeaderMap,
    pub trailers: axum::http::HeaderMap,
}

pub struct Lodge {
    runtime: Runtime,
    ingest: Arc<Ingest>,
    _store: Consumer,
    _ending: watch::Sender<bool>,
    ending: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_060_000_000_000)
    }
}

impl Lodge {
    pub fn open() -> Self {
        let environment = Environment::new(Arc::new(MemoryDisk::default()), Arc::new(StoppedClock));
        let settings = FileStorageConfig {
            max_file_size: 1 << 20,
            max_folder_size: 8 << 20,
            tail_bytes: 1 << 20,
            when_full: WhenFull::DropOldest,
            ..FileStorageConfig::appliance()
        };
        let (traces, _) = Buffer::open(Path::new("/buffer"), Signal::Traces, settings, environment)
            .expect("memory takes it");
        let store = traces.external_consumer("store", None).expect("nobody else has the name");
        let buffers = Buffers { traces, logs: None, metrics: None };
        let settings = Settings {
            max_request_bytes: MAX_REQUEST_BYTES,
            max_span_bytes: 16 << 10,
            in_flight_bytes: 1 << 20,
        };
        let runtime = Builder::new_current_thread().enable_all().build().expect("a thread waits for nothing");
        let (_ending, ending) = watch::channel(false);
        Self { runtime, ingest: Arc::new(Ingest::new(buffers, settings)), _store: store, _ending, ending }
    }

    pub fn otlp(&self) -> Router {
        receive::otlp::router(Arc::clone(&self.ingest), Arc::new(Counts::default()), vec!["*".into()])
    }

    /// Jaeger's storage as far as it writes.
    pub fn storage(&self) -> Router {
        let ingest = || Arc::clone(&self.ingest);
        receive::storage::router(ingest(), ingest(), Arc::new(Counts::default()), self.ending.clone())
    }

    /// The page's door, with nothing stored.
    pub fn page(&self) -> Router {
        let folder = tempfile::tempdir().expect("there is a folder for what is temporary").keep();
        let settings = store::Settings {
            cache_bytes: 1 << 20,
            max_age: Duration::from_secs(3_600),
            max_bytes: Some(64 << 20),
            min_free_bytes: 0,
        };
        let clock: Arc<dyn Clock> = Arc::new(Stopped);
        let store = Store::open(&folder, &settings, clock.now()).expect("an empty folder is an empty store");
        tracelodge::serve::http::router(Arc::new(Answers {
            query: Arc::new(Query::new(Arc::new(store))),
            clock,
            about: About::default(),
            allowed_hosts: AllowedHosts::new([ALLOWED_HOST]).expect("a name"),
            turns: Turns::default(),
        }))
    }

    /// Asks and waits for the whole answer.
    pub fn ask(&self, router: &Router, request: Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let response: Response<Body> =
                router.clone().oneshot(request).await.expect("a router always answers");
            let (head, body) = response.into_parts();
            let body = body.collect().await.expect("an answer is whole");
            let trailers = body.trailers().cloned().unwrap_or_default();
            Answer { status: head.status.as_u16(), headers: head.headers, trailers }
        })
    }
}

/// The same for all runs of a process.
pub fn opened(
    lodge: &'static OnceLock<(Lodge, Router)>,
    router: fn(&Lodge) -> Router,
) -> &'static (Lodge, Router) {
    lodge.get_or_init(|| {
        let lodge = Lodge::open();
        let router = router(&lodge);
        (lodge, router)
    })
}

/// A body in one piece.
pub fn body(bytes: &[u8]) -> Body {
    Body::from(Bytes::copy_from_slice(bytes))
}
