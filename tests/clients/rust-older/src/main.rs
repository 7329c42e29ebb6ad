//! OpenTelemetry for Rust with its last exporter for Jaeger: by UDP and by HTTP; tells what it sent as lines of JSON.
#![expect(deprecated, reason = "what is in use is tried, also what nobody should begin with")]

mod shop;
mod told;

use std::error::Error;

use opentelemetry::KeyValue;
use opentelemetry::trace::TraceError;
use opentelemetry_jaeger::{Exporter, new_agent_pipeline, new_collector_pipeline};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::{Config, TracerProvider};

use told::Teller;

const COLLECTOR: &str = "http://localhost:14268/api/traces";

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    send("rust opentelemetry jaeger/udp", |config| {
        new_agent_pipeline().with_trace_config(config).build_sync_agent_exporter()
    })?;
    send("rust opentelemetry jaeger/http", |config| {
        let pipeline = new_collector_pipeline().with_endpoint(COLLECTOR).with_hyper();
        pipeline.with_trace_config(config).build_collector_exporter::<Tokio>()
    })
}

fn send(
    client: &'static str,
    exporter: impl FnOnce(Config) -> Result<Exporter, TraceError>,
) -> Result<(), Box<dyn Error>> {
    let service = client.replace([' ', '/'], "-");
    let resource = [
        KeyValue::new("service.name", service),
        KeyValue::new("service.version", "1.2.3"),
        KeyValue::new("pid", 42),
    ];
    let config = || Config::default().with_resource(Resource::new(resource.clone()));
    let provider = TracerProvider::builder()
        .with_config(config())
        .with_span_processor(Teller::new(client, &resource))
        .with_batch_exporter(exporter(config())?, Tokio)
        .build();
    shop::sell(&provider);
    // It says of each processor whether it has handed everything over.
    provider.force_flush().into_iter().collect::<Result<(), _>>()?;
    Ok(())
}
