// OpenTelemetry for Java with its exporters' defaults, OTLP over gRPC and HTTP and Zipkin; then Zipkin's own clients.

import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.exporter.zipkin.ZipkinSpanExporter;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.io.IOException;
import zipkin2.reporter.SpanBytesEncoder;
import zipkin2.reporter.urlconnection.URLConnectionSender;

final class Current {
    private static final String ZIPKIN = "http://localhost:9411/api/v2/spans";

    private Current() {}

    public static void main(String[] arguments) throws IOException {
        otlp("java otlp/grpc", OtlpGrpcSpanExporter.getDefault());
        otlp("java otlp/grpc gzip", OtlpGrpcSpanExporter.builder().setCompression("gzip").build());
        otlp("java otlp/protobuf", OtlpHttpSpanExporter.getDefault());
        otlp("java otlp/protobuf gzip", OtlpHttpSpanExporter.builder().setCompression("gzip").build());
        zipkin("java opentelemetry zipkin/json", SpanBytesEncoder.JSON_V2);
        zipkin("java opentelemetry zipkin/protobuf", SpanBytesEncoder.PROTO3);
        Zipkin.send();
    }

    private static void otlp(String client, SpanExporter exporter) {
        Shop.send(client, exporter, new Told(client));
    }

    private static void zipkin(String client, SpanBytesEncoder wire) {
        var encoder = new ZipkinWords<zipkin2.Span>(client, wire, SpanBytesEncoder.JSON_V2);
        var sender = URLConnectionSender.newBuilder().endpoint(ZIPKIN).encoding(wire.encoding()).build();
        Shop.send(client, ZipkinSpanExporter.builder().setEncoder(encoder).setSender(sender).build());
    }
}
