// How a span is told to check.py that OpenTelemetry's exporter brings to Jaeger over gRPC: what that exporter makes of it.

import com.google.gson.Gson;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.ReadWriteSpan;
import io.opentelemetry.sdk.trace.ReadableSpan;
import io.opentelemetry.sdk.trace.SpanProcessor;
import io.opentelemetry.sdk.trace.data.EventData;
import io.opentelemetry.sdk.trace.data.SpanData;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A processor that tells each span that ends, with the client that sends it. */
record GrpcWords(String client) implements SpanProcessor {
    private static final Gson GSON = new Gson();

    @Override
    public void onEnd(ReadableSpan readable) {
        SpanData span = readable.toSpanData();
        Map<String, Object> jaeger = Map.of(
                "operationName", span.getName(),
                "references", references(span),
                "flags", 0,
                "startTime", micros(span.getStartEpochNanos()),
                "duration", micros(span.getEndEpochNanos() - span.getStartEpochNanos()),
                "tags", tags(span),
                "logs", span.getEvents().stream().map(GrpcWords::log).toList(),
                "process", process(span.getResource()));
        Told.line(Map.of("client", client, "trace", span.getTraceId(), "span", span.getSpanId(), "jaeger", jaeger));
    }

    private static List<Map<String, String>> references(SpanData span) {
        List<Map<String, String>> references = new ArrayList<>();
        span.getLinks().forEach(link -> references.add(reference("FOLLOWS_FROM", link.getSpanContext())));
        if (span.getParentSpanContext().isValid()) {
            references.add(reference("CHILD_OF", span.getParentSpanContext()));
        }
        return references;
    }

    private static Map<String, String> reference(String type, SpanContext context) {
        return Map.of("refType", type, "traceID", context.getTraceId(), "spanID", context.getSpanId());
    }

    private static List<Map<String, Object>> tags(SpanData span) {
        List<Map<String, Object>> tags = tags(span.getAttributes());
        if (span.getKind() != SpanKind.INTERNAL) {
            tags.add(tag("span.kind", span.getKind().name().toLowerCase(Locale.ROOT)));
        }
        if (!span.getStatus().getDescription().isEmpty()) {
            tags.add(tag("otel.status_description", span.getStatus().getDescription()));
        }
        if (span.getStatus().getStatusCode() != StatusCode.UNSET) {
            tags.add(tag("otel.status_code", span.getStatus().getStatusCode().name()));
        }
        for (String word : List.of("scope", "library")) {
            tags.add(tag("otel." + word + ".name", span.getInstrumentationScopeInfo().getName()));
            tags.add(tag("otel." + word + ".version", span.getInstrumentationScopeInfo().getVersion()));
        }
        if (span.getStatus().getStatusCode() == StatusCode.ERROR) {
            tags.add(tag("error", true));
        }
        return tags;
    }

    private static Map<String, Object> log(EventData event) {
        List<Map<String, Object>> fields = tags(event.getAttributes());
        fields.add(tag("event", event.getName()));
        return Map.of("timestamp", micros(event.getEpochNanos()), "fields", fields);
    }

    private static Map<String, Object> process(Resource resource) {
        String service = resource.getAttributes().asMap().entrySet().stream()
                .filter(each -> each.getKey().getKey().equals("service.name")).findAny().orElseThrow().getValue().toString();
        List<Map<String, Object>> tags = tags(resource.getAttributes());
        tags.add(tag("jaeger.version", "opentelemetry-java"));
        try {
            tags.add(tag("hostname", InetAddress.getLocalHost().getHostName()));
            tags.add(tag("ip", InetAddress.getLocalHost().getHostAddress()));
        } catch (UnknownHostException nameless) {
            // The exporter leaves out what it does not know either.
        }
        return Map.of("serviceName", service, "tags", tags);
    }

    private static List<Map<String, Object>> tags(Attributes attributes) {
        List<Map<String, Object>> tags = new ArrayList<>();
        attributes.forEach((key, value) -> tags.add(tag(key.getKey(), value)));
        return tags;
    }

    private static Map<String, Object> tag(String key, Object value) {
        String type = value instanceof Boolean ? "bool"
                : value instanceof Long ? "int64"
                : value instanceof Double ? "float64" : "string";
        return Map.of("key", key, "type", type, "value", value instanceof List ? GSON.toJson(value) : value);
    }

    private static long micros(long nanos) {
        return TimeUnit.NANOSECONDS.toMicros(nanos);
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
}
