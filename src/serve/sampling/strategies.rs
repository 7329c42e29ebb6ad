//! What a strategies file means, and what a service is told by it.

use std::collections::{HashMap, HashSet};

use super::written::{self, Written};
use crate::proto::jaeger::api_v2::{
    OperationSamplingStrategy, PerOperationSamplingStrategies, ProbabilisticSamplingStrategy,
    RateLimitingSamplingStrategy, SamplingStrategyResponse, SamplingStrategyType,
};

/// The largest file.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// The probability where nothing is said.
const EVERYTHING: f64 = 1.0;

/// What Jaeger's own clients in Go hold a rate in (jaeger-idl `thrift/sampling.thrift`).
const MAX_RATE: f64 = i16::MAX as f64;

/// Doubts that are told one by one.
const MAX_DOUBTS: usize = 20;

/// What a strategies file says. The default is what holds without one: everything is sampled.
#[derive(Debug, Clone, Default)]
pub struct Strategies {
    others: Strategy,
    services: HashMap<String, Strategy>,
}

/// A file that was read.
#[derive(Debug)]
pub struct Read {
    /// What it says.
    pub strategies: Strategies,
    /// What it may mean otherwise than it is taken, a sentence each.
    pub doubts: Vec<String>,
}

/// Why a strategies file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or of another shape.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Neither of the two types.
    #[error("{whose}: the type '{kind}' is neither probabilistic nor ratelimiting")]
    Kind {
        /// Where it stands.
        whose: String,
        /// As written.
        kind: String,
    },
    /// Not a probability.
    #[error("{whose}: the probability {param} is not from 0 to 1")]
    Probability {
        /// Where it stands.
        whose: String,
        /// As written.
        param: f64,
    },
    /// Not a rate that clients understand.
    #[error("{whose}: the rate {param} is not from 0 to {MAX_RATE} traces a second")]
    Rate {
        /// Where it stands.
        whose: String,
        /// As written.
        param: f64,
    },
}

impl Strategies {
    /// Reads a file in Jaeger's format.
    pub fn parse(text: &[u8]) -> Result<Read, Error> {
        let written: Written = serde_json::from_slice(text)?;
        let mut reader = Reader::default();
        let others =
            written.default_strategy.map(|strategy| reader.read("default_strategy".into(), strategy));
        let others = others.transpose()?.unwrap_or_default();
        let mut services = HashMap::new();
        for strategy in written.service_strategies {
            let name = strategy.service.clone();
            services.insert(name, reader.read(format!("service '{}'", shown(&strategy.service)), strategy)?);
        }
        Ok(Read { strategies: Self { others, services }, doubts: reader.doubts() })
    }

    /// What this service is told: what is said of its operations comes before what is said of everybody's.
    pub(super) fn of(&self, service: &str) -> SamplingStrategyResponse {
        let Some(own) = self.services.get(service) else { return self.others.answer() };
        let mut answer = own.answer();
        let Some(inherited) = self.others.operation_sampling() else { return answer };
        match &mut answer.operation_sampling {
            Some(operations) => add(&mut operations.per_operation_strategies, inherited),
            None => {
                let default = own.rate.probability().unwrap_or(inherited.default_sampling_probability);
                let operations =
                    PerOperationSamplingStrategies { default_sampling_probability: default, ..inherited };
                answer.operation_sampling = Some(operations);
            }
        }
        answer
    }
}

/// Adds those of the operations that nothing is said of yet.
fn add(own: &mut Vec<OperationSamplingStrategy>, inherited: PerOperationSamplingStrategies) {
    let said: HashSet<String> = own.iter().map(|strategy| strategy.operation.clone()).collect();
    let others = inherited.per_operation_strategies.into_iter();
    own.extend(others.filter(|strategy| !said.contains(&strategy.operation)));
}

/// What is said of a service, or of all others.
#[derive(Debug, Clone, Default)]
struct Strategy {
    rate: Rate,
    /// Operations and their probabilities, in the file's order; `None` where the file does not speak of any.
    operations: Option<Vec<(String, f64)>>,
}

/// How much is sampled.
#[derive(Debug, Clone, Copy)]
enum Rate {
    Probability(f64),
    PerSecond(i32),
}

impl Default for Rate {
    fn default() -> Self {
        Self::Probability(EVERYTHING)
    }
}

impl Rate {
    fn probability(self) -> Option<f64> {
        match self {
            Self::Probability(probability) => Some(probability),
            Self::PerSecond(_) => None,
        }
    }
}

impl Strategy {
    fn answer(&self) -> SamplingStrategyResponse {
        let mut answer = SamplingStrategyResponse::default();
        match self.rate {
            Rate::Probability(sampling_rate) => {
                answer.set_strategy_type(SamplingStrategyType::Probabilistic);
                answer.probabilistic_sampling = Some(ProbabilisticSamplingStrategy { sampling_rate });
            }
            Rate::PerSecond(max_traces_per_second) => {
                answer.set_strategy_type(SamplingStrategyType::RateLimiting);
                answer.rate_limiting_sampling = Some(RateLimitingSamplingStrategy { max_traces_per_second });
            }
        }
        answer.operation_sampling = self.operation_sampling();
        answer
    }

    fn operation_sampling(&self) -> Option<PerOperationSamplingStrategies> {
        let strategy = |(operation, sampling_rate): &(String, f64)| OperationSamplingStrategy {
            operation: operation.clone(),
            probabilistic_sampling: Some(ProbabilisticSamplingStrategy { sampling_rate: *sampling_rate }),
        };
        let operations = self.operations.as_ref()?;
        Some(PerOperationSamplingStrategies {
            default_sampling_probability: self.rate.probability().unwrap_or(EVERYTHING),
            per_operation_strategies: operations.iter().map(strategy).collect(),
            ..PerOperationSamplingStrategies::default()
        })
    }
}

/// Reads strategies, and collects what is doubtful in them.
#[derive(Default)]
struct Reader {
    doubts: Vec<String>,
    untold: usize,
}

impl Reader {
    fn doubt(&mut self, doubt: impl FnOnce() -> String) {
        if self.doubts.len() < MAX_DOUBTS {
            self.doubts.push(doubt());
        } else {
            self.untold += 1;
        }
    }

    fn doubts(self) -> Vec<String> {
        let more = (self.untold > 0).then(|| format!("there are {} more such places", self.untold));
        self.doubts.into_iter().chain(more).collect()
    }

    fn read(&mut self, whose: String, written: written::Strategy) -> Result<Strategy, Error> {
        let rate = self.rate(&whose, &written)?;
        let mut operations = Vec::new();
        let is_said = !written.operations.is_empty();
        for operation in written.operations {
            let whose = format!("{whose}, operation '{}'", shown(&operation.operation));
            if operation.kind == "probabilistic" {
                operations.push((operation.operation, probability(whose, operation.param)?));
            } else {
                self.doubt(|| {
                    format!("{whose}: left out, clients understand only probabilistic for an operation")
                });
            }
        }
        Ok(Strategy { rate, operations: is_said.then_some(operations) })
    }

    fn rate(&mut self, whose: &str, written: &written::Strategy) -> Result<Rate, Error> {
        let (whose, param) = (whose.to_owned(), written.param);
        match written.kind.as_str() {
            "probabilistic" => probability(whose, param).map(Rate::Probability),
            "ratelimiting" if (0.0..=MAX_RATE).contains(&param) => {
                if param.fract() != 0.0 {
                    self.doubt(|| format!("{whose}: the rate {param} is taken as {}", param.trunc()));
                }
                Ok(Rate::PerSecond(param as i32))
            }
            "ratelimiting" => Err(Error::Rate { whose, param }),
            "" => {
                self.doubt(|| format!("{whose}: no type is given, it is taken as probabilistic with 1"));
                Ok(Rate::default())
            }
            kind => Err(Error::Kind { whose, kind: shown(kind) }),
        }
    }
}

fn probability(whose: String, param: f64) -> Result<f64, Error> {
    if (0.0..=1.0).contains(&param) {
        // Zero has no sign here.
        return Ok(param.abs());
    }
    Err(Error::Probability { whose, param })
}

/// As much of a name as helps to find it.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `P0.5` or `R5`, then the probability of other operations and that of each.
    fn told(strategies: &Strategies, service: &str) -> String {
        let answer = strategies.of(service);
        let rate =
            match (answer.strategy_type(), &answer.probabilistic_sampling, &answer.rate_limiting_sampling) {
                (SamplingStrategyType::Probabilistic, Some(rate), None) => format!("P{}", rate.sampling_rate),
                (SamplingStrategyType::RateLimiting, None, Some(rate)) => {
                    format!("R{}", rate.max_traces_per_second)
                }
                contradiction => panic!("{contradiction:?}"),
            };
        let Some(operations) = answer.operation_sampling else { return rate };
        assert_eq!(operations.default_lower_bound_traces_per_second, 0.0);
        assert_eq!(operations.default_upper_bound_traces_per_second, 0.0);
        let each = operations.per_operation_strategies.iter().map(|strategy| {
            format!(" {}={}", strategy.operation, strategy.probabilistic_sampling.unwrap().sampling_rate)
        });
        format!("{rate} else={}{}", operations.default_sampling_probability, each.collect::<String>())
    }

    fn parsed(text: &str) -> Read {
        Strategies::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn without_a_word_everything_is_sampled() {
        let services = r#"{"service_strategies": [{"service": "a", "type": "probabilistic", "param": 0.5}]}"#;
        for text in ["{}", services, r#"{"default_strategy": null, "service_strategies": null}"#] {
            assert_eq!(told(&parsed(text).strategies, "shop"), "P1", "{text}");
        }
        assert_eq!(told(&Strategies::default(), ""), "P1");
    }

    #[test]
    fn a_service_inherits_what_is_said_of_operations_and_its_own_word_comes_first() {
        let read = parsed(
            r#"{
            "default_strategy": {"type": "probabilistic", "param": 0.5, "operation_strategies": [
                {"operation": "/health", "type": "probabilistic", "param": 0},
                {"operation": "/metrics", "type": "probabilistic", "param": 0.125}]},
            "service_strategies": [
                {"service": "plain", "type": "probabilistic", "param": 0.25},
                {"service": "own", "type": "probabilistic", "param": 0.75, "operation_strategies": [
                    {"operation": "/buy", "type": "probabilistic", "param": 1},
                    {"operation": "/health", "type": "probabilistic", "param": 0.0625}]},
                {"service": "limited", "type": "ratelimiting", "param": 5},
                {"service": "both", "type": "ratelimiting", "param": 7, "operation_strategies": [
                    {"operation": "/buy", "type": "probabilistic", "param": 1}]},
                {"service": "none", "type": "probabilistic", "param": 0, "operation_strategies": []},
                {"service": "twice", "type": "ratelimiting", "param": 1},
                {"service": "twice", "type": "ratelimiting", "param": 2}]}"#,
        );
        assert_eq!(read.doubts, [""; 0]);
        let cases = [
            ("unnamed", "P0.5 else=0.5 /health=0 /metrics=0.125"),
            ("plain", "P0.25 else=0.25 /health=0 /metrics=0.125"),
            ("own", "P0.75 else=0.75 /buy=1 /health=0.0625 /metrics=0.125"),
            ("limited", "R5 else=0.5 /health=0 /metrics=0.125"),
            ("both", "R7 else=1 /buy=1 /health=0 /metrics=0.125"),
            ("none", "P0 else=0 /health=0 /metrics=0.125"),
            ("twice", "R2 else=0.5 /health=0 /metrics=0.125"),
            ("PLAIN", "P0.5 else=0.5 /health=0 /metrics=0.125"),
        ];
        for (service, expected) in cases {
            assert_eq!(told(&read.strategies, service), expected, "{service}");
        }
    }

    #[test]
    fn without_operations_for_all_a_service_has_its_own_alone() {
        let read = parsed(
            r#"{"service_strategies": [
                {"service": "own", "type": "probabilistic", "param": 0.5, "operation_strategies": [
                    {"operation": "/buy", "type": "probabilistic", "param": 1},
                    {"operation": "/buy", "type": "probabilistic", "param": 0}]},
                {"service": "plain", "type": "probabilistic", "param": 0.5}]}"#,
        );
        assert_eq!(told(&read.strategies, "own"), "P0.5 else=0.5 /buy=1 /buy=0");
        assert_eq!(told(&read.strategies, "plain"), "P0.5");
        assert_eq!(told(&read.strategies, "unnamed"), "P1");
    }

    #[test]
    fn keys_are_read_as_go_reads_them() {
        let read = parsed(
            r#"{"$schema": "x", "Default_Strategy": {"TYPE": "probabilistic", "Param": 0.5, "comment": [{}]},
                "SERVICE_STRATEGIES": [{"Service": "a", "type": "ratelimiting", "param": 3, "param": null,
                    "operation_strategies": null}],
                "service_strategie\u0073": null}"#,
        );
        assert_eq!(told(&read.strategies, "a"), "R3");
        assert_eq!(told(&read.strategies, "b"), "P0.5");
    }

    #[test]
    fn what_clients_cannot_be_told_is_left_out_and_said() {
        let read = parsed(
            r#"{"default_strategy": {"operation_strategies": [
                    {"operation": "/slow", "type": "ratelimiting", "param": 1},
                    {"operation": "/typo", "type": "probablistic", "param": 1}]},
                "service_strategies": [{"service": "half", "type": "ratelimiting", "param": 2.5}]}"#,
        );
        assert_eq!(told(&read.strategies, "any"), "P1 else=1");
        assert_eq!(told(&read.strategies, "half"), "R2 else=1");
        assert_eq!(
            read.doubts,
            [
                "default_strategy: no type is given, it is taken as probabilistic with 1",
                "default_strategy, operation '/slow': left out, clients understand only probabilistic for an operation",
                "default_strategy, operation '/typo': left out, clients understand only probabilistic for an operation",
                "service 'half': the rate 2.5 is taken as 2",
            ]
        );
        let operation = r#"{"operation": "x", "type": "ratelimiting", "param": 1},"#.repeat(30);
        let many = format!(
            r#"{{"default_strategy": {{"type": "ratelimiting", "operation_strategies": [{}]}}}}"#,
            operation.trim_end_matches(',')
        );
        let doubts = parsed(&many).doubts;
        assert_eq!(
            (doubts.len(), doubts.last().map(String::as_str)),
            (21, Some("there are 10 more such places"))
        );
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused_with_its_place() {
        let probability = |param: &str| {
            format!(
                r#"{{"service_strategies": [{{"service": "shop", "type": "probabilistic", "param": {param}}}]}}"#
            )
        };
        let rate =
            |param: &str| format!(r#"{{"default_strategy": {{"type": "ratelimiting", "param": {param}}}}}"#);
        let deep = format!("{}{}", r#"{"service_strategies":["#, "[".repeat(100_000));
        let cases = [
            (String::new(), "EOF while parsing a value at line 1 column 0"),
            ("{\n  \"default_strategy\": {,}\n}".into(), "key must be a string at line 2 column 24"),
            (
                "[]".into(),
                "invalid type: sequence, expected an object with default_strategy and service_strategies at line 1 column 0",
            ),
            (
                r#"{"service_strategies": {}}"#.into(),
                "invalid type: map, expected a sequence at line 1 column 23",
            ),
            (probability("\"1\""), "invalid type: string \"1\", expected f64 at line 1 column 81"),
            (probability("1.5"), "service 'shop': the probability 1.5 is not from 0 to 1"),
            (probability("-0.1"), "service 'shop': the probability -0.1 is not from 0 to 1"),
            (rate("-1"), "default_strategy: the rate -1 is not from 0 to 32767 traces a second"),
            (rate("32768"), "default_strategy: the rate 32768 is not from 0 to 32767 traces a second"),
            (
                r#"{"default_strategy": {"type": "const", "param": 1}}"#.into(),
                "default_strategy: the type 'const' is neither probabilistic nor ratelimiting",
            ),
            (
                r#"{"default_strategy": {"type": "ratelimiting", "operation_strategies": [
                    {"operation": "/a", "type": "probabilistic", "param": 2}]}}"#
                    .into(),
                "default_strategy, operation '/a': the probability 2 is not from 0 to 1",
            ),
            ("{} {}".into(), "trailing characters at line 1 column 4"),
            (deep, "invalid type: sequence, expected an object with type and param at line 1 column 23"),
        ];
        for (text, expected) in cases {
            let error = Strategies::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{}", shown(&text));
        }
    }
}
