"""OpenTelemetry for Python with its last exporters for Jaeger and for Zipkin, in each of their formats."""

from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter as Grpc
from opentelemetry.exporter.jaeger.proto.grpc.translate import ProtobufTranslator, Translate as ToProtobuf
from opentelemetry.exporter.jaeger.thrift import JaegerExporter as Thrift
from opentelemetry.exporter.jaeger.thrift.translate import ThriftTranslator, Translate as ToThrift
from opentelemetry.exporter.zipkin.encoder import Protocol
from opentelemetry.exporter.zipkin.json import ZipkinExporter as Json
from opentelemetry.exporter.zipkin.proto.http import ZipkinExporter as Protobuf
from opentelemetry.sdk.trace import SpanProcessor

from jaeger_told import tell_protobuf, tell_thrift
from shop import send
from zipkin_told import ZipkinTeller

# The encoder for version 1 cannot do without a limit.
LONGEST_TAG = 100_000


class ThriftTeller(SpanProcessor):
    def __init__(self, client):
        self.client = client

    def on_end(self, span):
        (thrift,) = ToThrift([span])._translate(ThriftTranslator(None))
        tell_thrift(self.client, thrift, span.resource.attributes["service.name"], [])


class ProtobufTeller(SpanProcessor):
    def __init__(self, client):
        self.client = client

    def on_end(self, span):
        service = span.resource.attributes["service.name"]
        (protobuf,) = ToProtobuf([span])._translate(ProtobufTranslator(service, None))
        tell_protobuf(self.client, protobuf)


def jaeger(client, exporter, teller):
    send(client, exporter, teller(client))


jaeger("python opentelemetry jaeger/udp", Thrift(), ThriftTeller)
jaeger(
    "python opentelemetry jaeger/http",
    Thrift(collector_endpoint="http://localhost:14268/api/traces?format=jaeger.thrift"),
    ThriftTeller,
)
jaeger("python opentelemetry jaeger/grpc", Grpc(insecure=True), ProtobufTeller)

V1 = "http://localhost:9411/api/v1/spans"
zipkin = {
    "python older zipkin/json": (Json(), ()),
    "python older zipkin/json v1": (Json(Protocol.V1, V1, max_tag_value_length=LONGEST_TAG), ["kind"]),
    "python older zipkin/protobuf": (Protobuf(), ()),
}
for client, (exporter, without) in zipkin.items():
    send(client, exporter, ZipkinTeller(client, without))
