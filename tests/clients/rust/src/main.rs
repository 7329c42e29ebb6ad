//! OpenTelemetry for Rust with its exporters' defaults; tells what it sent as lines of JSON.

mod shop;
mod told;

use std::error::Error;

use opentelemetry_otlp::{Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_otlp::WithTonicConfig as _;

fn main() -> Result<(), Box<dyn Error>> {
    // The exporter for gRPC asks for a runtime when it is made; the others bring threads of their own.
    let runtime = tokio::runtime::Runtime::new()?;
    let entered = runtime.enter();
    shop::send("rust otlp/grpc", SpanExporter::builder().with_tonic().build()?)?;
    let gzip = SpanExporter::builder().with_tonic().with_compression(Compression::Gzip);
    shop::send("rust otlp/grpc gzip", gzip.build()?)?;
    drop(entered);

    for (client, protocol) in [("protobuf", Protocol::HttpBinary), ("json", Protocol::HttpJson)] {
        let plain = SpanExporter::builder().with_http().with_protocol(protocol);
        shop::send(&format!("rust otlp/{client}"), plain.build()?)?;
        let gzip = SpanExporter::builder().with_http().with_protocol(protocol).with_compression(Compression::Gzip);
        shop::send(&format!("rust otlp/{client} gzip"), gzip.build()?)?;
    }
    Ok(())
}
