//! Lists of Zipkin's spans in every form that they are sent in, and what they are in JSON of version 2.
//!
//! Written from zipkin-api's `zipkin.proto`, `zipkinCore.thrift` and `zipkin2-api.yaml`, with other encoders than the
//! program's.

use prost::Message;
use serde_json::{Value as Json, json};

/// In µs.
pub(crate) const BASE: u64 = 1_700_000_000_000_000;

/// A list as it is sent.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) path: &'static str,
    /// None is not said.
    pub(crate) media_type: Option<&'static str>,
    pub(crate) body: Vec<u8>,
    /// What stands at `/api/v2/trace/{id}` then.
    pub(crate) told: Json,
}

/// A path, a content type, and what makes a list about a trace and says what it is told as.
type Form = (&'static str, Option<&'static str>, fn(u64) -> (Vec<u8>, Json));

/// Every form there is, each list about the trace of its number.
pub(crate) fn every_form(mut next_trace: impl FnMut() -> u64) -> Vec<List> {
    let v2 = "/api/v2/spans";
    let v1 = "/api/v1/spans";
    let forms: [Form; 7] = [
        (v2, None, |id| (v2_spans(id).to_string().into(), v2_spans(id))),
        (v2, Some("application/json"), |id| (v2_spans(id).to_string().into(), v2_spans(id))),
        (v2, Some("application/json; charset=utf-8"), |id| (v2_spans(id).to_string().into(), v2_spans(id))),
        (v2, Some("application/x-protobuf"), |id| (protobuf(id), v2_spans(id))),
        (v1, None, |id| (v1_spans(id).to_string().into(), told_of_v1(id))),
        (v1, Some("application/json;charset=UTF-8"), |id| (v1_spans(id).to_string().into(), told_of_v1(id))),
        (v1, Some("application/x-thrift"), |id| (thrift(id), told_of_v1(id))),
    ];
    let list = |(path, media_type, make): Form| {
        let (body, told) = make(next_trace());
        List { path, media_type, body, told }
    };
    forms.into_iter().map(list).collect()
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}

/// A shared call, a message and local work; the order is that of their starts.
fn v2_spans(trace: u64) -> Json {
    json!([
        {"traceId": hex(trace), "id": hex(1), "kind": "CLIENT", "name": "get /checkout",
         "timestamp": BASE, "duration": 90_000,
         "localEndpoint": {"serviceName": "frontend", "ipv4": "10.0.0.1", "port": 50_000},
         "remoteEndpoint": {"serviceName": "backend", "ipv6": "2001:db8::1"},
         "annotations": [{"timestamp": BASE + 1_000, "value": "ws"}, {"timestamp": BASE + 1_000, "value": "ws"}],
         "tags": {"http.path": "/checkout", "uni": "żółć 🚀", "empty": "", "error": "sold out"},
         "debug": true},
        {"traceId": hex(trace), "id": hex(1), "kind": "SERVER", "name": "get /checkout",
         "timestamp": BASE + 10_000, "duration": 60_000,
         "localEndpoint": {"serviceName": "backend", "ipv4": "10.0.0.2"}, "shared": true},
        {"traceId": hex(trace), "parentId": hex(1), "id": hex(2), "kind": "PRODUCER", "timestamp": BASE + 20_000,
         "localEndpoint": {"serviceName": "backend"}, "remoteEndpoint": {"serviceName": "kafka"}},
        {"traceId": hex(trace), "parentId": hex(1), "id": hex(3), "name": "load",
         "timestamp": BASE + 30_000, "duration": 1, "localEndpoint": {"serviceName": "backend"}},
        {"traceId": hex(trace), "parentId": hex(2), "id": hex(4), "kind": "CONSUMER", "name": "next",
         "timestamp": BASE + 40_000, "duration": 7, "localEndpoint": {"serviceName": "worker"}}
    ])
}

#[derive(Clone, PartialEq, Message)]
struct ListOfSpans {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
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
    #[prost(message, optional, tag = "9")]
    remote_endpoint: Option<Endpoint>,
    #[prost(message, repeated, tag = "10")]
    annotations: Vec<Annotation>,
    #[prost(map = "string, string", tag = "11")]
    tags: std::collections::HashMap<String, String>,
    #[prost(bool, tag = "12")]
    debug: bool,
    #[prost(bool, tag = "13")]
    shared: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Endpoint {
    #[prost(string, tag = "1")]
    service_name: String,
    #[prost(bytes = "vec", tag = "2")]
    ipv4: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    ipv6: Vec<u8>,
    #[prost(int32, tag = "4")]
    port: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Annotation {
    #[prost(fixed64, tag = "1")]
    timestamp: u64,
    #[prost(string, tag = "2")]
    value: String,
}

/// [`v2_spans`] as `zipkin.proto3.ListOfSpans`.
fn protobuf(trace: u64) -> Vec<u8> {
    let json = v2_spans(trace);
    ListOfSpans { spans: json.as_array().unwrap().iter().map(span_message).collect() }.encode_to_vec()
}

fn span_message(span: &Json) -> Span {
    let id = |key: &str| {
        let number = span[key].as_str().map(|hex| u64::from_str_radix(hex, 16).unwrap());
        number.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default()
    };
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let kinds = ["", "CLIENT", "SERVER", "PRODUCER", "CONSUMER"];
    let tags = span["tags"].as_object().into_iter().flatten();
    let annotations = span["annotations"].as_array().into_iter().flatten();
    Span {
        trace_id: id("traceId"),
        parent_id: id("parentId"),
        id: id("id"),
        kind: kinds.iter().position(|kind| *kind == text(&span["kind"])).unwrap() as i32,
        name: text(&span["name"]),
        timestamp: span["timestamp"].as_u64().unwrap_or_default(),
        duration: span["duration"].as_u64().unwrap_or_default(),
        local_endpoint: endpoint_message(&span["localEndpoint"]),
        remote_endpoint: endpoint_message(&span["remoteEndpoint"]),
        annotations: annotations
            .map(|it| Annotation { timestamp: it["timestamp"].as_u64().unwrap(), value: text(&it["value"]) })
            .collect(),
        tags: tags.map(|(key, value)| (key.clone(), text(value))).collect(),
        debug: span["debug"] == true,
        shared: span["shared"] == true,
    }
}

fn endpoint_message(endpoint: &Json) -> Option<Endpoint> {
    let address = |key: &str| endpoint[key].as_str().map(|text| text.parse::<std::net::IpAddr>().unwrap());
    let octets = |address| match address {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    endpoint.is_object().then(|| Endpoint {
        service_name: endpoint["serviceName"].as_str().unwrap_or_default().to_owned(),
        ipv4: address("ipv4").map(octets).unwrap_or_default(),
        ipv6: address("ipv6").map(octets).unwrap_or_default(),
        port: endpoint["port"].as_i64().unwrap_or_default() as i32,
    })
}

fn frontend() -> Json {
    json!({"serviceName": "frontend", "ipv4": "10.0.0.1", "port": 50_000})
}

fn backend() -> Json {
    json!({"serviceName": "backend", "ipv4": "10.0.0.2"})
}

/// A call that both sides told of in one span of version 1.
fn v1_spans(trace: u64) -> Json {
    json!([{
        "traceId": hex(trace), "parentId": hex(8), "id": hex(9), "name": "get /checkout",
        "timestamp": BASE, "duration": 90_000,
        "annotations": [
            {"timestamp": BASE, "value": "cs", "endpoint": frontend()},
            {"timestamp": BASE + 10_000, "value": "sr", "endpoint": backend()},
            {"timestamp": BASE + 11_000, "value": "cache miss", "endpoint": backend()},
            {"timestamp": BASE + 70_000, "value": "ss", "endpoint": backend()},
            {"timestamp": BASE + 90_000, "value": "cr", "endpoint": frontend()}
        ],
        "binaryAnnotations": [
            {"key": "http.path", "value": "/checkout", "endpoint": frontend()},
            {"key": "sa", "value": true, "endpoint": {"serviceName": "backend", "ipv4": "10.0.0.3", "port": 40_000}},
            {"key": "sql.query", "value": "select 1", "endpoint": backend()}
        ]
    }])
}

fn told_of_v1(trace: u64) -> Json {
    json!([
        {"traceId": hex(trace), "parentId": hex(8), "id": hex(9), "kind": "CLIENT", "name": "get /checkout",
         "timestamp": BASE, "duration": 90_000, "localEndpoint": frontend(),
         "remoteEndpoint": {"serviceName": "backend", "ipv4": "10.0.0.3", "port": 40_000},
         "tags": {"http.path": "/checkout"}},
        {"traceId": hex(trace), "parentId": hex(8), "id": hex(9), "kind": "SERVER", "name": "get /checkout",
         "timestamp": BASE + 10_000, "duration": 60_000, "localEndpoint": backend(),
         "annotations": [{"timestamp": BASE + 11_000, "value": "cache miss"}],
         "tags": {"sql.query": "select 1"}, "shared": true}
    ])
}

/// Thrift's binary protocol.
#[derive(Default)]
struct Thrift(Vec<u8>);

const BOOL: u8 = 2;
const I16: u8 = 6;
const I32: u8 = 8;
const I64: u8 = 10;
const STRING: u8 = 11;
const STRUCT: u8 = 12;
const LIST: u8 = 15;

impl Thrift {
    fn field(&mut self, kind: u8, id: i16, value: &[u8]) {
        self.0.push(kind);
        self.0.extend(id.to_be_bytes());
        self.0.extend(value);
    }

    fn text(&mut self, id: i16, text: &[u8]) {
        self.field(STRING, id, &[&(text.len() as i32).to_be_bytes(), text].concat());
    }

    fn list(&mut self, id: i16, structs: Vec<Vec<u8>>) {
        self.field(LIST, id, &list(&structs));
    }

    /// The whole struct.
    fn end(mut self) -> Vec<u8> {
        self.0.push(0);
        self.0
    }
}

fn list(structs: &[Vec<u8>]) -> Vec<u8> {
    [&[STRUCT][..], &(structs.len() as i32).to_be_bytes(), &structs.concat()].concat()
}

fn endpoint_struct(endpoint: &Json) -> Vec<u8> {
    let mut out = Thrift::default();
    let address: std::net::Ipv4Addr = endpoint["ipv4"].as_str().unwrap().parse().unwrap();
    out.field(I32, 1, &address.octets());
    // Signed, though ports are not.
    out.field(I16, 2, &(endpoint["port"].as_u64().unwrap_or_default() as u16).to_be_bytes());
    out.text(3, endpoint["serviceName"].as_str().unwrap().as_bytes());
    out.end()
}

fn annotation_struct(annotation: &Json) -> Vec<u8> {
    let mut out = Thrift::default();
    out.field(I64, 1, &annotation["timestamp"].as_u64().unwrap().to_be_bytes());
    out.text(2, annotation["value"].as_str().unwrap().as_bytes());
    out.field(STRUCT, 3, &endpoint_struct(&annotation["endpoint"]));
    out.end()
}

fn binary_annotation_struct(annotation: &Json) -> Vec<u8> {
    let (kind, value) = match &annotation["value"] {
        Json::Bool(bit) => (0_i32, vec![u8::from(*bit)]),
        text => (6, text.as_str().unwrap().as_bytes().to_vec()),
    };
    let mut out = Thrift::default();
    out.text(1, annotation["key"].as_str().unwrap().as_bytes());
    out.text(2, &value);
    out.field(I32, 3, &kind.to_be_bytes());
    out.field(STRUCT, 4, &endpoint_struct(&annotation["endpoint"]));
    out.end()
}

/// [`v1_spans`] as a list without a message around it.
fn thrift(trace: u64) -> Vec<u8> {
    let spans = v1_spans(trace);
    let span = &spans[0];
    let of = |key: &str, make: fn(&Json) -> Vec<u8>| span[key].as_array().unwrap().iter().map(make).collect();
    let mut out = Thrift::default();
    out.field(I64, 1, &trace.to_be_bytes());
    out.text(3, span["name"].as_str().unwrap().as_bytes());
    out.field(I64, 4, &9_u64.to_be_bytes());
    out.field(I64, 5, &8_u64.to_be_bytes());
    out.list(6, of("annotations", annotation_struct));
    out.list(8, of("binaryAnnotations", binary_annotation_struct));
    out.field(BOOL, 9, &[0]);
    out.field(I64, 10, &BASE.to_be_bytes());
    out.field(I64, 11, &90_000_u64.to_be_bytes());
    list(&[out.end()])
}
