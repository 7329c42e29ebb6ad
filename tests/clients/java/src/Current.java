// OpenTelemetry for Java with its exporters' defaults: OTLP over gRPC and HTTP.

import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;

final class Current {
    private Current() {}

    public static void main(String[] arguments) {
        Shop.send("java otlp/grpc", OtlpGrpcSpanExporter.getDefault());
        Shop.send("java otlp/grpc gzip", OtlpGrpcSpanExporter.builder().setCompression("gzip").build());
        Shop.send("java otlp/protobuf", OtlpHttpSpanExporter.getDefault());
        Shop.send("java otlp/protobuf gzip", OtlpHttpSpanExporter.builder().setCompression("gzip").build());
    }
}
