//! What a host of go-plugin asks of any child: to end, and two streams that only say that it lives.
//!
//! Source: hashicorp/go-plugin `grpc_controller.go`, `grpc_stdio.go`, `grpc_broker.go`.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::life::Life;
use crate::proto::plugin::grpc_broker_server::{GrpcBroker, GrpcBrokerServer};
use crate::proto::plugin::grpc_controller_server::{GrpcController, GrpcControllerServer};
use crate::proto::plugin::grpc_stdio_server::{GrpcStdio, GrpcStdioServer};
use crate::proto::plugin::{ConnInfo, Empty, StdioData};

/// The three services.
pub(super) fn router(life: &Life) -> Router {
    let services = Routes::new(GrpcControllerServer::new(Controller(life.clone())))
        .add_service(GrpcStdioServer::new(Stdio(life.clone())))
        .add_service(GrpcBrokerServer::new(Broker(life.clone())));
    services.into_axum_router().reset_fallback()
}

struct Controller(Life);

#[tonic::async_trait]
impl GrpcController for Controller {
    /// The host kills two seconds after it has this answer, so everything is safe before it is given.
    async fn shutdown(&self, _request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.0.end("the host asked for it");
        self.0.closed().await;
        Ok(Response::new(Empty {}))
    }
}

struct Stdio(Life);

#[tonic::async_trait]
impl GrpcStdio for Stdio {
    type StreamStdioStream = Silence<StdioData>;

    /// Nothing is ever printed; what there is to say goes to standard error.
    async fn stream_stdio(&self, _request: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(Silence::until_the_end(&self.0)))
    }
}

struct Broker(Life);

#[tonic::async_trait]
impl GrpcBroker for Broker {
    type StartStreamStream = Silence<ConnInfo>;

    /// Jaeger never asks for more connections.
    async fn start_stream(
        &self,
        _request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        Ok(Response::new(Silence::until_the_end(&self.0)))
    }
}

/// Says nothing, and ends when the process does: a connection with an open stream would not close otherwise.
struct Silence<T> {
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    nothing: std::marker::PhantomData<fn() -> T>,
}

impl<T> Silence<T> {
    fn until_the_end(life: &Life) -> Self {
        let life = life.clone();
        Self { ended: Box::pin(async move { life.ending().await }), nothing: std::marker::PhantomData }
    }
}

impl<T> Stream for Silence<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ended.as_mut().poll(context).map(|()| None)
    }
}
