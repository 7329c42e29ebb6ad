//! Another process that has the data folder, asked over one connection of HTTP/2.

use std::io;

use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Request, Response, Uri, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;

use super::passing::Passing;
use crate::app::neighbor::Address;

/// Windows through which a large answer comes without waiting at every step.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Bytes of headers of one answer.
const MAX_HEADER_BYTES: u32 = 64 << 10;

/// gRPC's way to say "not now", in the headers where it is all that is said.
const UNAVAILABLE: &str = "14";

/// Bytes of the answer to a call that writes: it has nothing to say but a sentence.
const MAX_SHORT_BYTES: usize = 64 << 10;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The connection broke.
    #[error("pass a call on")]
    Connection(#[from] hyper::Error),
    /// It broke while the answer came.
    #[error("read the answer to a call: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
}

/// The process that has the data folder.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    calls: SendRequest<Passing>,
    there: watch::Receiver<bool>,
}

impl Owner {
    /// Connects to it.
    pub(super) async fn reach(address: &Address) -> io::Result<Self> {
        let stream = TokioIo::new(address.reach().await?);
        let (calls, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(MAX_HEADER_BYTES)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let (alive, there) = watch::channel(true);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the process that has the data folder broke");
            }
            alive.send_replace(false);
        });
        Ok(Self { calls, there })
    }

    /// Until its connection is closed.
    pub(super) async fn gone(&self) {
        let mut there = self.there.clone();
        // A sender that is dropped says the same.
        let _gone = there.wait_for(|there| !there).await;
    }

    /// Passes a call on: its answer comes piece by piece, and a caller who goes away takes the call with them.
    pub(super) async fn ask(&self, head: request::Parts, body: Passing) -> Result<Response<Body>, Error> {
        Ok(self.send(head, body).await?.map(Body::new))
    }

    /// Passes a call on that writes: its answer is short, and counts when it is all there.
    pub(super) async fn tell(&self, head: request::Parts, body: Passing) -> Result<Response<Body>, Error> {
        let (head, body) = self.send(head, body).await?.into_parts();
        let body = Limited::new(body, MAX_SHORT_BYTES).collect().await.map_err(Error::Answer)?;
        Ok(Response::from_parts(head, Body::new(body)))
    }

    async fn send(
        &self,
        mut head: request::Parts,
        body: Passing,
    ) -> Result<Response<Incoming>, hyper::Error> {
        head.uri = absolute(&head.uri);
        self.calls.clone().send_request(Request::from_parts(head, body)).await
    }
}

/// HTTP/2 names a scheme and an authority with each call; whose they are does not matter on a connection for two.
fn absolute(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let built = Uri::builder().scheme("http").authority("localhost").path_and_query(path).build();
    built.expect("scheme, authority and path are each valid and all there")
}

/// Whether it says that the same call may be taken later.
pub(super) fn is_not_now(headers: &HeaderMap) -> bool {
    headers.get("grpc-status").is_some_and(|status| status == UNAVAILABLE)
}
