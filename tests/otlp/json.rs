//! OTLP/JSON as clients write it, beside the same said strictly.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use tracelodge::otlp::{Limits, json, scan};

use crate::wire::captured;

/// Members of a span, as some client or other writes them, and as the specification wants them.
const SPANS: [(&str, &str, &str); 41] = [
    ("nothing", r#""#, r#""#),
    (
        "ids in upper case",
        r#""traceId":"5B8EFFF798038103D269B633813FC60C""#,
        r#""traceId":"5b8efff798038103d269b633813fc60c""#,
    ),
    ("an empty parent", r#""parentSpanId":"""#, r#""parentSpanId":"""#),
    ("a null parent", r#""parentSpanId":null"#, r#""#),
    ("a null trace state", r#""traceState":null"#, r#""#),
    ("a null name", r#""name":null"#, r#""#),
    ("a null kind", r#""kind":null"#, r#""#),
    ("a null status", r#""status":null"#, r#""#),
    ("a null time", r#""startTimeUnixNano":null"#, r#""#),
    ("null lists", r#""attributes":null,"events":null,"links":null"#, r#""#),
    (
        "null elements",
        r#""attributes":[null,{"key":"a"}],"events":[null],"links":[null]"#,
        r#""attributes":[{"key":"a"}]"#,
    ),
    (
        "snake case",
        r#""trace_id":"5b8efff798038103d269b633813fc60c","start_time_unix_nano":"7","dropped_attributes_count":3"#,
        r#""traceId":"5b8efff798038103d269b633813fc60c","startTimeUnixNano":"7","droppedAttributesCount":3"#,
    ),
    ("a kind's name", r#""kind":"SPAN_KIND_SERVER""#, r#""kind":2"#),
    ("a kind's short name", r#""kind":"client""#, r#""kind":3"#),
    ("a kind as text", r#""kind":"5""#, r#""kind":5"#),
    ("a kind as double", r#""kind":4.0"#, r#""kind":4"#),
    ("a kind nobody knows", r#""kind":"SPAN_KIND_OTHER""#, r#""kind":0"#),
    ("a kind of the future", r#""kind":99"#, r#""kind":99"#),
    (
        "a status' name",
        r#""status":{"code":"STATUS_CODE_ERROR","message":"boom"}"#,
        r#""status":{"code":2,"message":"boom"}"#,
    ),
    ("a null code", r#""status":{"code":null,"message":null}"#, r#""status":{}"#),
    (
        "time as number",
        r#""startTimeUnixNano":1730291041637024540"#,
        r#""startTimeUnixNano":"1730291041637024540""#,
    ),
    ("time with exponent", r#""startTimeUnixNano":1.7e18"#, r#""startTimeUnixNano":"1700000000000000000""#),
    (
        "time with exponent as text",
        r#""startTimeUnixNano":"1.7E+18""#,
        r#""startTimeUnixNano":"1700000000000000000""#,
    ),
    (
        "the last time there is",
        r#""endTimeUnixNano":18446744073709551615"#,
        r#""endTimeUnixNano":"18446744073709551615""#,
    ),
    ("an empty time", r#""startTimeUnixNano":"""#, r#""#),
    ("a count as text", r#""droppedEventsCount":"12""#, r#""droppedEventsCount":12"#),
    ("a count as double", r#""droppedLinksCount":12.0"#, r#""droppedLinksCount":12"#),
    ("flags as text", r#""flags":"257""#, r#""flags":257"#),
    ("all flags", r#""flags":4294967295"#, r#""flags":4294967295"#),
    (
        "no key",
        r#""attributes":[{"value":{"intValue":1}}]"#,
        r#""attributes":[{"key":"","value":{"intValue":1}}]"#,
    ),
    ("a null key", r#""attributes":[{"key":null}]"#, r#""attributes":[{"key":""}]"#),
    ("a null value", r#""attributes":[{"key":"a","value":null}]"#, r#""attributes":[{"key":"a"}]"#),
    ("a name said twice", r#""name":"first","name":"last""#, r#""name":"last""#),
    ("a name taken back", r#""name":"first","name":null"#, r#""#),
    (
        "a list said twice",
        r#""attributes":[{"key":"a"},{"key":"b"}],"name":"n","attributes":[{"key":"c"}]"#,
        r#""attributes":[{"key":"c"}],"name":"n""#,
    ),
    (
        "a status said twice",
        r#""status":{"message":"a","code":1},"status":{"code":2}"#,
        r#""status":{"code":2}"#,
    ),
    (
        "in both cases",
        r#""spanId":"eee19b7ec3c1b174","span_id":"eee19b7ec3c1b175""#,
        r#""spanId":"eee19b7ec3c1b175""#,
    ),
    (
        "members nobody knows",
        r#""a":[1,{"b":[[[{}]]]}],"name":"n","instrumentationLibrary":null,"c":1e999"#,
        r#""name":"n""#,
    ),
    ("escapes", r#""name":"caf\u00e9 \ud83e\udd80 \"\\\/\n""#, r#""name":"café 🦀 \"\\/\n""#),
    (
        "a link",
        r#""links":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":null,"flags":"1"}]"#,
        r#""links":[{"traceId":"5b8efff798038103d269b633813fc60c","flags":1}]"#,
    ),
    (
        "an event",
        r#""events":[{"timeUnixNano":5.0,"name":null,"attributes":[]}]"#,
        r#""events":[{"timeUnixNano":"5"}]"#,
    ),
];

/// Values of an attribute likewise.
const VALUES: [(&str, &str, &str); 37] = [
    ("nothing", r#"{}"#, r#"{}"#),
    ("null text", r#"{"stringValue":null}"#, r#"{}"#),
    ("empty text", r#"{"stringValue":""}"#, r#"{"stringValue":""}"#),
    ("false", r#"{"boolValue":false}"#, r#"{"boolValue":false}"#),
    ("true as text", r#"{"boolValue":"true"}"#, r#"{"boolValue":true}"#),
    ("true as number", r#"{"boolValue":1}"#, r#"{"boolValue":true}"#),
    ("zero", r#"{"intValue":0}"#, r#"{"intValue":"0"}"#),
    ("zero as text", r#"{"intValue":"0"}"#, r#"{"intValue":"0"}"#),
    ("below zero", r#"{"intValue":-5}"#, r#"{"intValue":"-5"}"#),
    ("least", r#"{"intValue":-9223372036854775808}"#, r#"{"intValue":"-9223372036854775808"}"#),
    ("greatest", r#"{"intValue":"9223372036854775807"}"#, r#"{"intValue":"9223372036854775807"}"#),
    ("a whole double", r#"{"intValue":5.0}"#, r#"{"intValue":"5"}"#),
    ("a whole exponent", r#"{"intValue":1e2}"#, r#"{"intValue":"100"}"#),
    ("a whole exponent as text", r#"{"intValue":"1e2"}"#, r#"{"intValue":"100"}"#),
    ("minus zero", r#"{"intValue":-0}"#, r#"{"intValue":"0"}"#),
    ("2^63", r#"{"intValue":9223372036854775808}"#, r#"{"doubleValue":9223372036854775808.0}"#),
    ("2^63 as text", r#"{"intValue":"9223372036854775808"}"#, r#"{"doubleValue":9223372036854775808.0}"#),
    ("beyond 64 bits", r#"{"intValue":1e+300}"#, r#"{"doubleValue":1e300}"#),
    ("a fraction", r#"{"intValue":1.5}"#, r#"{"doubleValue":1.5}"#),
    ("null int", r#"{"intValue":null}"#, r#"{}"#),
    ("empty int", r#"{"intValue":""}"#, r#"{}"#),
    ("double as text", r#"{"doubleValue":"1.5"}"#, r#"{"doubleValue":1.5}"#),
    ("double as int", r#"{"doubleValue":3}"#, r#"{"doubleValue":3.0}"#),
    ("null double", r#"{"doubleValue":null}"#, r#"{}"#),
    ("zero double", r#"{"doubleValue":0}"#, r#"{"doubleValue":0.0}"#),
    ("empty array", r#"{"arrayValue":{}}"#, r#"{"arrayValue":{"values":[]}}"#),
    ("null array", r#"{"arrayValue":null}"#, r#"{}"#),
    ("array of null", r#"{"arrayValue":{"values":null}}"#, r#"{"arrayValue":{"values":[]}}"#),
    (
        "nulls in an array",
        r#"{"arrayValue":{"values":[null,{"intValue":1},{}]}}"#,
        r#"{"arrayValue":{"values":[{},{"intValue":"1"},{}]}}"#,
    ),
    ("empty map", r#"{"kvlistValue":{}}"#, r#"{"kvlistValue":{"values":[]}}"#),
    (
        "snake case map",
        r#"{"kvlist_value":{"values":[{"key":"k","value":{"string_value":"v"}}]}}"#,
        r#"{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}"#,
    ),
    ("base64", r#"{"bytesValue":"+/8="}"#, r#"{"bytesValue":"+/8="}"#),
    ("base64 without padding", r#"{"bytesValue":"+/8"}"#, r#"{"bytesValue":"+/8="}"#),
    ("base64 for URLs", r#"{"bytesValue":"-_8="}"#, r#"{"bytesValue":"+/8="}"#),
    ("base64 for URLs without padding", r#"{"bytesValue":"-_8"}"#, r#"{"bytesValue":"+/8="}"#),
    ("the last member of two", r#"{"stringValue":"a","intValue":1}"#, r#"{"intValue":"1"}"#),
    ("a member nobody knows", r#"{"otherValue":{"a":[1]},"intValue":"7"}"#, r#"{"intValue":"7"}"#),
];

fn request_of_span(members: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{members}}}]}}]}}]}}"#)
}

fn request_of_value(value: &str) -> String {
    request_of_span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#))
}

#[track_caller]
fn assert_same(what: &str, lenient: &str, strict: &str) {
    let ours = json::traces(lenient.as_bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let ours = ExportTraceServiceRequest::decode(&ours[..]).unwrap_or_else(|error| panic!("{what}: {error}"));
    let theirs: ExportTraceServiceRequest =
        serde_json::from_str(strict).unwrap_or_else(|error| panic!("{what}, strictly: {error}"));
    assert_eq!(ours, theirs, "{what}");
}

#[test]
fn a_span_is_understood_however_it_is_spelled() {
    for (what, lenient, strict) in SPANS {
        assert_same(what, &request_of_span(lenient), &request_of_span(strict));
    }
}

#[test]
fn a_value_is_understood_however_it_is_spelled() {
    for (what, lenient, strict) in VALUES {
        assert_same(what, &request_of_value(lenient), &request_of_value(strict));
    }
}

#[test]
fn a_request_is_understood_however_it_is_spelled() {
    for (what, lenient, strict) in [
        ("nothing", "{}", "{}"),
        ("null", "null", "{}"),
        ("a byte order mark", "\u{feff}{}", "{}"),
        ("white space", " \r\n\t{ } \n", "{}"),
        ("no resources", r#"{"resourceSpans":null}"#, "{}"),
        (
            "null scopes",
            r#"{"resourceSpans":[{"resource":null,"scopeSpans":null}]}"#,
            r#"{"resourceSpans":[{}]}"#,
        ),
        (
            "null spans",
            r#"{"resourceSpans":[{"scopeSpans":[{"scope":null,"spans":null}]}]}"#,
            r#"{"resourceSpans":[{"scopeSpans":[{}]}]}"#,
        ),
        (
            "snake case",
            r#"{"resource_spans":[{"scope_spans":[{"schema_url":"a"}]}]}"#,
            r#"{"resourceSpans":[{"scopeSpans":[{"schemaUrl":"a"}]}]}"#,
        ),
        (
            "part of an entity",
            r#"{"resourceSpans":[{"resource":{"entityRefs":[{"type":"host","idKeys":["host.id",null]}]}}]}"#,
            r#"{"resourceSpans":[{"resource":{"entityRefs":[{"type":"host","schemaUrl":"","idKeys":["host.id"],"descriptionKeys":[]}]}}]}"#,
        ),
    ] {
        assert_same(what, lenient, strict);
    }
}

#[test]
fn doubles_arrive_to_the_last_bit() {
    for (text, number) in [
        (r#""NaN""#, f64::NAN),
        (r#""Infinity""#, f64::INFINITY),
        (r#""-Infinity""#, f64::NEG_INFINITY),
        (r#""-0.0""#, -0.0),
        ("-0.0", -0.0),
        ("5.043868059574145e275", 5.043868059574145e275),
        ("2.2250738585072014e-308", f64::MIN_POSITIVE),
        ("0.1", 0.1),
    ] {
        let request =
            json::traces(request_of_value(&format!(r#"{{"doubleValue":{text}}}"#)).as_bytes()).unwrap();
        let request = ExportTraceServiceRequest::decode(&request[..]).unwrap();
        let value = request.resource_spans[0].scope_spans[0].spans[0].attributes[0].value.clone().unwrap();
        let Some(Value::DoubleValue(read)) = value.value else { panic!("{text}: {value:?}") };
        assert_eq!(read.to_bits(), number.to_bits(), "{text}");
    }
}

#[test]
fn text_of_any_bytes_is_passed_on_and_counted_by_the_scan() {
    let ids = r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174""#;
    let lone_surrogate = request_of_span(&format!(r#"{ids},"name":"\ud800""#)).into_bytes();
    let mut latin1 = request_of_span(&format!(r#"{ids},"name":"caf?""#)).into_bytes();
    let place = latin1.iter().position(|byte| *byte == b'?').unwrap();
    latin1[place] = 0xe9;
    for text in [lone_surrogate, latin1] {
        let scanned = scan(&json::traces(&text).unwrap(), &Limits::default()).unwrap();
        assert_eq!((scanned.accepted, scanned.repaired), (1, 1));
    }
}

#[test]
fn a_span_with_an_unusable_id_is_rejected_alone() {
    let good = r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174""#;
    let cases = [
        (r#""traceId":"5b8efff798038103""#, "trace id of 8 bytes, not 16,"),
        (r#""traceId":"5b8efff798038103d269b633813fc60""#, "trace id of 31 bytes, not 16,"),
        (r#""traceId":"W47/95gDgQPSabYzgT/GDA==""#, "trace id of 24 bytes, not 16,"),
        (r#""traceId":"sixteen letters!""#, "trace id of 17 bytes, not 16,"),
        (r#""spanId":"0xeee19b7ec3c1b174""#, "span id of 18 bytes, not 8,"),
        (r#""spanId":"letters!""#, "span id of 9 bytes, not 8,"),
        (r#""parentSpanId":"ee""#, "parent span id of 1 bytes, not 0 or 8,"),
    ];
    for (bad, words) in cases {
        let spans = format!(r#"{{{good}}},{{{good},{bad}}},{{{good}}}"#);
        let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
        let scanned = scan(&json::traces(text.as_bytes()).unwrap(), &Limits::default()).unwrap();
        assert_eq!((scanned.accepted, scanned.rejected), (2, 1), "{words}");
        let reason = scanned.first_rejection.unwrap();
        assert!(reason.contains(&format!("spans[1]: {words} at byte")), "{reason}");
    }
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "request: EOF while parsing a value at line 1, column 0"),
        ("[]".into(), "request: invalid type: sequence, expected an object at line 1, column 2"),
        ("{}\n{}".into(), "request: trailing characters at line 2, column 1"),
        (
            "{\"resourceSpans\":\n [7]}".into(),
            "resourceSpans[0]: invalid type: integer `7`, expected an object at line 2, column 3",
        ),
        (
            "{\"resourceSpans\":{}}".into(),
            "resourceSpans: invalid type: map, expected an array at line 1, column 19",
        ),
        (
            request_of_span(r#""name":7"#),
            "resourceSpans[0].scopeSpans[0].spans[0].name: invalid type: integer `7`, expected a text at line 1, column 52",
        ),
        (
            request_of_span(r#""name":["a"]"#),
            "resourceSpans[0].scopeSpans[0].spans[0].name: invalid type: sequence, expected a text at line 1, column 52",
        ),
        (
            request_of_span(r#""startTimeUnixNano":"noon""#),
            "resourceSpans[0].scopeSpans[0].spans[0].startTimeUnixNano: invalid value: string \"noon\", expected a whole number at line 1, column 70",
        ),
        (
            request_of_span(r#""startTimeUnixNano":-1"#),
            "resourceSpans[0].scopeSpans[0].spans[0].startTimeUnixNano: integer `-1` is not a whole number of 0 to 18446744073709551615 at line 1, column 66",
        ),
        (
            request_of_span(r#""flags":4294967296"#),
            "resourceSpans[0].scopeSpans[0].spans[0].flags: integer `4294967296` is not a whole number of 0 to 4294967295 at line 1, column 62",
        ),
        (
            request_of_span(r#""kind":1.5"#),
            "resourceSpans[0].scopeSpans[0].spans[0].kind: invalid value: floating point `1.5`, expected the number or the name of an enum at line 1, column 54",
        ),
        (
            request_of_value(r#"{"boolValue":"yes"}"#),
            "resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.boolValue: invalid value: string \"yes\", expected true or false at line 1, column 95",
        ),
        (
            request_of_value(r#"{"bytesValue":"?"}"#),
            "resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.bytesValue: invalid value: string \"?\", expected base64 at line 1, column 94",
        ),
        (
            request_of_value(r#"{"intValue":true}"#),
            "resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.intValue: invalid type: boolean `true`, expected a number at line 1, column 93",
        ),
        (
            request_of_value(r#"{"doubleValue":NaN}"#),
            "resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.doubleValue: expected value at line 1, column 93",
        ),
        (
            r#"{"resourceSpans":[{"#.into(),
            "resourceSpans[0]: EOF while parsing an object at line 1, column 19",
        ),
        (r#"{"resourceSpans":[{}"#.into(), "resourceSpans[1]: EOF while parsing a list at line 1, column 20"),
    ];
    for (text, words) in cases {
        assert_eq!(json::traces(text.as_bytes()).unwrap_err().to_string(), words, "{text}");
    }
    let long = request_of_span(&format!(r#""startTimeUnixNano":"{}""#, "ä".repeat(10_000)));
    assert!(json::traces(long.as_bytes()).unwrap_err().what.len() <= 200);
}

#[test]
fn repeated_members_cost_no_more_than_a_few_times_the_text() {
    let repeated = request_of_span(&vec![r#""name":"n""#; 30].join(","));
    assert!(json::traces(repeated.as_bytes()).is_ok());
    // Each repeat makes all that stands before it in its object be written once more, in each level around a long text.
    let nested = |levels: usize, repeats: usize| {
        let text = format!(r#"{{"stringValue":"{}"}}"#, "a".repeat(20_000));
        let around = |value, _| {
            let repeated = r#","boolValue":true"#.repeat(repeats + 1);
            format!(r#"{{"arrayValue":{{"values":[{value}]}}{repeated}}}"#)
        };
        request_of_value(&(0..levels).fold(text, around))
    };
    for (levels, repeats, is_taken) in
        [(1, 7, true), (1, 9, false), (7, 1, true), (9, 1, false), (18, 8, false)]
    {
        match json::traces(nested(levels, repeats).as_bytes()) {
            Ok(_) => assert!(is_taken, "{levels} {repeats}"),
            Err(error) => {
                assert!(!is_taken, "{levels} {repeats}: {error}");
                assert_eq!(error.what, "repeated members of more than 8 times the length of the text");
            }
        }
    }
}

#[test]
fn millions_of_objects_are_given_up() {
    let spans = |count: usize| {
        let spans = vec!["{}"; count].join(",");
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#)
    };
    assert!(json::traces(spans(100_000).as_bytes()).is_ok());
    let error = json::traces(spans(2 << 20).as_bytes()).unwrap_err();
    assert_eq!(error.what, "more than 2097152 objects");
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |levels: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(levels);
        request_of_value(&format!(r#"{open}{{"intValue":1}}{}"#, "]}}".repeat(levels)))
    };
    // Six objects around the value, two for each array.
    assert_eq!(json::MAX_DEPTH, 64);
    assert!(json::traces(nested(29).as_bytes()).is_ok());
    for levels in [30, 60, 10_000] {
        let error = json::traces(nested(levels).as_bytes()).unwrap_err();
        assert_eq!(error.what, "objects nest deeper than 64 levels", "{levels}");
        assert!(
            error.path.starts_with("resourceSpans[0].scopeSpans[0].spans[0].attributes[0].value.arrayValue")
        );
    }
    // What nobody reads may be as deep as it likes, and brackets that never close are an error like any other.
    let unknown = request_of_span(&format!(r#""unknown":{}{}"#, "[".repeat(100_000), "]".repeat(100_000)));
    assert!(json::traces(unknown.as_bytes()).is_ok());
    assert!(json::traces(&b"[".repeat(100_000)).is_err());
    assert!(json::traces(&br#"{"a":"#.repeat(100_000)).is_err());
}

#[test]
fn requests_of_real_sdks_are_taken_whole() {
    for (name, spans) in [
        ("node-otlp-json-none.json", 6),
        ("node-otlp-json-gzip.json.gz", 6),
        ("node-otlp-json-bulk1000.json.gz", 1000),
    ] {
        let request = json::traces(&captured(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let scanned = scan(&request, &Limits::default()).unwrap();
        assert_eq!((scanned.accepted, scanned.rejected, scanned.repaired), (spans, 0, 0), "{name}");
        let decoded = ExportTraceServiceRequest::decode(&request[..]).unwrap();
        assert_eq!(decoded.encoded_len(), request.len(), "{name}: no byte too many");
    }
}

#[test]
fn logs_and_metrics_are_understood_likewise() {
    let logs = r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"logRecords":[
        {"timeUnixNano":"7","severityNumber":"SEVERITY_NUMBER_WARN2","severityText":"warn","body":{"kvlistValue":{}},
         "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"","flags":"1","eventName":"e"},
        {"observed_time_unix_nano":5,"severityNumber":9,"body":null,"attributes":null}]}]}]}"#;
    let strict = r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"logRecords":[
        {"timeUnixNano":"7","severityNumber":14,"severityText":"warn","body":{"kvlistValue":{"values":[]}},
         "traceId":"5b8efff798038103d269b633813fc60c","flags":1,"eventName":"e"},
        {"observedTimeUnixNano":"5","severityNumber":9}]}]}]}"#;
    let ours = ExportLogsServiceRequest::decode(&json::logs(logs.as_bytes()).unwrap()[..]).unwrap();
    assert_eq!(ours, serde_json::from_str(strict).unwrap());

    let metrics = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"g","gauge":{"dataPoints":[{"asInt":"-3"},{"asInt":1e300},{"asDouble":"2.5"},{"asDouble":0}]}},
        {"name":"s","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","isMonotonic":true,"dataPoints":null}},
        {"name":"h","histogram":{"dataPoints":[{"count":3,"sum":0,"bucketCounts":[1,"2",0],"explicitBounds":[0,10.5]}]}},
        {"name":"e","exponentialHistogram":{"dataPoints":[{"scale":"-2","positive":{"offset":-1,"bucketCounts":["1",0]},"max":1}]}},
        {"name":"q","summary":{"dataPoints":[{"sum":1.5,"quantileValues":[{"quantile":0.5,"value":7},null]}]}}]}]}]}"#;
    let bytes = json::metrics(metrics.as_bytes()).unwrap();
    let ours = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
    let text = serde_json::to_value(&ours.resource_metrics[0].scope_metrics[0].metrics).unwrap();
    let find = |pointer: &str| text.pointer(pointer).cloned().unwrap_or_default();
    for (pointer, value) in [
        ("/0/gauge/dataPoints/0/asInt", serde_json::json!("-3")),
        ("/0/gauge/dataPoints/1/asDouble", serde_json::json!(1e300)),
        ("/0/gauge/dataPoints/2/asDouble", serde_json::json!(2.5)),
        ("/0/gauge/dataPoints/3/asDouble", serde_json::json!(0.0)),
        ("/1/sum/aggregationTemporality", serde_json::json!(1)),
        ("/1/sum/isMonotonic", serde_json::json!(true)),
        ("/2/histogram/dataPoints/0/count", serde_json::json!("3")),
        ("/2/histogram/dataPoints/0/sum", serde_json::json!(0.0)),
        ("/2/histogram/dataPoints/0/bucketCounts", serde_json::json!(["1", "2", "0"])),
        ("/2/histogram/dataPoints/0/explicitBounds", serde_json::json!([0.0, 10.5])),
        ("/3/exponentialHistogram/dataPoints/0/scale", serde_json::json!(-2)),
        ("/3/exponentialHistogram/dataPoints/0/positive/offset", serde_json::json!(-1)),
        ("/3/exponentialHistogram/dataPoints/0/positive/bucketCounts", serde_json::json!(["1", "0"])),
        ("/3/exponentialHistogram/dataPoints/0/max", serde_json::json!(1.0)),
        ("/4/summary/dataPoints/0/quantileValues", serde_json::json!([{"quantile": 0.5, "value": 7.0}])),
    ] {
        assert_eq!(find(pointer), value, "{pointer}");
    }
}
