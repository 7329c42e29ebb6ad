//! Names without number: each new service, operation, key or trace asks for a place of its own.

use crate::attack::{Attack, Door, Means, PART};
use crate::ground;
use crate::protobuf::{attribute, field, request, span};

const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];

fn post(name: &'static str, body: fn() -> Vec<u8>) -> Attack {
    let means = Means::Post { path: "/v1/traces", headers: PROTOBUF, body };
    Attack { name, answers: &["200"], door: Door::OtlpHttp, means }
}

fn name(word: &str, number: u64) -> Vec<u8> {
    format!("{word}-{number}").into_bytes()
}

fn requests() -> Vec<Attack> {
    vec![
        post("20 000 services", || {
            let service = |number| field(1, &attribute(b"service.name", &name("service", number)));
            (0..20_000 / PART as u64)
                .flat_map(|number| request(&service(number), [span(number, &[])]))
                .collect()
        }),
        post("50 000 operations of a service", || {
            let service = field(1, &attribute(b"service.name", b"many"));
            request(
                &service,
                (0..50_000 / PART as u64).map(|number| span(number, &field(5, &name("operation", number)))),
            )
        }),
        post("50 000 traces", || request(&[], (0..50_000 / PART as u64).map(|number| span(number, &[])))),
        post("60 000 keys of a span", || {
            let pair = |number| field(9, &attribute(&name("key", number), &name("value", number)));
            request(&[], [span(1, &(0..60_000 / PART as u64).flat_map(pair).collect::<Vec<_>>())])
        }),
        post("20 000 callers of as many called", || {
            // Pairs in one trace each: an edge of the dependencies for every pair.
            let pair = |number: u64| {
                let caller = field(1, &attribute(b"service.name", &name("caller", number)));
                let called = field(1, &attribute(b"service.name", &name("called", number)));
                let child =
                    [span(number, &[]), field(2, &[9; 8]), field(4, &(number + 1).to_be_bytes())].concat();
                [request(&caller, [span(number, &[])]), request(&called, [child])].concat()
            };
            (0..20_000 / PART as u64).flat_map(pair).collect()
        }),
        post("50 000 parents that never come", || {
            request(
                &[],
                (0..50_000 / PART as u64).map(|number| span(number, &field(4, &(number + 7).to_be_bytes()))),
            )
        }),
        post("60 000 links to as many traces", || {
            let link = |number: u64| {
                let id = [[7; 8], number.to_be_bytes()].concat();
                field(13, &[field(1, &id), field(2, &[1; 8])].concat())
            };
            request(&[], [span(1, &(0..60_000 / PART as u64).flat_map(link).collect::<Vec<_>>())])
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_without_number_take_little_memory() {
    ground::withstands_within(64 << 10, &requests()).await;
}
