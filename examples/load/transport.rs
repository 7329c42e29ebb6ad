//! The ways in, and how each is asked and answers.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::ValueEnum;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};

use super::batch::{SPANS_PER_TRACE, Template};
use super::server::{Server, client};
use super::{jaeger_thrift, zipkin_v1};

/// What a sender that is refused waits, as the server asks it to and SDKs do.
const COME_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Jaeger's clients send no longer datagrams.
const MAX_DATAGRAM: usize = 65_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    OtlpGrpc,
    OtlpHttp,
    OtlpJson,
    JaegerGrpc,
    JaegerHttp,
    AgentCompact,
    AgentBinary,
    AgentZipkin,
    AgentZipkinCompact,
    AgentZipkinBinary,
    ZipkinJson,
    ZipkinProto,
    ZipkinJsonV1,
    ZipkinThrift,
    /// One after the other
    All,
}

impl Transport {
    /// Those that it stands for.
    pub(crate) fn each(self) -> impl Iterator<Item = Self> {
        let each = Self::value_variants().iter().copied();
        each.filter(move |each| *each != Self::All && (self == Self::All || self == *each))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OtlpGrpc => "OTLP/gRPC",
            Self::OtlpHttp => "OTLP/HTTP protobuf",
            Self::OtlpJson => "OTLP/HTTP JSON",
            Self::JaegerGrpc => "Jaeger gRPC",
            Self::JaegerHttp => "Jaeger HTTP thrift",
            Self::AgentCompact => "Jaeger UDP compact",
            Self::AgentBinary => "Jaeger UDP binary",
            Self::AgentZipkin => "Zipkin UDP, old agent",
            Self::AgentZipkinCompact => "Zipkin UDP compact",
            Self::AgentZipkinBinary => "Zipkin UDP binary",
            Self::ZipkinJson => "Zipkin v2 JSON",
            Self::ZipkinProto => "Zipkin v2 protobuf",
            Self::ZipkinJsonV1 => "Zipkin v1 JSON",
            Self::ZipkinThrift => "Zipkin v1 thrift",
            Self::All => "all",
        }
    }

    /// Whether nobody answers.
    pub(crate) fn is_datagrams(self) -> bool {
        matches!(
            self,
            Self::AgentCompact
                | Self::AgentBinary
                | Self::AgentZipkin
                | Self::AgentZipkinCompact
                | Self::AgentZipkinBinary
        )
    }

    fn is_grpc(self) -> bool {
        matches!(self, Self::OtlpGrpc | Self::JaegerGrpc)
    }

    /// A request of so many spans; of as many as a datagram holds, if those are fewer.
    pub(crate) fn template(self, spans: u64) -> Template {
        let of = |spans| match self {
            Self::OtlpGrpc | Self::OtlpHttp | Self::All => Template::otlp(spans),
            Self::OtlpJson => Template::otlp_json(spans),
            Self::JaegerGrpc => Template::jaeger(spans),
            Self::JaegerHttp => Template::binary(spans, jaeger_thrift::batch),
            Self::AgentCompact => Template::compact(spans, jaeger_thrift::emit_batch),
            Self::AgentBinary => Template::binary(spans, jaeger_thrift::emit_batch),
            Self::AgentZipkin | Self::AgentZipkinCompact => Template::compact(spans, zipkin_v1::emit_batch),
            Self::AgentZipkinBinary => Template::binary(spans, zipkin_v1::emit_batch),
            Self::ZipkinJson => Template::zipkin_json(spans),
            Self::ZipkinProto => Template::zipkin_protobuf(spans),
            Self::ZipkinJsonV1 => Template::zipkin_json_v1(spans),
            Self::ZipkinThrift => Template::binary(spans, zipkin_v1::thrift),
        };
        let (mut spans, mut template) = (spans, of(spans));
        while self.is_datagrams() && template.length() > MAX_DATAGRAM {
            spans -= SPANS_PER_TRACE;
            template = of(spans);
        }
        template
    }

    /// Where it goes.
    pub(crate) fn address(self, server: &Server) -> anyhow::Result<String> {
        let (door, place, path) = match self {
            Self::OtlpGrpc | Self::All => {
                ("OTLP", 0, "/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            }
            Self::OtlpHttp | Self::OtlpJson => ("OTLP", 1, "/v1/traces"),
            Self::JaegerGrpc => ("Jaeger gRPC", 0, "/jaeger.api_v2.CollectorService/PostSpans"),
            Self::JaegerHttp => ("Jaeger thrift", 0, "/api/traces"),
            Self::AgentCompact | Self::AgentZipkinCompact => ("agent, compact", 0, ""),
            Self::AgentBinary | Self::AgentZipkinBinary => ("agent, binary", 0, ""),
            Self::AgentZipkin => ("agent, old Zipkin", 0, ""),
            Self::ZipkinJson | Self::ZipkinProto => ("Zipkin", 0, "/api/v2/spans"),
            Self::ZipkinJsonV1 | Self::ZipkinThrift => ("Zipkin", 0, "/api/v1/spans"),
        };
        let scheme = if self.is_datagrams() { "" } else { "http://" };
        Ok(format!("{scheme}{}{path}", server.door(door, place)?))
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::OtlpGrpc | Self::JaegerGrpc => "application/grpc",
            Self::OtlpJson | Self::ZipkinJson | Self::ZipkinJsonV1 => "application/json",
            Self::JaegerHttp | Self::ZipkinThrift => "application/x-thrift",
            _ => "application/x-protobuf",
        }
    }

    fn request(self, address: &str, message: Vec<u8>) -> anyhow::Result<Request<Full<Bytes>>> {
        let request = Request::builder().method(Method::POST).uri(address);
        let request = request.header("content-type", self.content_type());
        if !self.is_grpc() {
            return Ok(request.body(Full::new(message.into()))?);
        }
        let mut framed = Vec::with_capacity(message.len() + 5);
        framed.push(0);
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend_from_slice(&message);
        Ok(request.header("te", "trailers").body(Full::new(framed.into()))?)
    }
}

/// What the senders saw.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The numbers of the requests that were acknowledged, and of the datagrams that were sent.
    pub(crate) numbers: Vec<u64>,
    pub(crate) refused: u64,
    pub(crate) first_refusal: Option<String>,
    pub(crate) latencies: Vec<Duration>,
}

impl Sent {
    pub(crate) fn add(&mut self, other: Self) {
        self.numbers.extend(other.numbers);
        self.refused += other.refused;
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        self.latencies.extend(other.latencies);
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) transport: Transport,
    pub(crate) address: String,
    pub(crate) template: Arc<Template>,
}

impl Sender {
    pub(crate) async fn send_until(self, until: Instant, numbers: Arc<AtomicU64>) -> anyhow::Result<Sent> {
        let client = client(self.transport.is_grpc());
        let mut sent = Sent::default();
        while Instant::now() < until {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let request = self.transport.request(&self.address, self.template.request(number))?;
            let asked = Instant::now();
            let (head, body) = client.request(request).await?.into_parts();
            let body = body.collect().await?;
            let grpc_status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
            let is_taken = head.status.is_success()
                && (!self.transport.is_grpc() || grpc_status.is_some_and(|status| status == "0"));
            if is_taken {
                sent.numbers.push(number);
                sent.latencies.push(asked.elapsed());
            } else {
                sent.refused += 1;
                sent.first_refusal.get_or_insert_with(|| {
                    let said = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                    format!("{} {:?} {said}", head.status, head.headers.get("grpc-message"))
                });
                if Instant::now() + COME_AGAIN_AFTER >= until {
                    break;
                }
                tokio::time::sleep(COME_AGAIN_AFTER).await;
            }
        }
        Ok(sent)
    }

    /// Sends datagrams at a rate of spans, or as fast as it goes if that is slower.
    pub(crate) fn pour(&self, started: Instant, until: Instant, rate: u64) -> anyhow::Result<Sent> {
        let socket = UdpSocket::bind(if self.address.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" })?;
        socket.connect(&self.address)?;
        let mut sent = Sent::default();
        for number in 1.. {
            let spans = (number - 1) * self.template.spans();
            let due = started + Duration::from_secs_f64(spans as f64 / rate as f64);
            let now = Instant::now();
            if due.max(now) >= until {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(now));
            match socket.send(&self.template.request(number)) {
                Ok(_) => sent.numbers.push(number),
                // Of a socket that is gone the system tells with the next datagram, which it does not send.
                Err(error) => {
                    sent.refused += 1;
                    sent.first_refusal.get_or_insert_with(|| error.to_string());
                }
            }
        }
        Ok(sent)
    }
}
