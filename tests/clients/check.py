"""Reads back what the clients tell they sent, from Jaeger's and Zipkin's APIs, and compares it value by value.

Standard input has one span a line, as JSON; README.md beside this file says what is in it.
"""

import collections
import json
import math
import sys
import time
import urllib.error
import urllib.request

# Unadjusted: what was sent, not what Jaeger makes of it for people.
JAEGER = "http://localhost:16686/api/traces/{}?raw=true"
ZIPKIN = "http://localhost:9411/api/v2/trace/{}"
PATIENCE_SECONDS = 20


# What Jaeger's API says of a span is brought into this shape, and what a client tells too: tags are a list of
# (key, type, value) in no order, times are whole microseconds.


def tag(key, value):
    """A value in the type that Jaeger gives it."""
    if isinstance(value, bool):
        return key, "bool", value
    if isinstance(value, int):
        return key, "int64", value
    if isinstance(value, float):
        return key, "float64", value
    if isinstance(value, str):
        return key, "string", value
    if "bytes" in value:
        return key, "binary", value["bytes"]
    return key, "string", Text(value)


class Text:
    """A list or a map, which Jaeger has as JSON text."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        try:
            return json.loads(other) == self.value
        except (TypeError, ValueError):
            return False

    def __repr__(self):
        return f"JSON {json.dumps(self.value)}"


def tags(attributes):
    return [tag(key, value) for key, value in attributes.items()]


def told_tags(tags):
    return [(each["key"], each["type"], read_value(each["type"], each["value"])) for each in tags]


def read_value(kind, value):
    """JSON as Jaeger writes it holds large numbers, and those that are none, as text."""
    if kind == "int64":
        return int(value)
    if kind == "float64":
        return float(value)
    return value


def micros(nanos):
    return int(nanos) // 1000


def of_opentelemetry(span):
    """A span of an SDK, as the specification says it in Jaeger's words."""
    attributes = tags(span["attributes"])
    if span["kind"] != "internal":
        attributes.append(tag("span.kind", span["kind"]))
    else:
        attributes.append(tag("span.kind", "internal"))
    scope = span.get("scope") or {}
    for key, name in (("name", "otel.scope.name"), ("version", "otel.scope.version")):
        if scope.get(key):
            attributes.append(tag(name, scope[key]))
    status = span["status"]
    if status["code"] == "error":
        attributes += [tag("error", True), tag("otel.status_code", "ERROR")]
        if status.get("message"):
            attributes.append(tag("otel.status_description", status["message"]))
    elif status["code"] == "ok":
        attributes.append(tag("otel.status_code", "OK"))
    parent = [("CHILD_OF", span["trace"], span["parent"])] if span.get("parent") else []
    links = [("FOLLOWS_FROM", link["trace"], link["span"]) for link in span.get("links", [])]
    resource = dict(span["resource"])
    return {
        "name": span["name"],
        "service": resource.pop("service.name"),
        "references": parent + links,
        "start": micros(span["start"]),
        "duration": (int(span["end"]) - int(span["start"])) // 1000,
        "tags": attributes,
        "process tags": tags(resource),
        "logs": [
            (micros(event["time"]), [tag("event", event["name"]), *tags(event["attributes"])])
            for event in span["events"]
        ],
    }


def of_jaeger(span):
    """A span of a client that speaks Jaeger's words."""
    said = span["jaeger"]
    references = [(each["refType"], wide(each["traceID"]), each["spanID"]) for each in said["references"]]
    parent = said.get("parentSpanID")
    # As Jaeger reads Thrift: a reference of any kind already says who the parent is.
    if parent and (wide(span["trace"]), parent) not in [each[1:] for each in references]:
        references.insert(0, ("CHILD_OF", span["trace"], parent))
    return {
        "name": said["operationName"],
        "service": said["process"]["serviceName"],
        "references": references,
        "flags": said["flags"],
        "start": said["startTime"],
        "duration": said["duration"],
        "tags": told_tags(said["tags"]),
        "process tags": told_tags(said["process"]["tags"]),
        "logs": [(log["timestamp"], told_tags(log["fields"])) for log in said["logs"]],
    }


def of_zipkin(span):
    """What must be seen in Jaeger's words of a span in Zipkin's; there may be more."""
    said = span["zipkin"]
    given = said.get("tags", {})
    # Of OpenTelemetry's own tags some have a place of their own there.
    attributes = [tag(key, value) for key, value in given.items() if key != "error" and not key.startswith("otel.")]
    if "kind" in said:
        attributes.append(tag("span.kind", said["kind"].lower()))
    if "error" in given:
        attributes.append(tag("error", True))
    remote = said.get("remoteEndpoint", {})
    for key, name in (("serviceName", "peer.service"), ("port", "net.peer.port")):
        if key in remote:
            attributes.append(tag(name, remote[key]))
    return {
        "name": said.get("name", ""),
        "service": said.get("localEndpoint", {}).get("serviceName"),
        "start": said.get("timestamp", 0),
        "duration": said.get("duration", 0),
        "tags": attributes,
        "logs": [(each["timestamp"], [tag("event", each["value"])]) for each in said.get("annotations", [])],
    }


def of_answer(span, processes):
    """A span of an answer of Jaeger's API."""
    process = processes[span["processID"]]
    return {
        "name": span["operationName"],
        "service": process["serviceName"],
        "references": [(each["refType"], wide(each["traceID"]), each["spanID"]) for each in span["references"]],
        "flags": span.get("flags", 0),
        "start": span["startTime"],
        "duration": span["duration"],
        "tags": told_tags(span["tags"]),
        "process tags": told_tags(process["tags"]),
        "logs": [(log["timestamp"], told_tags(log["fields"])) for log in span["logs"]],
    }


def wide(trace_id):
    return trace_id.rjust(32, "0")


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def same(sent, back):
    if isinstance(sent, float) and isinstance(back, float) and math.isnan(sent):
        return math.isnan(back)
    return type(sent) is Text and sent == back or type(sent) is type(back) and sent == back


def compare_tags(where, sent, back, problems):
    """Both must hold the same; keys may repeat, the order is free."""
    back = list(back)
    missing = []
    for key, kind, value in sent:
        found = next((each for each in back if each[:2] == (key, kind) and same(value, each[2])), None)
        if found is None:
            missing.append((key, kind, value))
        else:
            back.remove(found)
    for key, kind, value in missing:
        other = next((each for each in back if each[0] == key), None)
        if other is None:
            problems.append(f"{where}: {key} = {value!r} ({kind}) was sent and is not there")
        else:
            back.remove(other)
            problems.append(f"{where}: {key} = {value!r} ({kind}) was sent, {other[2]!r} ({other[1]}) came back")
    for key, kind, value in back:
        problems.append(f"{where}: {key} = {value!r} ({kind}) is there and was not sent")


def compare_zipkin_in_jaeger(sent, back):
    problems = []
    for field in ("name", "service", "start", "duration"):
        if sent[field] is not None and sent[field] != back[field]:
            problems.append(f"{field}: {sent[field]!r} was sent, {back[field]!r} came back")
    for key, kind, value in sent["tags"]:
        if (key, kind, value) not in back["tags"]:
            problems.append(f"tag {key} = {value!r} ({kind}) was sent and is not there")
    if sorted(sent["logs"], key=str) != sorted(back["logs"], key=str):
        problems.append(f"logs: {sent['logs']} were sent, {back['logs']} came back")
    return problems


def compare_jaeger(sent, back):
    problems = []
    # Of SDKs only some send the flags of the context.
    for field in ("name", "service", "flags", "start", "duration"):
        if field in sent and sent[field] != back[field]:
            problems.append(f"{field}: {sent[field]!r} was sent, {back[field]!r} came back")
    references = [(kind, wide(trace), span) for kind, trace, span in sent["references"]]
    if references != back["references"]:
        problems.append(f"references: {references} were sent, {back['references']} came back")
    compare_tags("tag", sent["tags"], back["tags"], problems)
    compare_tags("process tag", sent["process tags"], back["process tags"], problems)
    if len(sent["logs"]) != len(back["logs"]):
        problems.append(f"{len(sent['logs'])} logs were sent, {len(back['logs'])} came back")
    for (sent_time, sent_fields), (time_back, fields_back) in zip(sorted_logs(sent), sorted_logs(back)):
        if sent_time != time_back:
            problems.append(f"time of a log: {sent_time} was sent, {time_back} came back")
        compare_tags(f"log of {sent_time}", sent_fields, fields_back, problems)
    return problems


def sorted_logs(span):
    return sorted(span["logs"], key=lambda log: log[0])


def compare_zipkin(sent, back):
    """All members of Zipkin's span, an absent one and one of zero alike; ids as numbers, they may be shortened."""
    problems = []
    for member in sorted(sent.keys() | back.keys()):
        before, after = sent.get(member), back.get(member)
        if member in ("traceId", "id", "parentId"):
            before, after = before and int(before, 16), after and int(after, 16)
        if member == "annotations":
            before, after = (sorted(each or [], key=str) for each in (before, after))
        if (before or None) != (after or None):
            problems.append(f"{member}: {before!r} was sent, {after!r} came back")
    return problems


class Reader:
    """Traces of the two APIs, each asked for until it has as many spans as were sent or patience ends."""

    def __init__(self):
        self.deadline = time.monotonic() + PATIENCE_SECONDS

    def until_whole(self, url, spans_of, count):
        while True:
            spans = self.spans(url, spans_of)
            if len(spans) >= count or time.monotonic() > self.deadline:
                return spans
            time.sleep(0.1)

    @staticmethod
    def spans(url, spans_of):
        try:
            return spans_of(get(url))
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        except urllib.error.URLError as error:
            return [] if isinstance(error.reason, ConnectionRefusedError) else raise_again(error)
        return []

    def jaeger(self, trace, count):
        def spans_of(answer):
            told = answer["data"][0]
            return [(span["spanID"], of_answer(span, told["processes"])) for span in told["spans"]]

        return self.until_whole(JAEGER.format(trace), spans_of, count)

    def zipkin(self, trace, count):
        return self.until_whole(ZIPKIN.format(trace), lambda answer: answer, count)


def raise_again(error):
    raise error


def check_trace(reader, trace, spans):
    """The problems of each span, as (client, name of the span, problem)."""
    back = reader.jaeger(trace, len(spans))
    if len(back) != len(spans):
        yield from missing("Jaeger's API", spans, back)
        return
    zipkin = [span for span in spans if "zipkin" in span]
    if zipkin:
        yield from check_zipkin(reader.zipkin(trace, len(spans)), zipkin)
    for span in spans:
        halves = [each for id, each in back if int(id, 16) == int(span["span"], 16)]
        if not halves:
            yield span["client"], name_of(span), f"span {span['span']} is not there"
            continue
        for problem in compare_span(span, halves):
            yield span["client"], name_of(span), problem


def compare_span(span, halves):
    """Compares with the spans of its id: of the two halves of a call with the one of its service."""
    if "zipkin" in span:
        sent = of_zipkin(span)
        back = next((half for half in halves if half["service"] == sent["service"]), halves[0])
        return [f"Jaeger's {problem}" for problem in compare_zipkin_in_jaeger(sent, back)]
    sent = of_jaeger(span) if "jaeger" in span else of_opentelemetry(span)
    return compare_jaeger(sent, halves[0])


def check_zipkin(back, spans):
    if len(back) != len(spans):
        yield from missing("Zipkin's API", spans, back)
        return
    # The two halves of a call share their id.
    by_id = {(int(span["id"], 16), span.get("shared", False)): span for span in back}
    for span in spans:
        sent = span["zipkin"]
        found = by_id.get((int(sent["id"], 16), sent.get("shared", False)))
        if found is None:
            yield span["client"], name_of(span), f"Zipkin's span {sent['id']} is not there"
            continue
        for problem in compare_zipkin(sent, found):
            yield span["client"], name_of(span), f"Zipkin's {problem}"


def missing(where, spans, back):
    yield spans[0]["client"], "the trace", f"{len(spans)} spans were sent, {where} has {len(back)}"


def name_of(span):
    return span.get("name") or span.get("jaeger", {}).get("operationName") or span["zipkin"].get("name")


def main():
    traces = collections.defaultdict(list)
    spans_of = collections.Counter()
    for line in sys.stdin:
        span = json.loads(line)
        traces[wide(span["trace"])].append(span)
        spans_of[span["client"]] += 1
    if not traces:
        sys.exit("nothing was sent")
    reader = Reader()
    problems = collections.defaultdict(list)
    for trace, spans in traces.items():
        for client, name, problem in check_trace(reader, trace, spans):
            problems[client].append(f"{trace} '{name}': {problem}")
    for client in sorted(spans_of):
        found = problems[client]
        print(f"{'bad' if found else 'ok '} {client}: {spans_of[client]} spans")
        for problem in found:
            print(f"      {problem}")
    if any(problems.values()):
        sys.exit(1)


main()
