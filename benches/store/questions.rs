//! Asking: each question warm, and cold with the store just opened and nothing of its files in the system's memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracelodge::model::{SpanKind, Timestamp};
use tracelodge::query::{Conditions, Query};

use crate::arm::{Packed, open_packed};
use crate::generator::{EPOCH, Generator, Remembered, USERS};
use crate::measure::{evict, millis, percentile, timed};

/// A kind of question, asked many times about different things.
struct Question {
    name: &'static str,
    /// Milliseconds that 95 of 100 answers may take, warm and cold.
    goal: &'static str,
    ask: Box<Ask>,
}

/// Asks the one of this number; says how many traces, spans or names came.
type Ask = dyn Fn(&Query, usize) -> usize;

/// How often each is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) warm: usize,
    pub(crate) cold: usize,
}

/// Asks everything of the store in this folder, which is closed and opened for it, and hands it back open.
pub(crate) fn ask(store: Arc<Packed>, folder: &Path, generator: &Generator, rounds: Rounds) -> Arc<Packed> {
    let spans = store.status().expect("the store can be read").spans;
    println!(
        "\n{:<34}{:>10}{:>20}{:>20}{:>12}",
        format!("asking {spans} spans"),
        "answers",
        "warm p50 / p95 ms",
        "cold p50 / p95 ms",
        "goal"
    );
    let questions = questions(generator);
    let query = Query::new(store);
    let warm: Vec<_> = questions.iter().map(|question| warm(&query, question, rounds.warm)).collect();
    drop(query);
    for (question, (answers, warm)) in questions.iter().zip(warm) {
        let cold: Vec<_> = (0..rounds.cold).map(|number| cold(folder, question, number)).collect();
        println!(
            "{:<34}{:>10.1}{:>11.2} /{:>7.2}{:>11.2} /{:>7.2}{:>12}",
            question.name,
            answers as f64 / rounds.warm as f64,
            millis(percentile(&warm, 50)),
            millis(percentile(&warm, 95)),
            millis(percentile(&cold, 50)),
            millis(percentile(&cold, 95)),
            question.goal,
        );
    }
    open_packed(folder)
}

/// The first round is about other things, as far as there are others, and not counted.
fn warm(query: &Query, question: &Question, rounds: usize) -> (usize, Vec<Duration>) {
    for number in rounds..2 * rounds {
        (question.ask)(query, number);
    }
    let mut answers = 0;
    let mut took = Vec::with_capacity(rounds);
    for number in 0..rounds {
        let (time, found) = timed(|| (question.ask)(query, number));
        answers += found;
        took.push(time);
    }
    (answers, took)
}

fn cold(folder: &Path, question: &Question, number: usize) -> Duration {
    let query = Query::new(open_packed(folder));
    evict(folder).expect("the files are there");
    timed(|| (question.ask)(&query, number)).0
}

/// The names that questions are about.
struct Subjects {
    services: Vec<String>,
    /// Service and name of operations that clients call.
    operations: Vec<(String, String)>,
    since: Timestamp,
    now: Timestamp,
}

impl Subjects {
    fn of(generator: &Generator) -> Self {
        let model = generator.model();
        let served = model.operations.iter().filter(|operation| operation.kind == SpanKind::Server);
        Self {
            services: model.services.clone(),
            operations: served
                .map(|operation| (model.services[operation.service].clone(), operation.name.clone()))
                .collect(),
            since: EPOCH,
            now: generator.now(),
        }
    }

    fn of_service(&self, number: usize) -> Conditions {
        let service = &self.services[number % self.services.len()];
        Conditions { service: Some(service.clone()), ..Conditions::default() }
    }

    fn of_operation(&self, number: usize) -> Conditions {
        let (service, operation) = &self.operations[number * 7 % self.operations.len()];
        Conditions {
            service: Some(service.clone()),
            operation: Some(operation.clone()),
            ..Conditions::default()
        }
    }
}

/// A name that one trace in 100 000 has.
fn user(number: usize) -> String {
    format!("user-{:06}", number as u64 * 7919 % USERS)
}

fn questions(generator: &Generator) -> Vec<Question> {
    let traces = generator.whole_traces();
    let subjects = Arc::new(Subjects::of(generator));
    let find = |name, goal, conditions: fn(&Subjects, usize) -> Conditions| {
        let subjects = Arc::clone(&subjects);
        let ask = move |query: &Query, number| {
            query.find(&conditions(&subjects, number)).expect("the store can be read").traces.len()
        };
        Question { name, goal, ask: Box::new(ask) }
    };
    vec![
        Question {
            name: "trace by id",
            goal: "1 / 8",
            ask: Box::new(move |query, number| ask_trace(query, &traces, number)),
        },
        find("newest 20 of a service", "10 / 50", Subjects::of_service),
        find("newest 20 of service, operation", "10 / 50", Subjects::of_operation),
        find("20 of a service, halfway", "10 / 50", |subjects, number| {
            let lived = subjects.now.since(subjects.since);
            let start = subjects.since.plus(lived / 2 + lived / 100 * (number as u32 % 8));
            let end = start.plus((lived / 10).min(Duration::from_secs(60)));
            Conditions { start, end, ..subjects.of_service(number) }
        }),
        find("20 of a service above 400 ms", "", |subjects, number| Conditions {
            min_duration: Some(Duration::from_millis(400)),
            ..subjects.of_service(number)
        }),
        find("none of a service above 1 h", "", |subjects, number| Conditions {
            min_duration: Some(Duration::from_secs(3600)),
            ..subjects.of_service(number)
        }),
        find("tag of 1 in 100 000, service", "25 / 100", |subjects, number| Conditions {
            attributes: vec![("enduser.id".into(), user(number))],
            ..subjects.of_service(number)
        }),
        find("tag that nothing has, service", "", |subjects, number| Conditions {
            attributes: vec![("enduser.id".into(), format!("nobody-{number}"))],
            ..subjects.of_service(number)
        }),
        find("common tag, service, operation", "", |subjects, number| Conditions {
            attributes: vec![("span.kind".into(), "server".into())],
            ..subjects.of_operation(number)
        }),
        Question { name: "all services and operations", goal: "", ask: Box::new(ask_names) },
    ]
}

fn ask_trace(query: &Query, traces: &[Remembered], number: usize) -> usize {
    let asked = &traces[number * 31 % traces.len()];
    let trace = query.trace(asked.trace_id).expect("the store can be read");
    let spans = trace.map_or(0, |trace| trace.spans.len());
    assert_eq!(spans, asked.spans, "the whole trace {} is there", asked.trace_id);
    spans
}

fn ask_names(query: &Query, _: usize) -> usize {
    let services = query.services().expect("the store can be read");
    let operations =
        services.iter().map(|service| query.operations(service, None).expect("the store can be read").len());
    operations.sum()
}
