// OpenTelemetry for Java with its last exporters for Jaeger, and Jaeger's own client with its remote sampler.

import io.jaegertracing.Configuration;
import io.jaegertracing.internal.JaegerSpan;
import io.jaegertracing.internal.JaegerTracer;
import io.jaegertracing.internal.reporters.RemoteReporter;
import io.jaegertracing.thrift.internal.senders.HttpSender;
import io.jaegertracing.thrift.internal.senders.ThriftSender;
import io.jaegertracing.thrift.internal.senders.ThriftSenderBase.ProtocolType;
import io.jaegertracing.thrift.internal.senders.UdpSender;
import io.opentelemetry.exporter.jaeger.JaegerGrpcSpanExporter;
import io.opentelemetry.exporter.jaeger.thrift.JaegerThriftSpanExporter;
import io.opentracing.References;
import io.opentracing.Span;
import io.opentracing.propagation.Format;
import io.opentracing.propagation.TextMapAdapter;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.thrift.transport.TTransportException;

final class Older {
    private static final String COLLECTOR = "http://localhost:14268/api/traces";
    /** The client asks at once how to sample, and then each minute. */
    private static final Duration PATIENCE = Duration.ofSeconds(90);

    private Older() {}

    public static void main(String[] arguments) throws Exception {
        String grpc = "java opentelemetry jaeger/grpc";
        Shop.send(grpc, JaegerGrpcSpanExporter.builder().build(), new GrpcWords(grpc));
        ThriftSender http = http("java opentelemetry jaeger/http");
        Shop.send("java opentelemetry jaeger/http", JaegerThriftSpanExporter.builder().setThriftSender(http).build());
        ThriftSender udp = udp("java opentelemetry jaeger/udp");
        Shop.send("java opentelemetry jaeger/udp", JaegerThriftSpanExporter.builder().setThriftSender(udp).build());
        jaegerClient("java-jaeger-client-udp", udp("java jaeger-client/udp"));
        jaegerClient("java-jaeger-client-http", http("java jaeger-client/http"));
    }

    private static ThriftSender http(String client) throws TTransportException {
        return new TellingSender(client, new HttpSender.Builder(COLLECTOR).build(), ProtocolType.Binary);
    }

    private static ThriftSender udp(String client) throws TTransportException {
        return new TellingSender(client, new UdpSender(), ProtocolType.Compact);
    }

    private static void jaegerClient(String service, ThriftSender sender) throws InterruptedException {
        Configuration configuration = Configuration.fromEnv(service).withTracerTags(Map.of("shop.version", "1.2.3"));
        RemoteReporter reporter = new RemoteReporter.Builder().withSender(sender).build();
        try (JaegerTracer tracer = configuration.getTracerBuilder().withReporter(reporter).withTraceId128Bit().build()) {
            sell(tracer, sampled(tracer));
        }
    }

    /** The first span that is sampled because the server said so. */
    private static JaegerSpan sampled(JaegerTracer tracer) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (System.nanoTime() < deadline) {
            JaegerSpan span = tracer.buildSpan("checkout").withTag("span.kind", "server").start();
            if (span.context().isSampled() && Double.valueOf(1).equals(span.getTags().get("sampler.param"))) {
                return span;
            }
            Thread.sleep(20);
        }
        throw new IllegalStateException("nobody said that spans are to be sampled");
    }

    private static void sell(JaegerTracer tracer, JaegerSpan order) {
        order.setTag("items", 3).setTag("largest", Long.MAX_VALUE).setTag("smallest", Long.MIN_VALUE);
        order.setTag("total", 12.5).setTag("gift", true).setTag("empty", "");
        // With the rest nearly the 65000 bytes that the client puts into a datagram.
        order.setTag("large", "x".repeat(64_000));
        order.setTag("customer", "Zoë 🛒\n\"quoted\" \\ \t");
        order.log(Map.of("event", "priced", "currency", "EUR", "parts", 2));
        order.setBaggageItem("customer", "zoe");
        JaegerSpan pay = tracer.buildSpan("pay").asChildOf(order).withTag("span.kind", "client").start();
        pay.setTag("error", true);
        Map<String, String> carried = new HashMap<>();
        tracer.inject(pay.context(), Format.Builtin.TEXT_MAP, new TextMapAdapter(carried));
        Span accept = tracer.buildSpan("accept").withTag("span.kind", "server")
                .asChildOf(tracer.extract(Format.Builtin.TEXT_MAP, new TextMapAdapter(carried))).start();
        Span mail = tracer.buildSpan("mail").addReference(References.FOLLOWS_FROM, order.context()).start();
        List.of(accept, pay, mail, order).forEach(Span::finish);
    }
}
