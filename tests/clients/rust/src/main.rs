//! OpenTelemetry for Rust with its exporters' defaults; tells what it sent as lines of JSON.

mod remote_sampler;
mod shop;
mod told;
mod zipkin;

use std::error::Error;

use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::error::OTelSdkResult;

use told::Teller;

fn main() -> Result<(), Box<dyn Error>> {
    // The exporter for gRPC asks for a runtime when it is made; the others bring threads of their own.
    let runtime = tokio::runtime::Runtime::new()?;
    let entered = runtime.enter();
    otlp("rust otlp/grpc", SpanExporter::builder().with_tonic().build()?)?;
    let gzip = SpanExporter::builder().with_tonic().with_compression(Compression::Gzip);
    otlp("rust otlp/grpc gzip", gzip.build()?)?;
    remote_sampler::send()?;
    drop(entered);

    for (format, protocol) in [("protobuf", Protocol::HttpBinary), ("json", Protocol::HttpJson)] {
        let plain = SpanExporter::builder().with_http().with_protocol(protocol);
        otlp(&format!("rust otlp/{format}"), plain.build()?)?;
        let gzip =
            SpanExporter::builder().with_http().with_protocol(protocol).with_compression(Compression::Gzip);
        otlp(&format!("rust otlp/{format} gzip"), gzip.build()?)?;
    }
    zipkin::send()
}

fn otlp(client: &str, exporter: SpanExporter) -> OTelSdkResult {
    shop::send(client, exporter, Some(Teller::new(client)))
}
