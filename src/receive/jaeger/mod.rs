//! Jaeger's collector, as far as it takes spans: batches of protobuf over gRPC (14250), of thrift over HTTP (14268).

mod grpc;
mod http;

pub use grpc::router as grpc;
pub use http::router as http;
