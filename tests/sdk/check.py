"""Reads the traces that the senders printed back from Jaeger's API and compares them, value by value."""

import json
import sys
import time
import urllib.request

PATIENCE_SECONDS = 20


def read(trace_id):
    with urllib.request.urlopen(f"http://127.0.0.1:16686/api/traces/{trace_id}") as answer:
        return json.load(answer)["data"][0]


def read_when_there(trace_id):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return read(trace_id)
        except urllib.error.HTTPError as error:
            if error.code != 404 or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def check(sent):
    told = read_when_there(sent["trace"])
    spans = {span["operationName"]: span for span in told["spans"]}
    assert set(spans) == {"checkout", "pay"}, spans
    services = {process["serviceName"] for process in told["processes"].values()}
    assert services == {sent["service"]}, services
    root, child = spans["checkout"], spans["pay"]
    tags = {tag["key"]: tag["value"] for tag in root["tags"]}
    expected = {"cart.items": 3, "cart.total": 12.5, "cart.tags": '["new","gift"]', "span.kind": "server",
                "otel.scope.name": "tests.sdk", "otel.scope.version": "1.0"}
    for key, value in expected.items():
        assert tags.get(key) == value, (key, tags.get(key), value)
    assert any(field["value"] == "priced" for log in root["logs"] for field in log["fields"]), root["logs"]
    assert child["references"][0]["spanID"] == root["spanID"], child["references"]
    tags = {tag["key"]: tag["value"] for tag in child["tags"]}
    assert tags["error"] is True and tags["otel.status_description"] == "card refused", tags
    print(f"{sent['service']}: trace {sent['trace']} is there, value by value")


for line in sys.stdin:
    check(json.loads(line))
