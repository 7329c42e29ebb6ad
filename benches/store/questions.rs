//! Asking: each question warm, and cold with the store just opened and nothing of its files in the system's memory.

use std::collections::HashSet;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracelodge::model::{SpanKind, Timestamp};
use tracelodge::query::{Conditions, Query};
use tracelodge::store::literal;

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

/// How often each search is asked of both stores.
const COMPARED: usize = 20;

/// How often each is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) warm: usize,
    pub(crate) cold: usize,
}

/// Asks everything of the store in this folder, which is closed and opened for it, and hands it back open.
pub(crate) fn ask(store: Arc<Packed>, folder: &Path, generator: &Generator, rounds: Rounds) -> Arc<Packed> {
    let spans = store.status().spans;
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

    /// In a tenth of the time there is, a minute at most.
    fn halfway(&self, number: usize) -> Conditions {
        let lived = self.now.since(self.since);
        let start = self.since.plus(lived / 2 + lived / 100 * (number as u32 % 8));
        let end = start.plus((lived / 10).min(Duration::from_secs(60)));
        Conditions { start, end, ..self.of_service(number) }
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

/// A kind of search.
struct Search {
    name: &'static str,
    goal: &'static str,
    conditions: fn(&Subjects, usize) -> Conditions,
}

const SEARCHES: [Search; 8] = [
    Search { name: "newest 20 of a service", goal: "10 / 50", conditions: Subjects::of_service },
    Search { name: "newest 20 of service, operation", goal: "10 / 50", conditions: Subjects::of_operation },
    Search { name: "20 of a service, halfway", goal: "10 / 50", conditions: Subjects::halfway },
    Search {
        name: "20 of a service above 400 ms",
        goal: "",
        conditions: |subjects, number| Conditions {
            min_duration: Some(Duration::from_millis(400)),
            ..subjects.of_service(number)
        },
    },
    Search {
        name: "none of a service above 1 h",
        goal: "",
        conditions: |subjects, number| Conditions {
            min_duration: Some(Duration::from_secs(3600)),
            ..subjects.of_service(number)
        },
    },
    Search {
        name: "tag of 1 in 100 000, service",
        goal: "25 / 100",
        conditions: |subjects, number| Conditions {
            attributes: vec![("enduser.id".into(), format!("user-{:06}", number as u64 * 7919 % USERS))],
            ..subjects.of_service(number)
        },
    },
    Search {
        name: "tag that nothing has, service",
        goal: "",
        conditions: |subjects, number| Conditions {
            attributes: vec![("enduser.id".into(), format!("nobody-{number}"))],
            ..subjects.of_service(number)
        },
    },
    Search {
        name: "common tag, service, operation",
        goal: "",
        conditions: |subjects, number| Conditions {
            attributes: vec![("span.kind".into(), "server".into())],
            ..subjects.of_operation(number)
        },
    },
];

fn questions(generator: &Generator) -> Vec<Question> {
    let traces = generator.whole_traces();
    let subjects = Arc::new(Subjects::of(generator));
    let by_id = move |query: &Query, number| ask_trace(query, &traces[number * 31 % traces.len()]);
    let searches = SEARCHES.map(|search| {
        let subjects = Arc::clone(&subjects);
        let ask = move |query: &Query, number| ask_search(query, &(search.conditions)(&subjects, number));
        Question { name: search.name, goal: search.goal, ask: Box::new(ask) }
    });
    let mut questions = vec![Question { name: "trace by id", goal: "1 / 8", ask: Box::new(by_id) }];
    questions.extend(searches);
    questions.push(Question { name: "all services and operations", goal: "", ask: Box::new(ask_names) });
    questions
}

fn ask_search(query: &Query, conditions: &Conditions) -> usize {
    query.find(conditions).expect("the store can be read").traces.len()
}

/// Searches the same spans in both stores, warm, and checks that as many traces are found.
pub(crate) fn compare(packed: &Arc<Packed>, rows: &literal::Store, generator: &Generator) {
    let subjects = Subjects::of(generator);
    let query = Query::new(Arc::clone(packed));
    println!(
        "\n{:<34}{:>16}{:>16}{:>16}",
        "searching the same spans, p50 ms", "packed", "row a span", "times faster"
    );
    for search in SEARCHES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for number in 0..COMPARED {
            let conditions = (search.conditions)(&subjects, number);
            let (took, found) = timed(|| ask_search(&query, &conditions));
            let (rows_took, rows_found) = timed(|| search_rows(rows, &conditions));
            assert_eq!(found, rows_found, "{}: {conditions:?}", search.name);
            ours.push(took);
            theirs.push(rows_took);
        }
        let (ours, theirs) = (millis(percentile(&ours, 50)), millis(percentile(&theirs, 50)));
        println!("{:<34}{ours:>16.2}{theirs:>16.2}{:>16.2}", search.name, theirs / ours);
    }
}

/// Index rows first, then what they cannot tell on the spans, then the whole traces.
fn search_rows(store: &literal::Store, conditions: &Conditions) -> usize {
    let look = |snapshot: &literal::Snapshot<'_>| {
        let spans = snapshot.spans()?;
        let mut found = HashSet::new();
        for row in snapshot.newest(conditions.service.as_deref(), conditions.start..=conditions.end)? {
            let row = row?;
            let trace_id = row.identity.trace_id;
            let may_match = !found.contains(&trace_id)
                && conditions.operation.as_ref().is_none_or(|operation| *operation == row.operation)
                && conditions.min_duration.is_none_or(|shortest| row.duration >= shortest);
            if may_match && spans.get(&row)?.is_some_and(|span| conditions.match_span(&span)) {
                black_box(snapshot.trace(trace_id, usize::MAX)?);
                found.insert(trace_id);
            }
            if found.len() >= conditions.limit {
                break;
            }
        }
        Ok(found.len())
    };
    store.ask(look).expect("the store can be read")
}

/// Asks for a trace, of which every span must come.
pub(crate) fn ask_trace(query: &Query, asked: &Remembered) -> usize {
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
