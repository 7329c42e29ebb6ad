//! Strategies in JSON (ports 5778 and 14268), as Jaeger's clients read them: whatever holds is written, zeros too, because
//! some miss them, and what does not hold is left out. A rate of 1 is `1.0`, because Jaeger's first client for Java takes no
//! whole number for one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::HeaderMap;
use http::{StatusCode, Uri};
use serde::Serialize;

use super::Current;
use crate::proto::jaeger::api_v2::{
    OperationSamplingStrategy, PerOperationSamplingStrategies, SamplingStrategyResponse, SamplingStrategyType,
};
use crate::serve::grpc::{is_grpc, unimplemented};
use crate::serve::guard;

/// In the agent's own words.
const ONE_SERVICE: &str = "'service' parameter must be provided once\n";

/// Port 5778: any path but two is a question for strategies, as in Jaeger's version 2. `/` is asked by the oldest clients,
/// which know types by number.
pub fn http(current: Arc<Current>) -> Router {
    let routes = Router::new()
        .route("/", get(numbered).fallback(refuse))
        .route("/{*path}", get(named).fallback(refuse))
        .route("/baggageRestrictions", get(no_restrictions).fallback(refuse))
        .with_state(current);
    guard::for_programs(routes)
}

/// What the collector answers over HTTP beside taking spans (port 14268): `/api/sampling` and `/api/baggageRestrictions`.
/// OpenTelemetry's sampler for Node says of itself that it is given the former, and adds `/sampling` to what it is given.
pub fn collector_http(current: Arc<Current>) -> Router {
    let routes = Router::new()
        .route("/api/sampling", get(named))
        .route("/api/sampling/sampling", get(named))
        .route("/api/baggageRestrictions", get(no_restrictions))
        .with_state(current);
    guard::for_programs(routes)
}

async fn named(State(current): State<Arc<Current>>, uri: Uri) -> Response {
    answer(&current, &uri, |kind| StrategyType::Name(kind.as_str_name()))
}

async fn numbered(State(current): State<Arc<Current>>, uri: Uri) -> Response {
    answer(&current, &uri, |kind| StrategyType::Number(kind.into()))
}

/// Clients that ask which baggage they may carry expect a list; there is none, so all of it.
async fn no_restrictions() -> Json<[(); 0]> {
    Json([])
}

/// Clients of gRPC find the port beside theirs.
async fn refuse(headers: HeaderMap) -> Response {
    if is_grpc(&headers) {
        return unimplemented("this port speaks HTTP; strategies over gRPC are at doors.sampling_grpc");
    }
    StatusCode::METHOD_NOT_ALLOWED.into_response()
}

fn answer(current: &Current, uri: &Uri, write: fn(SamplingStrategyType) -> StrategyType) -> Response {
    let Some(service) = only_service(uri) else {
        return (StatusCode::BAD_REQUEST, ONE_SERVICE).into_response();
    };
    let told = current.get().of(&service);
    Json(Answer::of(&told, write(told.strategy_type()))).into_response()
}

/// The parameter, if it is there once.
fn only_service(uri: &Uri) -> Option<String> {
    let parameters = form_urlencoded::parse(uri.query()?.as_bytes());
    let mut services = parameters.filter(|(name, _)| name == "service").map(|(_, value)| value.into_owned());
    let service = services.next()?;
    services.next().is_none().then_some(service)
}

/// What a service is told, in JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    strategy_type: StrategyType,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilistic_sampling: Option<Probabilistic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limiting_sampling: Option<RateLimiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_sampling: Option<Operations<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum StrategyType {
    Name(&'static str),
    Number(i32),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Probabilistic {
    sampling_rate: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RateLimiting {
    max_traces_per_second: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Operations<'a> {
    default_sampling_probability: f64,
    default_lower_bound_traces_per_second: f64,
    per_operation_strategies: Vec<Operation<'a>>,
    default_upper_bound_traces_per_second: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation<'a> {
    operation: &'a str,
    probabilistic_sampling: Probabilistic,
}

impl<'a> Answer<'a> {
    fn of(told: &'a SamplingStrategyResponse, strategy_type: StrategyType) -> Self {
        Self {
            strategy_type,
            probabilistic_sampling: told
                .probabilistic_sampling
                .map(|told| Probabilistic { sampling_rate: told.sampling_rate }),
            rate_limiting_sampling: told
                .rate_limiting_sampling
                .map(|told| RateLimiting { max_traces_per_second: told.max_traces_per_second }),
            operation_sampling: told.operation_sampling.as_ref().map(Operations::of),
        }
    }
}

impl<'a> Operations<'a> {
    fn of(told: &'a PerOperationSamplingStrategies) -> Self {
        let strategy = |told: &'a OperationSamplingStrategy| Operation {
            operation: &told.operation,
            probabilistic_sampling: Probabilistic {
                sampling_rate: told.probabilistic_sampling.unwrap_or_default().sampling_rate,
            },
        };
        Self {
            default_sampling_probability: told.default_sampling_probability,
            default_lower_bound_traces_per_second: told.default_lower_bound_traces_per_second,
            per_operation_strategies: told.per_operation_strategies.iter().map(strategy).collect(),
            default_upper_bound_traces_per_second: told.default_upper_bound_traces_per_second,
        }
    }
}
