"""How a span of OpenTelemetry's SDK for Python is told to check.py."""

import json

from opentelemetry.sdk.trace import SpanProcessor


class Teller(SpanProcessor):
    """Writes each span that ends, with the client that sends it."""

    def __init__(self, client):
        self.client = client

    def on_end(self, span):
        print(json.dumps(told(self.client, span)), flush=True)


def told(client, span):
    context = span.get_span_context()
    return {
        "client": client,
        "trace": f"{context.trace_id:032x}",
        "span": f"{context.span_id:016x}",
        "parent": span.parent and f"{span.parent.span_id:016x}",
        "name": span.name,
        "kind": span.kind.name.lower(),
        "start": str(span.start_time),
        "end": str(span.end_time),
        "attributes": dict(span.attributes),
        "events": [
            {"name": event.name, "time": str(event.timestamp), "attributes": dict(event.attributes)}
            for event in span.events
        ],
        "links": [
            {"trace": f"{link.context.trace_id:032x}", "span": f"{link.context.span_id:016x}"} for link in span.links
        ],
        "status": {"code": span.status.status_code.name.lower(), "message": span.status.description},
        "resource": dict(span.resource.attributes),
        "scope": {"name": span.instrumentation_scope.name, "version": span.instrumentation_scope.version},
    }
