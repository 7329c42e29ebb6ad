"""Sends one trace with the OpenTelemetry SDK's defaults, over gRPC and over HTTP, and prints what it sent."""

import json

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode


def send(service, exporter):
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tests.sdk", "1.0")
    with tracer.start_as_current_span("checkout", kind=SpanKind.SERVER) as root:
        root.set_attribute("cart.items", 3)
        root.set_attribute("cart.total", 12.5)
        root.set_attribute("cart.tags", ["new", "gift"])
        root.add_event("priced", {"currency": "EUR"})
        with tracer.start_as_current_span("pay", kind=SpanKind.CLIENT) as child:
            child.record_exception(ValueError("card refused"))
            child.set_status(StatusCode.ERROR, "card refused")
    provider.shutdown()
    trace_id = trace.format_trace_id(root.get_span_context().trace_id)
    print(json.dumps({"service": service, "trace": trace_id}), flush=True)


send("python-grpc", GrpcExporter(insecure=True))
send("python-http", HttpExporter())
