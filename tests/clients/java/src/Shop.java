// The spans that every client of OpenTelemetry for Java sends: an order, what it calls, and what it causes.

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.SpanProcessor;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.util.concurrent.TimeUnit;

final class Shop {
    private static final Attributes ORDER = Attributes.builder()
            .put("cart.items", 3)
            .put("cart.total", 12.5)
            .put("cart.gift", true)
            .put("cart.tags", "new", "gift")
            .put("cart.sizes", 1, 2, 3)
            .put("largest", Long.MAX_VALUE)
            .put("smallest", Long.MIN_VALUE)
            .put("tiny", Double.MIN_VALUE)
            .put("huge", 1.5e300)
            .put("empty", "")
            .put("customer", "Zoë 🛒\n\"quoted\" \\ \t")
            .build();

    private Shop() {}

    /** The processors see each span before it is sent: they tell what it is, where the exporter does not. */
    static void send(String client, SpanExporter exporter, SpanProcessor... tellers) {
        Resource resource = Resource.create(Attributes.of(
                AttributeKey.stringKey("service.name"), client.replaceAll("[ /]", "-"),
                AttributeKey.stringKey("service.version"), "1.2.3",
                AttributeKey.longKey("pid"), 42L));
        SdkTracerProvider provider = SdkTracerProvider.builder()
                .setResource(resource)
                .addSpanProcessor(SpanProcessor.composite(tellers))
                .addSpanProcessor(BatchSpanProcessor.builder(exporter).build())
                .build();
        sell(provider.tracerBuilder("tests.shop").setInstrumentationVersion("1.0").build());
        provider.shutdown().join(20, TimeUnit.SECONDS);
    }

    private static void sell(Tracer tracer) {
        Span order = tracer.spanBuilder("checkout").setNoParent().setSpanKind(SpanKind.SERVER)
                .setAllAttributes(ORDER).startSpan();
        Context below = Context.root().with(order);
        order.addEvent("priced", Attributes.builder().put("currency", "EUR").put("parts", 1, 2).build());
        Span pay = tracer.spanBuilder("pay").setParent(below).setSpanKind(SpanKind.CLIENT).startSpan();
        pay.recordException(new IllegalStateException("card refused"));
        pay.setStatus(StatusCode.ERROR, "card refused");
        pay.end();
        Span queue = tracer.spanBuilder("queue mail").setParent(below).setSpanKind(SpanKind.PRODUCER).startSpan();
        queue.setStatus(StatusCode.OK);
        queue.end();
        tracer.spanBuilder("count").setParent(below).startSpan().end();
        order.end();
        tracer.spanBuilder("mail").setNoParent().setSpanKind(SpanKind.CONSUMER)
                .addLink(queue.getSpanContext()).startSpan().end();
    }
}
