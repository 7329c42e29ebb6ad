//! OpenTelemetry's sampler that asks Jaeger: what it is told to sample is sent by OTLP.

use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant};

use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

use crate::told::Teller;

/// By default it asks for the first time after five minutes.
const INTERVAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for a runtime, which must have been entered.
pub fn send() -> Result<(), Box<dyn Error>> {
    let client = "rust otlp/grpc jaeger-remote-sampler";
    let service = client.replace([' ', '/'], "-");
    // Until the server says what is to be sampled, nothing is.
    let sampler = Sampler::jaeger_remote(Tokio, reqwest::Client::new(), Sampler::AlwaysOff, service.as_str())
        .with_update_interval(INTERVAL)
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().with_service_name(service).build())
        .with_sampler(sampler)
        .with_span_processor(Teller::new(client))
        .with_batch_exporter(SpanExporter::builder().with_tonic().build()?)
        .build();
    let tracer = provider.tracer("tests.shop");
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let mut span = tracer.start("checkout");
        span.end();
        if span.span_context().is_sampled() {
            return Ok(provider.shutdown()?);
        }
        sleep(Duration::from_millis(20));
    }
    Err(format!("{client}: nobody said that spans are to be sampled").into())
}
