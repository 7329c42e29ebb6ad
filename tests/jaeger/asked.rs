//! A server with traces in it, for those who ask.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;
use prost_types::Timestamp;
use tempfile::TempDir;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::drawing::{BASE_NANOS, attribute, draw};
use crate::harness::{Answer, Client, Server};

pub(crate) const CART: u128 = 0x463a_c35c_9f64_13ad;
pub(crate) const LATER: u128 = 7 << 64 | 7;

pub(crate) struct Asked {
    pub(crate) server: Server,
    pub(crate) client: Client,
    _folder: TempDir,
}

impl Asked {
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { server: Server::start(folder.path()), client: Client::new(), _folder: folder }
    }

    /// Two traces: a shop that fails, and a later one.
    pub(crate) async fn furnished() -> Self {
        let asked = Self::empty();
        asked
            .send(
                CART,
                draw(
                    CART,
                    "shop | GET /cart | server | 0-250 | http.route=/cart a=1\n\
                     \x20 shop | POST /reserve | client | 20-200 | peer.service=stock peer.ipv4=2130706433\n\
                     \x20   stock | POST /reserve | server | 30-190 | #2 ^1 !error=sold-out !event=retry@100 sku=x",
                ),
            )
            .await;
        asked
            .send(
                LATER,
                draw(LATER, "shop | GET / | server | 1000-1100 | !ok user=ann !link=5 scope:name=lib"),
            )
            .await;
        asked
    }

    /// Sends all spans of a trace, and comes back when they can be found.
    async fn send(&self, trace: u128, spans: Vec<ResourceSpans>) {
        let count = spans.len();
        self.deliver(spans).await;
        self.has(trace, count).await;
    }

    /// Sends spans.
    pub(crate) async fn deliver(&self, spans: Vec<ResourceSpans>) {
        let request = ExportTraceServiceRequest { resource_spans: spans }.encode_to_vec();
        let headers = [("content-type", "application/x-protobuf")];
        let answer = self.client.post(self.server.otlp_http("/v1/traces"), &headers, request.into()).await;
        assert_eq!(answer.status, 200);
    }

    /// Comes back when so many spans of a trace can be found.
    pub(crate) async fn has(&self, trace: u128, count: usize) {
        let all = "query.startTimeMin=2000-01-01T00:00:00Z&query.startTimeMax=2100-01-01T00:00:00Z";
        let url = self.server.query(&format!("/api/v3/trace-summaries?{all}"));
        let id = format!("{trace:032x}");
        let is_there = |answer: &Answer| {
            let json = answer.json();
            let summaries = json["summaries"].as_array().unwrap();
            summaries.iter().any(|summary| summary["traceId"] == id && summary["spanCount"] == count)
        };
        self.client.until(&url, is_there).await;
    }

    pub(crate) async fn door(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.server.grpc_query)).unwrap().connect().await.unwrap()
    }
}

/// So many ms after the beginning of drawn traces.
pub(crate) fn at(millis: u64) -> Option<Timestamp> {
    let nanos = BASE_NANOS + millis * 1_000_000;
    Some(Timestamp { seconds: (nanos / 1_000_000_000) as i64, nanos: (nanos % 1_000_000_000) as i32 })
}

/// A span that is longer than 3 MiB.
pub(crate) fn heavy(trace: u128, number: usize) -> Vec<ResourceSpans> {
    let drawing = format!("shop | step {number} | internal | {number}-{number} | #{number} z=1 a=1");
    let mut drawn = draw(trace, &drawing);
    let span = &mut drawn[0].scope_spans[0].spans[0];
    span.attributes.push(attribute("text", &"x".repeat(3_400_000)));
    drawn
}

/// All messages of a stream that ends well.
pub(crate) async fn all<T>(answer: Result<tonic::Response<Streaming<T>>, tonic::Status>) -> Vec<T> {
    let (mut stream, mut messages) = (answer.unwrap().into_inner(), Vec::new());
    while let Some(message) = stream.message().await.unwrap() {
        messages.push(message);
    }
    messages
}

/// How a question fails, at once or in its stream.
pub(crate) async fn failure<T>(
    answer: Result<tonic::Response<Streaming<T>>, tonic::Status>,
) -> (tonic::Code, String) {
    let status = match answer {
        Err(status) => status,
        Ok(stream) => stream.into_inner().message().await.err().unwrap(),
    };
    (status.code(), status.message().to_owned())
}
