//! Another OTLP server, as a test wants it: it notes what comes and answers as it is told, or is not there.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};

use crate::harness::PATIENCE;

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Taken.
    Take,
    /// Taken, but for so many items.
    TakeBut(u8),
    /// An HTTP status with one header.
    Status(u16, &'static str, &'static str),
    /// A gRPC status.
    Grpc(u8),
    /// Never.
    Hang,
}

/// One request that came, whatever it was answered with.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    /// `traces`, `logs` or `metrics`.
    pub(crate) signal: &'static str,
    /// Unpacked, and without gRPC's frame.
    pub(crate) request: Bytes,
    pub(crate) headers: HeaderMap,
    pub(crate) at: Instant,
    pub(crate) reply: Reply,
}

impl Got {
    fn is_taken(&self) -> bool {
        matches!(self.reply, Reply::Take | Reply::TakeBut(_))
    }

    /// The numbers of what is in it: see [`numbers`].
    pub(crate) fn numbers(&self) -> Vec<u64> {
        numbers(self.signal, &self.request)
    }
}

type Choose = Box<dyn Fn(&Got) -> Reply + Send + Sync>;

struct Shared {
    got: Mutex<Vec<Got>>,
    choose: Mutex<Choose>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("got", &self.got).finish_non_exhaustive()
    }
}

/// The server; gone when dropped.
#[derive(Debug)]
pub(crate) struct Stub {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Option<Runtime>,
}

impl Stub {
    /// Takes everything.
    pub(crate) fn start() -> Self {
        let shared = Shared { got: Mutex::default(), choose: Mutex::new(Box::new(|_| Reply::Take)) };
        let mut stub =
            Self { shared: Arc::new(shared), address: "127.0.0.1:0".parse().unwrap(), running: None };
        stub.mend();
        stub
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The setting that sends everything here.
    pub(crate) fn endpoint(&self) -> String {
        format!("upstream.endpoint=http://{}", self.address)
    }

    /// Answers as this says, from now on.
    pub(crate) fn reply(&self, choose: impl Fn(&Got) -> Reply + Send + Sync + 'static) {
        *self.shared.choose.lock().unwrap() = Box::new(choose);
    }

    /// Gone with all its connections, as if the cable was pulled. Nothing that it has begun is answered.
    pub(crate) fn cut(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown_background();
        }
    }

    /// There again, at the same address.
    pub(crate) fn mend(&mut self) {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::clone(&self.shared);
        let address = self.address;
        // Not on this thread, which may be one of another runtime.
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move {
            let listener = bind(address).await;
            tell.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, Router::new().fallback(answer).with_state(shared)).await.unwrap();
        });
        self.address = told.recv_timeout(PATIENCE).unwrap();
        self.running = Some(runtime);
    }

    /// Everything that came.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// How often each number of a signal was taken.
    pub(crate) fn taken(&self, signal: &str) -> BTreeMap<u64, usize> {
        let mut taken = BTreeMap::new();
        let got = self.shared.got.lock().unwrap();
        for number in got.iter().filter(|got| got.is_taken() && got.signal == signal).flat_map(Got::numbers) {
            *taken.entry(number).or_insert(0) += 1;
        }
        taken
    }

    /// Waits until it is satisfied with what came.
    pub(crate) async fn until(&self, what: &str, satisfied: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !satisfied(self) {
            assert!(Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.cut();
    }
}

/// The port of a server that has just gone may be held for a moment.
async fn bind(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let is_grpc = head.headers.get("content-type").is_some_and(|media_type| media_type == "application/grpc");
    let body = body.collect().await.unwrap().to_bytes();
    let (packed, coding) =
        if is_grpc { (body.slice(5..), "grpc-encoding") } else { (body, "content-encoding") };
    let coding = head.headers.get(coding).map(|coding| coding.to_str().unwrap().to_owned());
    let signal = match head.uri.path() {
        "/v1/traces" | "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => "traces",
        "/v1/logs" | "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => "logs",
        "/v1/metrics" | "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => "metrics",
        other => panic!("{other}"),
    };
    let mut got = Got {
        signal,
        request: unpacked(&packed, coding.as_deref()),
        headers: head.headers,
        at: Instant::now(),
        reply: Reply::Take,
    };
    got.reply = shared.choose.lock().unwrap()(&got);
    let reply = got.reply.clone();
    shared.got.lock().unwrap().push(got);
    respond(reply, is_grpc).await
}

async fn respond(reply: Reply, is_grpc: bool) -> Response {
    let mut status = 0;
    let message = match reply {
        Reply::Take => Vec::new(),
        Reply::TakeBut(rejected) => vec![10, 5, 8, rejected, 18, 1, b'x'],
        Reply::Grpc(code) => {
            status = code;
            Vec::new()
        }
        Reply::Status(code, name, value) => {
            return Response::builder().status(code).header(name, value).body(Body::from("no")).unwrap();
        }
        Reply::Hang => std::future::pending().await,
    };
    if !is_grpc {
        let response = Response::builder().header("content-type", "application/x-protobuf");
        return response.body(Body::from(message)).unwrap();
    }
    let mut framed = vec![0, 0, 0, 0, message.len() as u8];
    framed.extend(message);
    let trailers =
        HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from(u16::from(status)))]);
    let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) });
    Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap()
}

fn unpacked(packed: &[u8], coding: Option<&str>) -> Bytes {
    let mut request = Vec::new();
    match coding {
        None => request.extend(packed),
        Some("gzip") => drop(flate2::read::GzDecoder::new(packed).read_to_end(&mut request).unwrap()),
        Some("zstd") => request = zstd::stream::decode_all(packed).unwrap(),
        Some(other) => panic!("packed with {other}"),
    }
    request.into()
}

/// The numbers that [`crate::wire`] gives spans (in the trace id), log records (their time) and data points (their
/// time), in the order they stand.
pub(crate) fn numbers(signal: &str, request: &[u8]) -> Vec<u64> {
    let mut numbers = Vec::new();
    match signal {
        "traces" => {
            for resource in ExportTraceServiceRequest::decode(request).unwrap().resource_spans {
                for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    let trace = u64::from_be_bytes(span.trace_id[8..].try_into().unwrap());
                    let span = u64::from_be_bytes(span.span_id[..].try_into().unwrap());
                    numbers.push(trace * 1_000 + span - 1);
                }
            }
        }
        "logs" => {
            for resource in ExportLogsServiceRequest::decode(request).unwrap().resource_logs {
                let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
                numbers.extend(records.map(|record| record.time_unix_nano));
            }
        }
        _ => {
            use opentelemetry_proto::tonic::metrics::v1::metric::Data;
            for resource in ExportMetricsServiceRequest::decode(request).unwrap().resource_metrics {
                for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                    let Some(Data::Gauge(gauge)) = metric.data else { continue };
                    numbers.extend(gauge.data_points.into_iter().map(|point| point.time_unix_nano));
                }
            }
        }
    }
    numbers
}
