// How a span is told to check.py that goes to Zipkin: in its words of version 2, when it is encoded for the wire.

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import zipkin2.reporter.BytesEncoder;
import zipkin2.reporter.Encoding;

/** Encodes with `wire`, and tells what `words` says, with the client that sends it. */
record ZipkinWords<S>(String client, BytesEncoder<S> wire, BytesEncoder<S> words) implements BytesEncoder<S> {
    @Override
    public Encoding encoding() {
        return wire.encoding();
    }

    @Override
    public int sizeInBytes(S span) {
        return wire.sizeInBytes(span);
    }

    @Override
    public byte[] encode(S span) {
        String json = new String(words.encode(span), StandardCharsets.UTF_8);
        JsonObject told = JsonParser.parseString(json).getAsJsonObject();
        Told.line(Map.of("client", client, "trace", told.get("traceId"), "span", told.get("id"), "zipkin", told));
        return wire.encode(span);
    }
}
