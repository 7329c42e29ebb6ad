//! Questions that ask for everything, or take long to understand.

use crate::attack::{Attack, Door, Means};
use crate::ground;
use crate::protobuf::{attribute, field, framed};

const GET_TRACES: &str = "/jaeger.storage.v2.TraceReader/GetTraces";
const FIND_TRACES: &str = "/jaeger.storage.v2.TraceReader/FindTraces";
const FIND_TRACES_V1: &str = "/jaeger.storage.v1.SpanReaderPlugin/FindTraces";
const FIND_TRACES_V3: &str = "/jaeger.api_v3.QueryService/FindTraces";

fn get(name: &'static str, answers: &'static [&'static str], path: fn() -> String) -> Attack {
    Attack { name, answers, door: Door::Page, means: Means::Get(path) }
}

fn call(
    name: &'static str,
    answers: &'static [&'static str],
    (door, path): (Door, &'static str),
    body: fn() -> Vec<u8>,
) -> Attack {
    Attack { name, answers, door, means: Means::Call { path, coding: "identity", body } }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A condition of a filter in JSON.
fn condition(operator: &str, value: &str) -> String {
    format!(
        r#"{{"call":{{"op":"{operator}","args":[{{"attr":{{"key":"a"}}}},{{"scalar":{{"value":"{value}"}}}}]}}}}"#
    )
}

/// A filter in JSON as the question of version 3 has it.
fn filtered(filter: &str) -> String {
    let times = "query.start_time_min=2023-01-01T00:00:00Z&query.start_time_max=2027-01-01T00:00:00Z";
    format!("/api/v3/traces?{times}&query.filter={}", encoded(filter))
}

fn over_http() -> Vec<Attack> {
    const ANY: &[&str] = &["200", "400", "404", "414", "431"];
    vec![
        get("a limit of 10^18", &["200"], || "/api/traces?service=good&limit=1000000000000000000".into()),
        get("a limit beyond all numbers", &["400"], || {
            format!("/api/traces?service=good&limit={}", "9".repeat(5_000))
        }),
        get("3 000 trace ids at once", ANY, || {
            let ids: Vec<_> = (0..3_000).map(|number| format!("traceID={number:x}")).collect();
            format!("/api/traces?{}", ids.join("&"))
        }),
        get("10 000 trace ids at once", ANY, || {
            let ids: Vec<_> = (0..10_000).map(|number| format!("traceID={number:x}")).collect();
            format!("/api/traces?{}", ids.join("&"))
        }),
        get("3 500 tags", ANY, || format!("/api/traces?service=good&{}", "tag=a:b&".repeat(3_500))),
        get("tags of 2 000 levels", &["400"], || {
            format!("/api/traces?service=good&tags={}", encoded(&r#"{"a":"#.repeat(2_000)))
        }),
        get("1 500 different tags in JSON", ANY, || {
            let pairs: Vec<_> = (0..1_500).map(|number| format!(r#""{number}":"""#)).collect();
            format!("/api/traces?service=good&tags={}", encoded(&format!("{{{}}}", pairs.join(","))))
        }),
        get("a path of percents", ANY, || format!("/api/traces/{}", "%25".repeat(9_000))),
        get("a trace id of 60 000 digits", &["400", "414", "431"], || {
            format!("/api/traces/{}", "a".repeat(60_000))
        }),
        get("all times there are", &["200", "400"], || {
            "/api/traces?service=good&start=0&end=9223372036854775807&limit=1500".into()
        }),
        get("a time beyond all numbers", &["400"], || {
            format!("/api/traces?service=good&start={}", "9".repeat(400))
        }),
        get("a duration of 25 000 digits", &["400"], || {
            format!("/api/traces?service=good&minDuration={}s", "9".repeat(25_000))
        }),
        get("a duration of 12 000 parts", ANY, || {
            format!("/api/traces?service=good&minDuration={}", "1h".repeat(12_000))
        }),
        get("dependencies of all times", &["200", "400"], || {
            "/api/dependencies?endTs=9223372036854775807&lookback=9223372036854775807".into()
        }),
        get("a point for every millisecond of a year", &["400"], || {
            "/api/metrics/calls?service=good&step=1&lookback=31536000000".into()
        }),
        get("a window of 292 million years", &["200", "400"], || {
            "/api/metrics/latencies?service=good&quantile=0.95&ratePer=9223372036854775807".into()
        }),
        get("1 000 services at once", ANY, || format!("/api/metrics/calls?{}", "service=a&".repeat(1_000))),
        get("1 000 conditions of the page's", ANY, || {
            format!("/api/a1/search?{}", "where=a=b&".repeat(1_000))
        }),
        get("words to find in a trace that are 50 000 letters", ANY, || {
            format!("/api/a1/trace/1/find?q={}", "a".repeat(50_000))
        }),
        get("10 000 spans to tell of", ANY, || {
            let ids: Vec<_> = (0..3_000).map(|number| format!("id={number:016x}")).collect();
            format!("/api/a1/trace/1/spans?{}", ids.join("&"))
        }),
    ]
}

fn filters() -> Vec<Attack> {
    const REFUSED: &[&str] = &["400", "414", "431"];
    const ANSWERED: &[&str] = &["200", "400", "404"];
    vec![
        get("a filter of 400 levels", REFUSED, || {
            let (open, close) = (r#"{"op":"not","args":[{"call":"#.repeat(400), "}]}".repeat(400));
            filtered(&format!("{open}{}{close}", r#"{"op":"and","args":[]}"#))
        }),
        get("a filter that is 10 000 lists", REFUSED, || filtered(&"[".repeat(10_000))),
        get("a filter of 120 conditions", ANSWERED, || {
            filtered(&format!(r#"{{"op":"or","args":[{}]}}"#, vec![condition("eq", "b"); 120].join(",")))
        }),
        get("a regex that doubles at each letter", ANSWERED, || {
            filtered(&inner(&condition("regex", "(a+)+(a+)+(a+)+$")))
        }),
        get("a regex of a million states", ANSWERED, || {
            filtered(&inner(&condition("regex", "((a{100}){100}){100}")))
        }),
        get("a regex of every letter there is, often", ANSWERED, || {
            filtered(&inner(&condition("regex", &r"\\pL{1000}".repeat(100))))
        }),
        get("a regex of 7 000 alternatives", ANSWERED, || {
            filtered(&inner(&condition("regex", &vec!["a"; 7_000].join("|"))))
        }),
        get("a regex of 1 000 groups in groups", ANSWERED, || {
            filtered(&inner(&condition("regex", &format!("{}{}", "(".repeat(1_000), ")".repeat(1_000)))))
        }),
        get("30 regexes", ANSWERED, || {
            filtered(&format!(
                r#"{{"op":"or","args":[{}]}}"#,
                vec![condition("regex", "(a{50}){50}"); 30].join(",")
            ))
        }),
    ]
}

/// A call that stands for itself.
fn inner(condition: &str) -> String {
    let call = condition.strip_prefix(r#"{"call":"#).unwrap();
    call.strip_suffix('}').unwrap().to_owned()
}

fn over_grpc() -> Vec<Attack> {
    const ANY: &[&str] = &["grpc 0", "grpc 3", "grpc 8", "grpc 11"];
    vec![
        call("10 000 traces at once", ANY, (Door::Storage, GET_TRACES), || {
            let id = |number: u64| field(1, &field(1, &[[3; 8], number.to_be_bytes()].concat()));
            framed(0, &(0..10_000).flat_map(id).collect::<Vec<_>>())
        }),
        call("130 000 empty traces at once", ANY, (Door::Storage, GET_TRACES), || {
            framed(0, &field(1, &[]).repeat(130_000))
        }),
        call("120 000 empty attributes to find", ANY, (Door::Storage, FIND_TRACES), || {
            framed(0, &field(1, &field(3, &[]).repeat(120_000)))
        }),
        call("20 000 tags to find", ANY, (Door::Storage, FIND_TRACES_V1), || {
            let tag =
                |number: u32| field(3, &[field(1, number.to_string().as_bytes()), field(2, b"x")].concat());
            framed(0, &field(1, &(0..20_000).flat_map(tag).collect::<Vec<_>>()))
        }),
        call("all traces there are", ANY, (Door::Storage, FIND_TRACES), || {
            // A depth of 2^31 - 1 and no times.
            framed(0, &field(1, &[0x40, 0xff, 0xff, 0xff, 0xff, 0x07]))
        }),
        call("a question of 20 MiB", &["grpc 8", "grpc 11"], (Door::Query, FIND_TRACES_V3), || {
            framed(0, &field(1, &field(1, &vec![b's'; 20 << 20])))
        }),
        call("a filter of 40 000 empty arguments", ANY, (Door::Query, FIND_TRACES_V3), || {
            let filter = [field(1, b"and"), field(2, &[]).repeat(40_000)].concat();
            framed(0, &field(1, &field(10, &filter)))
        }),
        call("a filter with a list of 100 000 values", ANY, (Door::Query, FIND_TRACES_V3), || {
            let list = field(5, &field(1, b"").repeat(100_000));
            let filter =
                [field(1, b"in"), field(2, &field(1, &attribute(b"a", b""))), field(2, &list)].concat();
            framed(0, &field(1, &field(10, &filter)))
        }),
        call("a regex of a million states, in a call", ANY, (Door::Query, FIND_TRACES_V3), || {
            let scalar = field(4, &field(1, b"(((a{100}){100}){100}){100}"));
            let filter =
                [field(1, b"regex"), field(2, &field(1, &field(1, b"a"))), field(2, &scalar)].concat();
            framed(0, &field(1, &field(10, &filter)))
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_bounded() {
    ground::withstands(&over_http()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_are_bounded() {
    ground::withstands(&filters()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_over_grpc_are_bounded() {
    ground::withstands(&over_grpc()).await;
}
