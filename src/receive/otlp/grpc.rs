//! OTLP over gRPC: the three `Export` methods, whose handlers get the message's bytes as they came.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, header};
use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};

use super::answer::{Code, Encoding, Status};
use super::body::{self, Meter, Metered};
use super::{Door, header as header_text, media_type};
use crate::ingest::{Refused, Signal};

/// What every gRPC request's content type begins with.
pub(super) const MEDIA_TYPE: &str = "application/grpc";

/// The bytes before each message: a flag and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const MESSAGE_PREFIX: usize = 5;

/// Where a signal's method is.
pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

/// Answers for a method that is not here.
pub(super) fn unknown_service(path: &str) -> Response<Body> {
    let known = "OTLP's TraceService, LogsService and MetricsService are";
    answer(Status {
        code: Code::Unimplemented,
        message: format!("{path} is not served here; {known}"),
        retry_after: None,
    })
}

/// Serves one call of a signal's `Export`.
pub(super) async fn export(
    signal: Signal,
    State(door): State<Arc<Door>>,
    request: Request<Body>,
) -> Response<Body> {
    if !media_type(request.headers()).starts_with(MEDIA_TYPE) {
        return super::http::export(State(door), request).await;
    }
    let limit = door.ingest.settings().max_request_bytes;
    let announced = header_text(request.headers(), &header::CONTENT_LENGTH).parse().ok();
    let reservation = match body::reserve(&door.ingest, announced) {
        Ok(reservation) => reservation,
        Err(refused) => return refuse(&door, signal, refused),
    };
    let meter = Meter::new(reservation);
    let reached = Arc::new(AtomicBool::new(false));
    let call = Call { signal, door: Arc::clone(&door), meter: meter.clone(), reached: Arc::clone(&reached) };
    let request = request.map(|body| Metered::new(body, limit.saturating_add(MESSAGE_PREFIX), meter.clone()));
    let served = tokio::time::timeout(body::read_within(), serve(call, limit, request)).await;
    let Ok(response) = served else {
        let why = format!("the call did not end within {} s", body::read_within().as_secs());
        return refuse(&door, signal, Refused::Later { why, retry_after: crate::ingest::RETRY_AFTER });
    };
    if reached.load(Ordering::Acquire) {
        return response;
    }
    match meter.refused().or_else(|| undecodable(&response, limit)) {
        Some(refused) => refuse(&door, signal, refused),
        None => response,
    }
}

async fn serve(call: Call, limit: usize, request: Request<Metered>) -> Response<Body> {
    let mut grpc = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .accept_compressed(CompressionEncoding::Zstd)
        .apply_max_message_size_config(Some(limit), None);
    grpc.unary(call, request).await.map(Body::new)
}

/// What the library answered instead of calling us, in the words OTLP asks for. It says OUT_OF_RANGE for an
/// oversize message, which OTLP clients send again, and INTERNAL for one that cannot be read.
fn undecodable(response: &Response<Body>, limit: usize) -> Option<Refused> {
    let status = tonic::Status::from_header_map(response.headers())?;
    match status.code() {
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => {
            Some(body::too_large(limit as u64 + 1, limit))
        }
        tonic::Code::Unimplemented => None,
        _ => Some(Refused::Malformed(format!("the message could not be read: {}", status.message()))),
    }
}

fn refuse(door: &Door, signal: Signal, refused: Refused) -> Response<Body> {
    let status = Status::from(&refused);
    super::count(&door.counts.grpc, signal, &Err(refused));
    answer(status)
}

fn answer(status: Status) -> Response<Body> {
    tonic::Status::from(status).into_http()
}

impl From<Status> for tonic::Status {
    fn from(status: Status) -> Self {
        let code = match status.code {
            Code::InvalidArgument => tonic::Code::InvalidArgument,
            Code::ResourceExhausted => tonic::Code::ResourceExhausted,
            Code::Unimplemented => tonic::Code::Unimplemented,
            Code::Unavailable => tonic::Code::Unavailable,
        };
        match status.retry_after {
            Some(_) => {
                Self::with_details(code, status.message.clone(), Encoding::Protobuf.status(&status).into())
            }
            None => Self::new(code, status.message),
        }
    }
}

/// One call of `Export`.
struct Call {
    signal: Signal,
    door: Arc<Door>,
    meter: Meter,
    /// Set when the library got as far as a message.
    reached: Arc<AtomicBool>,
}

impl UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, tonic::Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        self.reached.store(true, Ordering::Release);
        let (signal, door, meter) = (self.signal, Arc::clone(&self.door), self.meter.clone());
        Box::pin(async move {
            let bytes = request.into_inner();
            let outcome = match meter.grow_to(bytes.len()) {
                Ok(()) => Arc::clone(&door).accept(signal, bytes, |_, bytes| Ok(bytes)).await,
                Err(refused) => Err(refused),
            };
            super::count(&door.counts.grpc, signal, &outcome);
            // The room is kept until the spans are safe.
            drop(meter);
            match outcome {
                Ok(accepted) => {
                    Ok(tonic::Response::new(Encoding::Protobuf.response(signal, &accepted).into()))
                }
                Err(refused) => Err(Status::from(&refused).into()),
            }
        })
    }
}

/// Hands a message's bytes through.
#[derive(Debug, Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
