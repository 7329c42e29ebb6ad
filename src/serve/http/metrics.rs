//! How often operations ran and failed, and how long they took: what Jaeger's page shows as its monitor.
//!
//! Source: Jaeger `cmd/query/app` (its parameters and answers); its Prometheus reader, for what the values are: calls
//! a second, failed calls as a fraction of all, and a quantile of the durations in ms, each over `ratePer`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use serde::{Serialize, Serializer};

use super::answer::Reply;
use super::desk::Desk;
use super::error::{Error, JaegerError};
use super::parameters::{self, Asked, Parameters, malformed, span_kind};
use crate::model::{SpanKind, Timestamp};
use crate::query::metrics::{Grid, Measure, Question, Series};
use crate::query::shortened;
use crate::translate::jaeger_json::asked_services;

/// Jaeger's own default.
const DEFAULT_LOOKBACK: Duration = Duration::from_secs(60 * 60);
/// Jaeger's own default.
const DEFAULT_STEP: Duration = Duration::from_secs(5);
/// Jaeger's own default.
const DEFAULT_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Services of one question.
const MAX_SERVICES: usize = 100;

/// `GET /api/metrics/calls?service=…&groupByOperation=…&endTs=…&lookback=…&step=…&ratePer=…&spanKind=…`, all times in
/// ms.
pub(super) async fn calls(State(desk): State<Desk>, asked: Asked) -> Result<Reply, JaegerError> {
    answer(&desk, asked, "call_rate", Measure::Calls).await
}

/// `GET /api/metrics/errors`, asked as the calls are.
pub(super) async fn errors(State(desk): State<Desk>, asked: Asked) -> Result<Reply, JaegerError> {
    answer(&desk, asked, "error_rate", Measure::Errors).await
}

/// `GET /api/metrics/latencies?quantile=…`, otherwise asked as the calls are.
pub(super) async fn latencies(State(desk): State<Desk>, asked: Asked) -> Result<Reply, JaegerError> {
    let share = quantile(&asked.parameters)?;
    answer(&desk, asked, "latencies", Measure::Duration(share)).await
}

async fn answer(
    desk: &Desk,
    asked: Asked,
    name: &'static str,
    measure: Measure,
) -> Result<Reply, JaegerError> {
    let reply = desk.ask_for_numbers(move |answers| {
        let question = question(&asked.parameters, answers.clock.now())?;
        let series = answers.query.metrics(&question, measure)?;
        Reply::json(&Family::of(name, &question, measure, &series), asked.form)
    });
    Ok(reply.await?)
}

fn question(parameters: &Parameters, now: Timestamp) -> Result<Question, Error> {
    let services = services(parameters)?;
    let by_operation = parameters.flag("groupByOperation")?;
    let kinds = span_kinds(parameters)?;
    let end = parameters.millis("endTs")?.unwrap_or(now);
    let lookback = parameters.millis_long("lookback")?.unwrap_or(DEFAULT_LOOKBACK);
    let step = some_millis(parameters, "step")?.unwrap_or(DEFAULT_STEP);
    let window = some_millis(parameters, "ratePer")?.unwrap_or(DEFAULT_WINDOW);
    let grid = Grid::new(end, lookback, step)?;
    Ok(Question { services, kinds, by_operation, grid, window })
}

/// All services that may be meant, and the names they were asked by.
fn services(parameters: &Parameters) -> Result<BTreeMap<String, String>, parameters::Error> {
    let name = "service";
    let given: Vec<&str> = parameters.all(name).filter(|service| !service.is_empty()).collect();
    match given.len() {
        0 => Err(parameters::Error::Missing { name }),
        1..=MAX_SERVICES => {
            let named = |shown| {
                asked_services(shown).map(move |service| (shortened(service).into_owned(), shown.to_owned()))
            };
            Ok(given.into_iter().flat_map(named).collect())
        }
        given => Err(parameters::Error::TooMany { name, given, limit: MAX_SERVICES }),
    }
}

fn span_kinds(parameters: &Parameters) -> Result<Vec<SpanKind>, parameters::Error> {
    let given = parameters.all("spanKind").filter(|value| !value.is_empty());
    let kinds = given.map(|value| span_kind("spanKind", value)).collect::<Result<Vec<_>, _>>()?;
    Ok(if kinds.is_empty() { vec![SpanKind::Server] } else { kinds })
}

/// A length of time that is not nothing.
fn some_millis(parameters: &Parameters, name: &'static str) -> Result<Option<Duration>, parameters::Error> {
    match parameters.millis_long(name)? {
        Some(Duration::ZERO) => {
            let given = parameters.text(name).unwrap_or_default();
            Err(malformed(name, given, "a whole number of milliseconds above 0"))
        }
        long => Ok(long),
    }
}

fn quantile(parameters: &Parameters) -> Result<f64, parameters::Error> {
    let value = parameters.required("quantile")?;
    let share = value.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| malformed("quantile", value, "a number from 0 to 1"))
}

/// All series of an answer, as Jaeger says it: not in its envelope.
#[derive(Debug, Serialize)]
struct Family<'a> {
    name: String,
    r#type: &'static str,
    help: String,
    metrics: Vec<Metric<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metric<'a> {
    labels: Vec<Label<'a>>,
    metric_points: Points<'a>,
}

#[derive(Debug, Serialize)]
struct Label<'a> {
    name: &'static str,
    value: &'a str,
}

/// The values of a series at the times of the grid.
#[derive(Debug)]
struct Points<'a> {
    grid: &'a Grid,
    values: &'a [f64],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    gauge_value: Gauge,
    timestamp: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Gauge {
    #[serde(serialize_with = "number")]
    double_value: f64,
}

impl<'a> Family<'a> {
    fn of(name: &str, question: &'a Question, measure: Measure, series: &'a [Series]) -> Self {
        let group = if question.by_operation { "service_operation" } else { "service" };
        let metric = |series: &'a Series| {
            let service = Label { name: "service_name", value: &series.service };
            let operation = Label { name: "operation", value: &series.operation };
            let labels = if question.by_operation { vec![service, operation] } else { vec![service] };
            Metric { labels, metric_points: Points { grid: &question.grid, values: &series.values } }
        };
        Self {
            name: format!("{group}_{name}"),
            r#type: "GAUGE",
            help: help(measure, question.by_operation),
            metrics: series.iter().map(metric).collect(),
        }
    }
}

fn help(measure: Measure, by_operation: bool) -> String {
    let what = match measure {
        Measure::Calls => "calls per second".to_owned(),
        Measure::Errors => "failed calls as a fraction of all calls".to_owned(),
        Measure::Duration(share) => format!("quantile {share} of the durations in milliseconds"),
    };
    format!("{what}, by service{}", if by_operation { " and operation" } else { "" })
}

impl Serialize for Points<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let points = self.grid.times().zip(self.values).map(|(time, &double_value)| Point {
            gauge_value: Gauge { double_value },
            timestamp: rfc_3339(time),
        });
        serializer.collect_seq(points)
    }
}

/// As protobuf's JSON has it: what is not a number is a text.
fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() { serializer.serialize_str("NaN") } else { serializer.serialize_f64(*value) }
}

/// In whole milliseconds, which are left out where there are none.
fn rfc_3339(time: Timestamp) -> String {
    // 64 bits of nanoseconds end in the year 2554, within what can be written.
    let written = jiff::Timestamp::from_nanosecond(time.nanos().into()).unwrap_or(jiff::Timestamp::MAX);
    if time.millis().is_multiple_of(1_000) { format!("{written:.0}") } else { format!("{written:.3}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_003_600_000_000_000);

    fn asked(text: &str) -> Result<Question, Error> {
        question(&Parameters::read(text), NOW)
    }

    #[test]
    fn what_is_not_said_is_as_jaeger_has_it() {
        let question = asked("service=shop&service=empty-service-name").unwrap();
        let times: Vec<_> = question.grid.times().collect();
        assert_eq!((times.len(), times[0], times[720]), (721, NOW.minus(DEFAULT_LOOKBACK), NOW));
        assert_eq!(question.kinds, [SpanKind::Server]);
        assert_eq!((question.window, question.by_operation), (DEFAULT_WINDOW, false));
        let services: Vec<_> = question.services.iter().map(|(of, shown)| format!("{of}={shown}")).collect();
        assert_eq!(services, ["=empty-service-name", "empty-service-name=empty-service-name", "shop=shop"]);
    }

    #[test]
    fn the_answer_is_a_family_of_gauges_on_one_grid() {
        let question = asked(
            "service=shop&groupByOperation=true&endTs=1700000000500&lookback=60500&step=60500&ratePer=60000\
             &spanKind=client&spanKind=CONSUMER",
        );
        let question = question.unwrap();
        assert_eq!(question.kinds, [SpanKind::Client, SpanKind::Consumer]);
        let series =
            [Series { service: "shop".into(), operation: "GET".into(), values: vec![f64::NAN, 0.25] }];
        let family = Family::of("error_rate", &question, Measure::Errors, &series);
        let expected = json!({
            "name": "service_operation_error_rate",
            "type": "GAUGE",
            "help": "failed calls as a fraction of all calls, by service and operation",
            "metrics": [{
                "labels": [{"name": "service_name", "value": "shop"}, {"name": "operation", "value": "GET"}],
                "metricPoints": [
                    {"gaugeValue": {"doubleValue": "NaN"}, "timestamp": "2023-11-14T22:12:20Z"},
                    {"gaugeValue": {"doubleValue": 0.25}, "timestamp": "2023-11-14T22:13:20.500Z"},
                ],
            }],
        });
        assert_eq!(serde_json::to_value(&family).unwrap(), expected);
    }

    #[test]
    fn a_family_is_named_by_what_it_is_grouped_by() {
        let question = asked("service=shop").unwrap();
        let family = Family::of("latencies", &question, Measure::Duration(0.95), &[]);
        let expected = json!({
            "name": "service_latencies",
            "type": "GAUGE",
            "help": "quantile 0.95 of the durations in milliseconds, by service",
            "metrics": [],
        });
        assert_eq!(serde_json::to_value(&family).unwrap(), expected);
    }
}
