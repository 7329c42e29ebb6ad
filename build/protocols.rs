//! Turns `proto/` into Rust: messages, servers and clients, and the descriptors for reflection. No protoc is asked for.

use std::error::Error;
use std::fs;
use std::path::Path;

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Every file that holds a service; what they import comes with them.
const SERVICES: [&str; 10] = [
    "jaeger/api_v2/collector.proto",
    "jaeger/api_v2/query.proto",
    "jaeger/api_v2/sampling.proto",
    "jaeger/api_v3/query_service.proto",
    "jaeger/storage/v1/storage.proto",
    "jaeger/storage/v2/capabilities.proto",
    "jaeger/storage/v2/dependency_storage.proto",
    "jaeger/storage/v2/trace_storage.proto",
    "opentelemetry/proto/collector/trace/v1/trace_service.proto",
    "plugin/plugin.proto",
];

/// Jaeger's spans.
const MODEL: &str = "jaeger/api_v2/model.proto";

/// OTLP's spans.
const TRACES: &str = "opentelemetry/proto/trace/v1/trace.proto";

/// Writes `$OUT_DIR/protocols.rs`, which includes a file for each package, and `$OUT_DIR/descriptors.bin`.
pub(crate) fn generate(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut descriptors = protox::compile(SERVICES, ["proto"])?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    descriptors.file.retain(|file| !is_otlp(file) || file.name() == TRACES);
    for file in &mut descriptors.file {
        match file.name() {
            MODEL => file.message_type.iter_mut().for_each(keep_as_sent),
            TRACES => keep_spans_closed(file),
            _ => {}
        }
    }
    compile(descriptors, out)
}

fn compile(descriptors: FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    tonic_prost_build::configure()
        .bytes(".")
        .build_transport(false)
        .include_file("protocols.rs")
        .out_dir(out)
        .compile_fds(descriptors)?;
    Ok(())
}

fn is_otlp(file: &FileDescriptorProto) -> bool {
    file.package().starts_with("opentelemetry.")
}

/// Go clients send text that is not UTF-8, and a decoder that insists on it would lose the span; and an encoder that
/// leaves out what equals zero makes a negative zero a positive one. On the wire, text and bytes are the same, as are a
/// number and its bits.
fn keep_as_sent(message: &mut DescriptorProto) {
    for field in &mut message.field {
        match field.r#type() {
            Type::String => field.set_type(Type::Bytes),
            Type::Double => field.set_type(Type::Fixed64),
            _ => {}
        }
    }
    message.nested_type.iter_mut().for_each(keep_as_sent);
}

/// OTLP's spans go through in the bytes they came in: of their messages only the outermost is opened, and on the wire a
/// message is its bytes.
fn keep_spans_closed(file: &mut FileDescriptorProto) {
    file.message_type.retain(|message| message.name() == "TracesData");
    file.dependency.clear();
    for field in file.message_type.iter_mut().flat_map(|message| &mut message.field) {
        field.set_type(Type::Bytes);
        field.type_name = None;
    }
}
