//! OTLP over gRPC: the three `Export` methods.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};

use crate::ingest::Signal;
use crate::receive::Transport;
use crate::receive::answer::Encoding;
use crate::receive::grpc::{coding, is_call, message, refusal, success, unimplemented};
use crate::receive::hand_over::{Door, Sent};

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
    unimplemented(format!("{path} is not served here; {known}"))
}

/// Serves one call of a signal's `Export`.
pub(super) async fn export(
    signal: Signal,
    State(door): State<Arc<Door>>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    if !is_call(&head.headers) {
        return super::http::export(State(door), Request::from_parts(head, body)).await;
    }
    let coding = match coding(&head.headers) {
        Ok(coding) => coding,
        Err(why) => return unimplemented(why),
    };
    let sent = Sent { transport: Transport::Grpc, signal, is_request: true };
    match door.take(sent, message(&mut body, coding, &door), Ok).await {
        Ok(accepted) => success(&Encoding::Protobuf.response(signal, &accepted)),
        Err(refused) => refusal(&refused),
    }
}
