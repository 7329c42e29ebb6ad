//! A running program that has spans, sent to it over OTLP, and clients for its storage.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tracelodge::proto::jaeger::storage::v1::GetTraceRequest;
use tracelodge::proto::jaeger::storage::v1::span_reader_plugin_client::SpanReaderPluginClient;

use crate::harness::{Client, PATIENCE, Server};

/// When it all began, in seconds: some while ago.
pub(crate) const BASE: u64 = 1_790_000_000;

/// A moment so many milliseconds later.
pub(crate) fn at(millis: u64) -> Option<prost_types::Timestamp> {
    let (seconds, millis) = (BASE + millis / 1_000, millis % 1_000);
    Some(prost_types::Timestamp { seconds: seconds as i64, nanos: millis as i32 * 1_000_000 })
}

/// As Go says that a time is not set.
pub(crate) fn year_1() -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 })
}

pub(crate) fn lasting(millis: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: i64::from(millis / 1_000), nanos: millis % 1_000 * 1_000_000 })
}

pub(crate) fn trace_id(number: u128) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// A span on its way in, of one millisecond.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    resource: Resource,
    scope: InstrumentationScope,
    span: Span,
}

pub(crate) fn span(service: &str, name: &str, trace: u128, id: u64) -> Sent {
    let resource = Resource { attributes: vec![pair("service.name", service)], ..Resource::default() };
    let span = Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        name: name.into(),
        ..Span::default()
    };
    Sent { resource, scope: InstrumentationScope::default(), span }.at(0)
}

fn pair(key: &str, value: impl Into<Told>) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value.into().0) }), ..KeyValue::default() }
}

/// A value as OTLP has it.
#[derive(Debug)]
pub(crate) struct Told(Value);

impl From<&str> for Told {
    fn from(text: &str) -> Self {
        Self(Value::StringValue(text.into()))
    }
}

impl From<bool> for Told {
    fn from(bit: bool) -> Self {
        Self(Value::BoolValue(bit))
    }
}

impl From<i64> for Told {
    fn from(number: i64) -> Self {
        Self(Value::IntValue(number))
    }
}

impl From<f64> for Told {
    fn from(number: f64) -> Self {
        Self(Value::DoubleValue(number))
    }
}

impl From<&[u8]> for Told {
    fn from(bytes: &[u8]) -> Self {
        Self(Value::BytesValue(bytes.into()))
    }
}

impl Sent {
    pub(crate) fn at(mut self, millis: u64) -> Self {
        self.span.start_time_unix_nano = BASE * 1_000_000_000 + millis * 1_000_000;
        self.lasting(1)
    }

    pub(crate) fn lasting(mut self, millis: u64) -> Self {
        self.span.end_time_unix_nano = self.span.start_time_unix_nano + millis * 1_000_000;
        self
    }

    pub(crate) fn below(mut self, parent: u64) -> Self {
        self.span.parent_span_id = parent.to_be_bytes().to_vec();
        self
    }

    pub(crate) fn kind(mut self, kind: i32) -> Self {
        self.span.kind = kind;
        self
    }

    pub(crate) fn status(mut self, code: i32) -> Self {
        self.span.status = Some(Status { code, ..Status::default() });
        self
    }

    pub(crate) fn tag(mut self, key: &str, value: impl Into<Told>) -> Self {
        self.span.attributes.push(pair(key, value));
        self
    }

    pub(crate) fn resource_tag(mut self, key: &str, value: impl Into<Told>) -> Self {
        self.resource.attributes.push(pair(key, value));
        self
    }

    pub(crate) fn scope_tag(mut self, key: &str, value: impl Into<Told>) -> Self {
        self.scope.attributes.push(pair(key, value));
        self
    }

    pub(crate) fn event_tag(mut self, key: &str, value: impl Into<Told>) -> Self {
        let attributes = vec![pair(key, value)];
        self.span.events.push(Event { name: "log".into(), attributes, ..Event::default() });
        self
    }

    pub(crate) fn link_tag(mut self, key: &str, value: impl Into<Told>) -> Self {
        let (trace_id, span_id) = (vec![9; 16], vec![9; 8]);
        let attributes = vec![pair(key, value)];
        self.span.links.push(Link { trace_id, span_id, attributes, ..Link::default() });
        self
    }
}

/// A running program, and what it has.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) server: Server,
    folder: TempDir,
    client: Client,
}

impl Stored {
    /// With these spans, sent in one request.
    pub(crate) async fn with(spans: &[Sent]) -> Self {
        Self::with_settings(&[], spans).await
    }

    pub(crate) async fn with_settings(settings: &[&str], spans: &[Sent]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start_with(folder.path(), settings);
        let stored = Self { server, folder, client: Client::new() };
        stored.add(spans).await;
        stored
    }

    /// With these spans; what it logs goes to a file.
    pub(crate) async fn saying(log: &Path, spans: &[Sent]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start_saying(folder.path(), &[], log);
        let stored = Self { server, folder, client: Client::new() };
        stored.add(spans).await;
        stored
    }

    /// Sends spans, and waits until they can be read.
    pub(crate) async fn add(&self, spans: &[Sent]) {
        if spans.is_empty() {
            return;
        }
        let mut request = ExportTraceServiceRequest::default();
        for same in
            spans.chunk_by(|one, other| (&one.resource, &one.scope) == (&other.resource, &other.scope))
        {
            let spans = same.iter().map(|sent| sent.span.clone()).collect();
            let scope_spans =
                vec![ScopeSpans { scope: Some(same[0].scope.clone()), spans, ..ScopeSpans::default() }];
            let resource = Some(same[0].resource.clone());
            request.resource_spans.push(ResourceSpans { resource, scope_spans, ..ResourceSpans::default() });
        }
        let headers = [("content-type", "application/x-protobuf")];
        let url = self.server.otlp_http("/v1/traces");
        let answer = self.client.post(url, &headers, request.encode_to_vec().into()).await;
        assert!(answer.status.is_success() && answer.body.is_empty(), "{answer:?}");
        self.until_there(&spans.last().unwrap().span).await;
    }

    async fn until_there(&self, last: &Span) {
        let mut reader = SpanReaderPluginClient::new(self.storage().await);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let trace_id = last.trace_id.clone().into();
            let request = GetTraceRequest { trace_id, ..GetTraceRequest::default() };
            let mut stream = reader.get_trace(request).await.unwrap().into_inner();
            while let Ok(Some(chunk)) = stream.message().await {
                if chunk.spans.iter().any(|span| span.span_id == last.span_id) {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "spans are not shown");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// A connection to its storage.
    pub(crate) async fn storage(&self) -> Channel {
        self.endpoint().connect().await.unwrap()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.server.storage)).unwrap()
    }

    /// The same data, served by another process at the same port.
    pub(crate) async fn restarted(self) -> Self {
        let Self { server, folder, client } = self;
        let port = format!("doors.storage={}", server.storage);
        // Clients of this thread are to see it going.
        tokio::task::spawn_blocking(|| server.terminate()).await.unwrap();
        let server = Server::start_with(folder.path(), &[&port]);
        Self { server, folder, client }
    }
}
