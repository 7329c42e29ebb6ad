// Brave with each of Zipkin's reporters and formats: an order, a call whose two halves share an id, what is queued.

import brave.Span;
import brave.Tracer;
import brave.Tracing;
import brave.handler.MutableSpan;
import brave.handler.SpanHandler;
import java.io.Closeable;
import java.io.IOException;
import java.util.List;
import zipkin2.reporter.AsyncReporter;
import zipkin2.reporter.BytesMessageSender;
import zipkin2.reporter.Encoding;
import zipkin2.reporter.SpanBytesEncoder;
import zipkin2.reporter.brave.AsyncZipkinSpanHandler;
import zipkin2.reporter.brave.MutableSpanBytesEncoder;
import zipkin2.reporter.brave.ZipkinSpanHandler;
import zipkin2.reporter.okhttp3.OkHttpSender;
import zipkin2.reporter.urlconnection.URLConnectionSender;

final class Zipkin {
    private static final String V1 = "http://localhost:9411/api/v1/spans";
    private static final String V2 = "http://localhost:9411/api/v2/spans";

    private Zipkin() {}

    static void send() throws IOException {
        for (Encoding encoding : List.of(Encoding.JSON, Encoding.PROTO3)) {
            String format = encoding == Encoding.JSON ? "json" : "protobuf";
            brave("java brave okhttp/" + format, okHttp(V2, encoding));
            brave("java brave urlconnection/" + format,
                    URLConnectionSender.newBuilder().endpoint(V2).encoding(encoding).build());
        }
        brave("java brave urlconnection/json plain",
                URLConnectionSender.newBuilder().endpoint(V2).compressionEnabled(false).build());
        reporter("java zipkin-reporter/json v1", okHttp(V1, Encoding.JSON), SpanBytesEncoder.JSON_V1);
        reporter("java zipkin-reporter/thrift", okHttp(V1, Encoding.THRIFT), SpanBytesEncoder.THRIFT);
    }

    private static BytesMessageSender okHttp(String endpoint, Encoding encoding) {
        return OkHttpSender.newBuilder().endpoint(endpoint).encoding(encoding).build();
    }

    private static void brave(String client, BytesMessageSender sender) throws IOException {
        var wire = MutableSpanBytesEncoder.forEncoding(sender.encoding());
        var encoder = new ZipkinWords<MutableSpan>(client, wire, MutableSpanBytesEncoder.JSON_V2);
        var handler = AsyncZipkinSpanHandler.newBuilder(sender).build(encoder);
        sell(client, handler);
        handler.flush();
        close(handler, sender);
    }

    private static void reporter(String client, BytesMessageSender sender, SpanBytesEncoder wire) throws IOException {
        var encoder = new ZipkinWords<zipkin2.Span>(client, wire, SpanBytesEncoder.JSON_V2);
        var reporter = AsyncReporter.builder(sender).build(encoder);
        sell(client, ZipkinSpanHandler.create(reporter));
        reporter.flush();
        close(reporter, sender);
    }

    private static void close(Closeable... parts) throws IOException {
        for (Closeable part : parts) {
            part.close();
        }
    }

    private static void sell(String client, SpanHandler handler) {
        String service = client.replaceAll("[ /]", "-");
        try (Tracing shop = tracing(service, handler); Tracing bank = tracing(service + "-bank", handler)) {
            Tracer tracer = shop.tracer();
            Span order = tracer.newTrace().name("checkout").kind(Span.Kind.SERVER)
                    .tag("customer", "Zoë 🛒\n\"quoted\" \\ \t").tag("empty", "").start();
            order.remoteIpAndPort("2001:db8::7", 65535);
            order.annotate("priced");
            Span call = tracer.newChild(order.context()).name("pay").kind(Span.Kind.CLIENT)
                    .remoteServiceName("bank").start();
            call.remoteIpAndPort("192.0.2.8", 8443);
            bank.tracer().joinSpan(call.context()).name("pay").kind(Span.Kind.SERVER)
                    .tag("bank.code", "1234").start().finish();
            call.error(new IllegalStateException("card refused"));
            call.finish();
            tracer.newChild(order.context()).name("queue mail").kind(Span.Kind.PRODUCER)
                    .remoteServiceName("queue").start().finish();
            tracer.newChild(order.context()).name("count").start().finish();
            order.finish();
            tracer.newTrace().name("mail").kind(Span.Kind.CONSUMER).start().finish();
        }
    }

    private static Tracing tracing(String service, SpanHandler handler) {
        return Tracing.newBuilder().localServiceName(service).localIp("192.0.2.1").localPort(8080)
                .traceId128Bit(true).addSpanHandler(handler).build();
    }
}
