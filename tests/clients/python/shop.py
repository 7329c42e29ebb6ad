"""The spans that every client of OpenTelemetry for Python sends: an order, what it calls, and what it causes."""

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode

from told import Teller

ORDER = {
    "cart.items": 3,
    "cart.total": 12.5,
    "cart.gift": True,
    "cart.tags": ["new", "gift"],
    "cart.sizes": [1, 2, 3],
    "largest": 9223372036854775807,
    "smallest": -9223372036854775808,
    "tiny": 5e-324,
    "huge": 1.5e300,
    "empty": "",
    "customer": "Zoë 🛒\n\"quoted\" \\ \t",
}


def send(client, exporter, teller=None):
    """A teller is a processor that tells check.py what the exporter makes of the spans, where that is not OTLP."""
    resource = Resource.create({"service.name": client.replace(" ", "-").replace("/", "-"), "service.version": "1.2.3", "pid": 42})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(teller or Teller(client))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tests.shop", "1.0")
    with tracer.start_as_current_span("checkout", kind=SpanKind.SERVER, attributes=ORDER) as order:
        order.add_event("priced", {"currency": "EUR", "parts": [1, 2]})
        with tracer.start_as_current_span("pay", kind=SpanKind.CLIENT) as pay:
            pay.record_exception(ValueError("card refused"))
            pay.set_status(StatusCode.ERROR, "card refused")
        with tracer.start_as_current_span("queue mail", kind=SpanKind.PRODUCER) as mail:
            mail.set_status(StatusCode.OK)
        tracer.start_span("count").end()
    with tracer.start_as_current_span("mail", kind=SpanKind.CONSUMER, links=[Link(mail.get_span_context())]):
        pass
    provider.shutdown()
