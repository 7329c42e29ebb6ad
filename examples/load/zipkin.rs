//! Zipkin's words of version 2, as JSON and as protobuf.
//!
//! Of the service's attributes its spans have the name alone, as its own reporters send them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use prost::Message as _;
use serde_json::json;

use super::batch::{SERVICE, Span};

/// Where the service is.
pub(crate) const ADDRESS: [u8; 4] = [10, 0, 0, 5];
pub(crate) const PORT: u16 = 8080;

pub(crate) fn json(spans: &[Span]) -> serde_json::Value {
    spans.iter().map(json_span).collect()
}

/// `zipkin.proto3.ListOfSpans`.
pub(crate) fn protobuf(spans: &[Span]) -> Vec<u8> {
    ListOfSpans { spans: spans.iter().map(protobuf_span).collect() }.encode_to_vec()
}

fn json_span(span: &Span) -> serde_json::Value {
    let mut said = json!({
        "traceId": format!("{:032x}", span.trace_id),
        "id": format!("{:016x}", span.id),
        "kind": "SERVER",
        "name": span.name,
        "timestamp": span.start / 1_000,
        "duration": span.duration / 1_000,
        "localEndpoint": json_endpoint(),
        "tags": tags(span),
    });
    if span.parent_id != 0 {
        said["parentId"] = format!("{:016x}", span.parent_id).into();
    }
    said
}

pub(crate) fn json_endpoint() -> serde_json::Value {
    json!({"serviceName": SERVICE[0].1, "ipv4": Ipv4Addr::from(ADDRESS).to_string(), "port": PORT})
}

pub(crate) fn tags(span: &Span) -> BTreeMap<String, String> {
    let texts = span.texts().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let numbers = span.numbers().map(|(key, value)| (key.to_owned(), value.to_string()));
    texts.into_iter().chain(numbers).collect()
}

fn protobuf_span(span: &Span) -> ProtobufSpan {
    let endpoint =
        Endpoint { service_name: SERVICE[0].1.to_owned(), ipv4: ADDRESS.to_vec(), port: PORT.into() };
    let parent = span.parent_id.to_be_bytes();
    ProtobufSpan {
        trace_id: span.trace_id.to_be_bytes().to_vec(),
        parent_id: if span.parent_id == 0 { Vec::new() } else { parent.to_vec() },
        id: span.id.to_be_bytes().to_vec(),
        kind: 2,
        name: span.name.clone(),
        timestamp: span.start / 1_000,
        duration: span.duration / 1_000,
        local_endpoint: Some(endpoint),
        tags: tags(span),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListOfSpans {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<ProtobufSpan>,
}

/// `zipkin.proto3.Span`, as far as it is used here.
#[derive(Clone, PartialEq, prost::Message)]
struct ProtobufSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    parent_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    id: Vec<u8>,
    #[prost(int32, tag = "4")]
    kind: i32,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(fixed64, tag = "6")]
    timestamp: u64,
    #[prost(uint64, tag = "7")]
    duration: u64,
    #[prost(message, optional, tag = "8")]
    local_endpoint: Option<Endpoint>,
    #[prost(btree_map = "string, string", tag = "11")]
    tags: BTreeMap<String, String>,
}

/// `zipkin.proto3.Endpoint`, as far as it is used here.
#[derive(Clone, PartialEq, prost::Message)]
struct Endpoint {
    #[prost(string, tag = "1")]
    service_name: String,
    #[prost(bytes = "vec", tag = "2")]
    ipv4: Vec<u8>,
    #[prost(int32, tag = "4")]
    port: i32,
}
