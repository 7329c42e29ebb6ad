// OpenTelemetry for Java with its exporters' defaults, OTLP and Zipkin, and its sampler that asks Jaeger; Zipkin's own.

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.exporter.zipkin.ZipkinSpanExporter;
import io.opentelemetry.sdk.extension.trace.jaeger.sampler.JaegerRemoteSampler;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import io.opentelemetry.sdk.trace.samplers.Sampler;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import zipkin2.reporter.SpanBytesEncoder;
import zipkin2.reporter.urlconnection.URLConnectionSender;

final class Current {
    private static final Duration PATIENCE = Duration.ofSeconds(90);
    private static final String ZIPKIN = "http://localhost:9411/api/v2/spans";

    private Current() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        otlp("java otlp/grpc", OtlpGrpcSpanExporter.getDefault());
        otlp("java otlp/grpc gzip", OtlpGrpcSpanExporter.builder().setCompression("gzip").build());
        otlp("java otlp/protobuf", OtlpHttpSpanExporter.getDefault());
        otlp("java otlp/protobuf gzip", OtlpHttpSpanExporter.builder().setCompression("gzip").build());
        zipkin("java opentelemetry zipkin/json", SpanBytesEncoder.JSON_V2);
        zipkin("java opentelemetry zipkin/protobuf", SpanBytesEncoder.PROTO3);
        Zipkin.send();
        remoteSampler("java jaeger-remote-sampler/14250", "http://localhost:14250");
        remoteSampler("java jaeger-remote-sampler/5779", "http://localhost:5779");
    }

    /** Sends what the server says is to be sampled: until it does, nothing is. */
    private static void remoteSampler(String client, String endpoint) throws InterruptedException {
        JaegerRemoteSampler sampler = JaegerRemoteSampler.builder().setServiceName(client).setEndpoint(endpoint)
                .setInitialSampler(Sampler.alwaysOff()).build();
        SdkTracerProvider provider = SdkTracerProvider.builder()
                .setResource(Resource.create(Attributes.of(AttributeKey.stringKey("service.name"), client)))
                .setSampler(sampler)
                .addSpanProcessor(new Told(client))
                .addSpanProcessor(BatchSpanProcessor.builder(OtlpGrpcSpanExporter.getDefault()).build())
                .build();
        Tracer tracer = provider.tracerBuilder("tests.shop").setInstrumentationVersion("1.0").build();
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        boolean sampled = false;
        while (!sampled && System.nanoTime() < deadline) {
            Span span = tracer.spanBuilder("checkout").setNoParent().startSpan();
            span.end();
            sampled = span.getSpanContext().isSampled();
            Thread.sleep(20);
        }
        provider.shutdown().join(20, TimeUnit.SECONDS);
        if (!sampled) {
            throw new IllegalStateException(client + ": nobody said that spans are to be sampled");
        }
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
