"""Jaeger's own client for Python with its defaults, its remote sampler above all: by UDP."""

import os
import sys
import time

from jaeger_client import Config
from jaeger_client.thrift import make_jaeger_batch
import opentracing

from jaeger_told import tell_thrift

# By default the client asks how to sample for the first time within a minute.
PATIENCE_SECONDS = 90
CLIENT = "python jaeger-client/udp"


def main():
    settings = {"tags": {"shop.version": "1.2.3"}, "generate_128bit_trace_id": True}
    if interval := os.environ.get("JAEGER_SAMPLER_REFRESH_INTERVAL"):
        settings["sampling_refresh_interval"] = int(interval) / 1000
    tracer = Config(settings, service_name="python-jaeger-client-udp").new_tracer()
    order = sampled(tracer)
    spans = [order, *sell(tracer, order)]
    for span in spans:
        span.finish()
    process = tracer.reporter._process
    for span in make_jaeger_batch(spans, process).spans:
        tell_thrift(CLIENT, span, process.serviceName, process.tags)
    closed = tracer.close()
    deadline = time.monotonic() + 10
    while not closed.done():
        if time.monotonic() > deadline:
            sys.exit(f"{CLIENT}: the spans were not handed over")
        time.sleep(0.02)


def sampled(tracer):
    """The first span that is sampled because the server said so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        span = tracer.start_span("checkout")
        param = next((tag.vDouble for tag in span.tags or [] if tag.key == "sampler.param"), None)
        if span.is_sampled() and param == 1:
            return span
        time.sleep(0.02)
    sys.exit(f"{CLIENT}: nobody said that spans are to be sampled")


def sell(tracer, order):
    order.set_tag("span.kind", "server")
    for key, value in {
        "items": 3,
        "largest": 9223372036854775807,
        "smallest": -9223372036854775808,
        "total": 12.5,
        "gift": True,
        "empty": "",
        "customer": 'Zoë 🛒\n"quoted" \\ \t',
    }.items():
        order.set_tag(key, value)
    order.set_tag("repeated", "first")
    order.set_tag("repeated", "second")
    order.log_kv({"event": "priced", "currency": "EUR", "parts": 2})
    order.set_baggage_item("customer", "zoe")
    pay = tracer.start_span("pay", child_of=order, tags={"span.kind": "client", "error": True})
    carried = {}
    tracer.inject(pay.context, opentracing.Format.TEXT_MAP, carried)
    there = tracer.extract(opentracing.Format.TEXT_MAP, carried)
    accept = tracer.start_span("accept", child_of=there, tags={"span.kind": "server"})
    mail = tracer.start_span("mail", references=[opentracing.follows_from(order.context)])
    return [pay, accept, mail]


main()
