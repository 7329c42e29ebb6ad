// Jaeger's client for Java of 2016 with its defaults: Zipkin's Thrift to the agent's first port, and strategies
// whose types are numbers.

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.uber.jaeger.Configuration;
import com.uber.jaeger.Configuration.ReporterConfiguration;
import com.uber.jaeger.Configuration.SamplerConfiguration;
import com.uber.jaeger.Span;
import com.uber.jaeger.reporters.protocols.ThriftSpanConverter;
import io.opentracing.Tracer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.thrift.TException;
import org.apache.thrift.TSerializer;
import org.apache.thrift.protocol.TBinaryProtocol;
import zipkin2.codec.SpanBytesDecoder;
import zipkin2.codec.SpanBytesEncoder;

final class Oldest {
    private static final String CLIENT = "java jaeger-client 0.17/udp";
    /** The client asks at once how to sample, and then each minute. */
    private static final Duration PATIENCE = Duration.ofSeconds(90);
    private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

    private Oldest() {}

    public static void main(String[] arguments) throws TException, InterruptedException {
        Configuration configuration = new Configuration(
                "java-jaeger-client-0.17-udp", new SamplerConfiguration(), new ReporterConfiguration());
        Tracer tracer = configuration.getTracer();
        for (Span span : sell(tracer, sampled(tracer))) {
            span.finish();
            tell(span);
        }
        configuration.closeTracer();
    }

    /** The first span that is sampled because the server said so. */
    private static Span sampled(Tracer tracer) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (System.nanoTime() < deadline) {
            Span span = (Span) tracer.buildSpan("checkout").withTag("span.kind", "server").start();
            if (span.context().isSampled() && Double.valueOf(1).equals(span.getTags().get("sampler.param"))) {
                return span;
            }
            Thread.sleep(20);
        }
        throw new IllegalStateException("nobody said that spans are to be sampled");
    }

    private static List<Span> sell(Tracer tracer, Span order) {
        order.setTag("items", 3).setTag("total", 12.5).setTag("gift", true).setTag("empty", "");
        order.setTag("customer", "Zoë 🛒\n\"quoted\" \\ \t");
        order.setTag("peer.service", "phone").setTag("peer.ipv4", "192.0.2.7").setTag("peer.port", 65_535);
        order.log("priced", null);
        order.setBaggageItem("customer", "zoe");
        Span pay = (Span) tracer.buildSpan("pay").asChildOf(order.context()).withTag("span.kind", "client").start();
        pay.setTag("peer.service", "bank").setTag("error", true);
        Span count = (Span) tracer.buildSpan("count").asChildOf(order.context()).start();
        return List.of(count, pay, order);
    }

    private static void tell(Span span) throws TException {
        byte[] thrift = new TSerializer(new TBinaryProtocol.Factory()).serialize(ThriftSpanConverter.convertSpan(span));
        byte[] json = SpanBytesEncoder.JSON_V2.encode(SpanBytesDecoder.THRIFT.decodeOne(thrift));
        JsonObject told = JsonParser.parseString(new String(json, StandardCharsets.UTF_8)).getAsJsonObject();
        Map<String, Object> line =
                Map.of("client", CLIENT, "trace", told.get("traceId"), "span", told.get("id"), "zipkin", told);
        System.out.println(GSON.toJson(line));
    }
}
