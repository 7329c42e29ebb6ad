//! A program that buffers its spans to disk, for a server that is not there yet: `cargo run --features exporters
//! --example buffer_to_disk -- spans`, then `tracelodge import spans`.
#![expect(clippy::print_stdout, reason = "it says what to do next")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracelodge::buffer::{FileSpanStorage, FileStorageConfig, SignalStorage};
use tracelodge::to_disk::SpanToDiskExporter;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("name a folder to buffer the spans in")?);
    let config = FileStorageConfig {
        // What is older is deleted, taken by someone or not: by default, that is 18 hours.
        max_file_age_for_read: Duration::from_secs(30 * 24 * 60 * 60),
        ..FileStorageConfig::default()
    };
    let storage = Arc::new(FileSpanStorage::create(&folder, config)?);

    let exporter = SpanToDiskExporter::new(Arc::clone(&storage) as Arc<dyn SignalStorage>);
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("example").build())
        .with_batch_exporter(exporter)
        .build();

    let tracer = provider.tracer("buffer_to_disk");
    for number in 0..100 {
        let mut span = tracer.start("work");
        span.set_attribute(KeyValue::new("number", number));
        span.end();
    }

    provider.shutdown()?;
    storage.close()?;
    println!("the spans are in {}; give them to a server with", folder.display());
    println!("  tracelodge import {}", folder.display());
    Ok(())
}
