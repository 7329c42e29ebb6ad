// How a span of OpenTelemetry's SDK for Java is told to check.py.

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.trace.ReadWriteSpan;
import io.opentelemetry.sdk.trace.ReadableSpan;
import io.opentelemetry.sdk.trace.SpanProcessor;
import io.opentelemetry.sdk.trace.data.SpanData;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** A processor that writes each span that ends, with the client that sends it. */
record Told(String client) implements SpanProcessor {
    private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

    static void line(Map<String, ?> line) {
        System.out.println(GSON.toJson(line));
    }

    @Override
    public void onEnd(ReadableSpan readable) {
        SpanData span = readable.toSpanData();
        Map<String, Object> line = context(span.getSpanContext());
        line.put("client", client);
        if (span.getParentSpanContext().isValid()) {
            line.put("parent", span.getParentSpanId());
        }
        line.put("name", span.getName());
        line.put("kind", span.getKind().name().toLowerCase(Locale.ROOT));
        line.put("start", nanos(span.getStartEpochNanos()));
        line.put("end", nanos(span.getEndEpochNanos()));
        line.put("attributes", values(span.getAttributes()));
        line.put("events", span.getEvents().stream().map(event -> Map.of(
                "name", event.getName(),
                "time", nanos(event.getEpochNanos()),
                "attributes", values(event.getAttributes()))).toList());
        line.put("links", span.getLinks().stream().map(link -> context(link.getSpanContext())).toList());
        line.put("status", Map.of(
                "code", span.getStatus().getStatusCode().name().toLowerCase(Locale.ROOT),
                "message", span.getStatus().getDescription()));
        line.put("resource", values(span.getResource().getAttributes()));
        line.put("scope", scope(span));
        line(line);
    }

    private static Map<String, Object> scope(SpanData span) {
        Map<String, Object> scope = new LinkedHashMap<>();
        scope.put("name", span.getInstrumentationScopeInfo().getName());
        scope.put("version", span.getInstrumentationScopeInfo().getVersion());
        return scope;
    }

    private static Map<String, Object> context(SpanContext context) {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("trace", context.getTraceId());
        told.put("span", context.getSpanId());
        return told;
    }

    private static Map<String, Object> values(Attributes attributes) {
        Map<String, Object> values = new LinkedHashMap<>();
        attributes.forEach((key, value) -> values.put(key.getKey(), value));
        return values;
    }

    private static String nanos(long nanos) {
        return Long.toString(nanos);
    }

    @Override
    public void onStart(Context parent, ReadWriteSpan span) {}

    @Override
    public boolean isStartRequired() {
        return false;
    }

    @Override
    public boolean isEndRequired() {
        return true;
    }

    @Override
    public CompletableResultCode shutdown() {
        return CompletableResultCode.ofSuccess();
    }
}
