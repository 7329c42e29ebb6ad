//! The doors answers go out by: the page and Jaeger's HTTP API ([`http`]), Jaeger's queries over gRPC ([`questions`]),
//! Jaeger's storage ([`storage`]), Zipkin's API ([`zipkin`]), how much clients sample ([`sampling`]), health and metrics
//! ([`admin`]).
//!
//! Promise: routers without sockets. Every door that a browser can reach stands behind [`guard`]. A panic in one
//! request is that request's 500. Nothing that is asked with GET changes anything.
//!
//! Limits: see [`http`], and [`expression`] for filters.
//!
//! Does not know: ingestion, the buffer, which ports there are.

pub mod admin;
mod answer;
mod budget;
pub mod expression;
mod find;
pub mod grpc;
pub mod guard;
pub mod health;
pub mod http;
pub mod questions;
pub mod sampling;
mod searched;
mod services;
pub mod storage;
mod stream;
mod summary;
mod times;
pub mod turns;
mod ui;
pub mod zipkin;
