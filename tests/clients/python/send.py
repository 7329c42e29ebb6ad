"""OpenTelemetry for Python with its exporters' defaults: OTLP over gRPC and HTTP, Zipkin as JSON."""

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.zipkin.json import ZipkinExporter
import grpc

from shop import send
from zipkin_told import ZipkinTeller

send("python otlp/grpc", Grpc(insecure=True))
send("python otlp/grpc gzip", Grpc(insecure=True, compression=grpc.Compression.Gzip))
send("python otlp/http", Http())
for compression in (Compression.Gzip, Compression.Deflate):
    send(f"python otlp/http {compression.value}", Http(compression=compression))

send("python zipkin/json", ZipkinExporter(), ZipkinTeller("python zipkin/json"))
