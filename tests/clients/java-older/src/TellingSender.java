// How a span is told to check.py that Jaeger's library has brought into the shape of its Thrift writer.

import io.jaegertracing.internal.exceptions.SenderException;
import io.jaegertracing.thrift.internal.senders.ThriftSender;
import io.jaegertracing.thrift.internal.senders.ThriftSenderBase.ProtocolType;
import io.jaegertracing.thriftjava.Process;
import io.jaegertracing.thriftjava.Span;
import io.jaegertracing.thriftjava.Tag;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.thrift.transport.TTransportException;

/** Hands on to another sender what it tells, with the client that sends it. */
final class TellingSender extends ThriftSender {
    /** The library's own for a datagram. */
    private static final int MAX_BYTES = 65000;

    private final String client;
    private final ThriftSender sender;

    TellingSender(String client, ThriftSender sender, ProtocolType protocol) throws TTransportException {
        super(protocol, MAX_BYTES);
        this.client = client;
        this.sender = sender;
    }

    @Override
    public void send(Process process, List<Span> spans) throws SenderException {
        spans.forEach(span -> tell(process, span));
        sender.send(process, spans);
    }

    @Override
    public int close() throws SenderException {
        return super.close() + sender.close();
    }

    private void tell(Process process, Span span) {
        String trace = trace(span.traceIdHigh, span.traceIdLow);
        List<Map<String, Object>> references = new ArrayList<>();
        if (span.references != null) {
            span.references.forEach(each -> references.add(Map.of(
                    "refType", each.refType.name(),
                    "traceID", trace(each.traceIdHigh, each.traceIdLow),
                    "spanID", hex(each.spanId))));
        }
        List<Map<String, Object>> logs = new ArrayList<>();
        if (span.logs != null) {
            span.logs.forEach(log -> logs.add(Map.of("timestamp", log.timestamp, "fields", tags(log.fields))));
        }
        Map<String, Object> jaeger = new HashMap<>(Map.of(
                "operationName", span.operationName,
                "references", references,
                "flags", span.flags,
                "startTime", span.startTime,
                "duration", span.duration,
                "tags", tags(span.tags),
                "logs", logs,
                "process", Map.of("serviceName", process.serviceName, "tags", tags(process.tags))));
        if (span.parentSpanId != 0) {
            jaeger.put("parentSpanID", hex(span.parentSpanId));
        }
        Told.line(Map.of("client", client, "trace", trace, "span", hex(span.spanId), "jaeger", jaeger));
    }

    private static List<Map<String, Object>> tags(List<Tag> tags) {
        return tags == null ? List.of() : tags.stream().map(TellingSender::tag).toList();
    }

    private static Map<String, Object> tag(Tag tag) {
        return switch (tag.vType) {
            case STRING -> Map.of("key", tag.key, "type", "string", "value", tag.vStr);
            case DOUBLE -> Map.of("key", tag.key, "type", "float64", "value", tag.vDouble);
            case BOOL -> Map.of("key", tag.key, "type", "bool", "value", tag.vBool);
            case LONG -> Map.of("key", tag.key, "type", "int64", "value", tag.vLong);
            case BINARY -> Map.of("key", tag.key, "type", "binary",
                    "value", Base64.getEncoder().encodeToString(tag.getVBinary()));
        };
    }

    private static String trace(long high, long low) {
        return hex(high) + hex(low);
    }

    private static String hex(long id) {
        return String.format("%016x", id);
    }
}
