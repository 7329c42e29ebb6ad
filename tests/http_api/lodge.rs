//! A store in a temporary folder with the doors before it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value as Json;
use tempfile::TempDir;
use tower::ServiceExt as _;
use tracelodge::model::{Clock, Timestamp};
use tracelodge::otlp;
use tracelodge::query::{Limits, Query};
use tracelodge::serve::guard::AllowedHosts;
use tracelodge::serve::http::{About, Answers, AskAgent, router};
use tracelodge::serve::turns::Turns;
use tracelodge::store::{Cursor, Settings, Store};

use crate::drawing::BASE_NANOS;
use crate::sketch::drawn;

/// Stands still, an hour after the drawn traces.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(BASE_NANOS).plus(Duration::from_secs(3_600))
    }
}

pub(crate) struct Lodge {
    folder: TempDir,
    store: Arc<Store>,
    pub(crate) query: Arc<Query>,
    pub(crate) router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The trace ids of an answer of Jaeger's API, in its order.
pub(crate) fn trace_ids(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    json["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trace| trace["traceID"].as_str().unwrap().to_owned())
        .collect()
}

impl Lodge {
    pub(crate) fn holding(requests: &[ExportTraceServiceRequest]) -> Self {
        Self::keeping(requests.iter().map(|request| Bytes::from(request.encode_to_vec())))
    }

    /// As they come from the buffer.
    pub(crate) fn keeping(requests: impl IntoIterator<Item = Bytes>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            cache_bytes: 1 << 20,
            max_age: Duration::from_secs(7 * 24 * 3_600),
            max_bytes: Some(1 << 30),
            min_free_bytes: 0,
        };
        let store = Store::open(folder.path(), &settings, Still.now()).unwrap();
        for (request, sequence) in requests.into_iter().zip(1..) {
            let spans = otlp::spans(&request, &otlp::Limits::default()).unwrap();
            store.append(&spans, &Cursor { buffer: [1; 16], signal: 1, sequence }, Still.now()).unwrap();
        }
        Self::over(folder, Arc::new(store), Limits::default())
    }

    /// The same store, asked within other limits.
    pub(crate) fn within(self, limits: Limits) -> Self {
        Self::over(self.folder, self.store, limits)
    }

    fn over(folder: TempDir, store: Arc<Store>, limits: Limits) -> Self {
        let query = Arc::new(Query::with_limits(Arc::clone(&store), limits));
        let answers = Answers {
            query: Arc::clone(&query),
            clock: Arc::new(Still),
            about: About {
                version: "1.2.3".into(),
                doors: vec![("OTLP gRPC and HTTP".into(), "127.0.0.1:4317".into())],
                open_doors: vec!["Others can reach OTLP".into()],
                agent: AskAgent::default(),
            },
            allowed_hosts: AllowedHosts::new(["traces.example.org"]).unwrap(),
            turns: Turns::default(),
        };
        Self { folder, store, query, router: router(Arc::new(answers)) }
    }

    /// Three traces: a shop with an error, a later one, and one with names that need care.
    pub(crate) fn furnished() -> Self {
        Self::holding(&[
            drawn(
                0x463a_c35c_9f64_13ad,
                "shop | GET /cart | server | 0-250 | http.route=/cart\n\
                 \x20 shop | POST /reserve | client | 20-200 | peer.service=stock\n\
                 \x20   stock | POST /reserve | server | 30-190 | !error=sold-out !event=retry@100 sku=a%2Fb",
            ),
            drawn(7 << 64 | 7, "shop | GET / | server | 1000-1100 | !ok user=ann !link=5093200905428407213"),
            drawn(9 << 64, "naïve/shop one | GET /a b/ü | server | 2000-2001 | x=1"),
        ])
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, uri: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(uri).body(body.into()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 26).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}
