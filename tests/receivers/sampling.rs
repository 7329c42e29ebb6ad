//! How much clients are told to sample: at each door that tells it, from a file that changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tracelodge::proto::jaeger::api_v2::sampling_manager_client::SamplingManagerClient;
use tracelodge::proto::jaeger::api_v2::{
    OperationSamplingStrategy, PerOperationSamplingStrategies, ProbabilisticSamplingStrategy,
    RateLimitingSamplingStrategy, SamplingStrategyParameters, SamplingStrategyResponse, SamplingStrategyType,
};

use crate::harness::{Answer, Client, PATIENCE, Server, command, fails_to_start, run};

const HTTP: &str = "sampling";
const GRPC: &str = "sampling gRPC";
const COLLECTOR_HTTP: &str = "Jaeger thrift";
const COLLECTOR_GRPC: &str = "Jaeger gRPC";

/// As Jaeger's documentation shows it.
const STRATEGIES: &str = r#"{
    "service_strategies": [
        {"service": "shop", "type": "probabilistic", "param": 0.8, "operation_strategies": [
            {"operation": "GET /cart", "type": "probabilistic", "param": 0.2},
            {"operation": "GET /", "type": "ratelimiting", "param": 3}]},
        {"service": "stock & co", "type": "ratelimiting", "param": 5}],
    "default_strategy": {"type": "probabilistic", "param": 0.5}}"#;

struct Asked {
    server: Server,
    client: Client,
    folder: TempDir,
}

impl Asked {
    fn without_a_file() -> Self {
        Self::start(tempfile::tempdir().unwrap(), &[])
    }

    fn with(strategies: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(file(folder.path()), strategies).unwrap();
        let setting = setting(folder.path());
        Self::start(folder, &[&setting])
    }

    fn start(folder: TempDir, settings: &[&str]) -> Self {
        let server = Server::start_saying(&folder.path().join("data"), settings, &log(folder.path()));
        Self { server, client: Client::new(), folder }
    }

    async fn get(&self, door: &str, path: &str) -> Answer {
        self.client.get(format!("http://{}{path}", self.server.door(door))).await
    }

    async fn told(&self, door: &str, path: &str) -> String {
        let answer = self.get(door, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/json"),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    async fn door(&self, name: &str) -> Channel {
        let address = format!("http://{}", self.server.door(name));
        Endpoint::from_shared(address).unwrap().connect().await.unwrap()
    }

    async fn told_over_grpc(&self, door: &str, service: &str) -> SamplingStrategyResponse {
        let mut manager = SamplingManagerClient::new(self.door(door).await);
        let asked = SamplingStrategyParameters { service_name: service.into() };
        manager.get_sampling_strategy(asked).await.unwrap().into_inner()
    }

    /// Puts another file in the place of the one there is, and comes back when the program says so in its answers or in
    /// its log.
    async fn swap(&self, strategies: &str, is_noticed: impl AsyncFn() -> bool) {
        let new = self.folder.path().join("new.json");
        fs::write(&new, strategies).unwrap();
        fs::rename(new, file(self.folder.path())).unwrap();
        self.until(is_noticed).await;
    }

    async fn until(&self, is_noticed: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_noticed().await {
            assert!(Instant::now() < deadline, "nothing changed; the log says:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(log(self.folder.path())).unwrap()
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("strategies.json")
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn setting(folder: &Path) -> String {
    format!("sampling.strategies_file={}", file(folder).display())
}

fn probability(sampling_rate: f64) -> Option<ProbabilisticSamplingStrategy> {
    Some(ProbabilisticSamplingStrategy { sampling_rate })
}

#[tokio::test]
async fn every_http_door_tells_what_the_file_says() {
    let asked = Asked::with(STRATEGIES);
    let shop = concat!(
        r#"{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.8},"operationSampling":{"#,
        r#""defaultSamplingProbability":0.8,"defaultLowerBoundTracesPerSecond":0.0,"perOperationStrategies":["#,
        r#"{"operation":"GET /cart","probabilisticSampling":{"samplingRate":0.2}}],"#,
        r#""defaultUpperBoundTracesPerSecond":0.0}}"#
    );
    let stock = r#"{"strategyType":"RATE_LIMITING","rateLimitingSampling":{"maxTracesPerSecond":5}}"#;
    let others = r#"{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.5}}"#;
    let paths = [
        (HTTP, "/sampling"),
        (HTTP, "/api/sampling"),
        (HTTP, "/what/ever/"),
        (COLLECTOR_HTTP, "/api/sampling"),
        (COLLECTOR_HTTP, "/api/sampling/sampling"),
    ];
    for (door, path) in paths {
        for (service, expected) in
            [("shop", shop), ("stock%20%26+co", stock), ("else", others), ("Shop", others), ("", others)]
        {
            let path = format!("{path}?lang=go&service={service}");
            assert_eq!(asked.told(door, &path).await, expected, "{door} {path}");
        }
    }
    let numbered = |text: &str| text.replace("\"PROBABILISTIC\"", "0").replace("\"RATE_LIMITING\"", "1");
    for (service, expected) in [("shop", shop), ("stock%20%26+co", stock), ("else", others)] {
        assert_eq!(asked.told(HTTP, &format!("/?service={service}")).await, numbered(expected));
    }
    let log = asked.log();
    assert!(log.contains("service 'shop', operation 'GET /': left out"), "{log}");
}

#[tokio::test]
async fn every_grpc_door_tells_what_the_file_says() {
    let asked = Asked::with(STRATEGIES);
    for door in [GRPC, COLLECTOR_GRPC] {
        let operation = OperationSamplingStrategy {
            operation: "GET /cart".into(),
            probabilistic_sampling: probability(0.2),
        };
        let shop = SamplingStrategyResponse {
            strategy_type: SamplingStrategyType::Probabilistic.into(),
            probabilistic_sampling: probability(0.8),
            rate_limiting_sampling: None,
            operation_sampling: Some(PerOperationSamplingStrategies {
                default_sampling_probability: 0.8,
                default_lower_bound_traces_per_second: 0.0,
                per_operation_strategies: vec![operation],
                default_upper_bound_traces_per_second: 0.0,
            }),
        };
        assert_eq!(asked.told_over_grpc(door, "shop").await, shop, "{door}");
        let stock = SamplingStrategyResponse {
            strategy_type: SamplingStrategyType::RateLimiting.into(),
            rate_limiting_sampling: Some(RateLimitingSamplingStrategy { max_traces_per_second: 5 }),
            ..SamplingStrategyResponse::default()
        };
        assert_eq!(asked.told_over_grpc(door, "stock & co").await, stock, "{door}");
        let others = asked.told_over_grpc(door, "else").await;
        assert_eq!(others.probabilistic_sampling, probability(0.5), "{door}");
    }
}

#[tokio::test]
async fn without_a_file_everything_is_sampled_and_carried() {
    let asked = Asked::without_a_file();
    let everything = r#"{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":1.0}}"#;
    assert_eq!(asked.told(HTTP, "/sampling?service=shop").await, everything);
    assert_eq!(asked.told(COLLECTOR_HTTP, "/api/sampling?service=shop").await, everything);
    for door in [GRPC, COLLECTOR_GRPC] {
        assert_eq!(
            asked.told_over_grpc(door, "shop").await.probabilistic_sampling,
            probability(1.0),
            "{door}"
        );
    }
    for path in ["/baggageRestrictions?service=shop", "/baggageRestrictions"] {
        assert_eq!(asked.told(HTTP, path).await, "[]", "{path}");
    }
    assert_eq!(asked.told(COLLECTOR_HTTP, "/api/baggageRestrictions?service=shop").await, "[]");
}

#[tokio::test]
async fn a_question_names_one_service() {
    let asked = Asked::without_a_file();
    for (door, path) in [(HTTP, "/sampling"), (HTTP, "/"), (HTTP, "/any"), (COLLECTOR_HTTP, "/api/sampling")]
    {
        for query in ["", "?", "?Service=a", "?service=a&service=a", "?service&service=a"] {
            let answer = asked.get(door, &format!("{path}{query}")).await;
            assert_eq!(answer.status, 400, "{door} {path}{query}");
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
            assert_eq!(answer.body, "'service' parameter must be provided once\n");
        }
    }
}

/// A client that is refused falls back to next to nothing, which nobody sees.
#[tokio::test]
async fn clients_ask_by_any_name_and_pages_do_not() {
    let asked = Asked::without_a_file();
    for (door, path) in
        [(HTTP, "/sampling?service=a"), (HTTP, "/?service=a"), (COLLECTOR_HTTP, "/api/sampling?service=a")]
    {
        let url = format!("http://{}{path}", asked.server.door(door));
        let cases: [(&[(&str, &str)], u16); 5] = [
            (&[("host", "jaeger-agent.observability.svc:5778")], 200),
            (&[("sec-fetch-site", "none")], 200),
            (&[("origin", "http://evil.example")], 403),
            (&[("origin", &format!("http://{}", asked.server.door(door)))], 403),
            (&[("sec-fetch-site", "cross-site")], 403),
        ];
        for (headers, expected) in cases {
            let answer = asked.client.send(Method::GET, url.clone(), headers, Bytes::new()).await.unwrap();
            assert_eq!(answer.status, expected, "{url} {headers:?}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{url} {headers:?}");
        }
    }
}

#[tokio::test]
async fn the_wrong_words_are_refused() {
    let asked = Asked::without_a_file();
    for (door, path) in
        [(HTTP, "/sampling?service=a"), (HTTP, "/?service=a"), (COLLECTOR_HTTP, "/api/sampling?service=a")]
    {
        let url = format!("http://{}{path}", asked.server.door(door));
        for method in [Method::POST, Method::DELETE] {
            let answer = asked.client.send(method, url.clone(), &[], Bytes::new()).await.unwrap();
            assert_eq!(answer.status, 405, "{url}");
        }
    }
    let method = "/jaeger.api_v2.SamplingManager/GetSamplingStrategy";
    let url = format!("http://{}{method}", asked.server.door(HTTP));
    let answer = asked.client.grpc(url, "identity", b"").await.unwrap();
    let message = "this port speaks HTTP; strategies over gRPC are at doors.sampling_grpc";
    assert_eq!(answer.grpc_status(), (12, message.to_owned()));
    let answer = asked.get(GRPC, "/sampling?service=a").await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (404, b"this port speaks gRPC\n".as_slice()));
}

#[tokio::test]
async fn the_grpc_doors_say_what_they_serve() {
    let asked = Asked::without_a_file();
    let manager = "jaeger.api_v2.SamplingManager";
    let collector = "jaeger.api_v2.CollectorService";
    let doors: [(&str, &[&str]); 2] = [(GRPC, &[manager]), (COLLECTOR_GRPC, &[collector, manager])];
    for (door, services) in doors {
        let mut health = HealthClient::new(asked.door(door).await);
        for service in services.iter().chain(&[""]) {
            let answer = health.check(HealthCheckRequest { service: (*service).into() }).await.unwrap();
            assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{door} {service}");
        }
        let mut reflection = ServerReflectionClient::new(asked.door(door).await);
        let message_request = Some(MessageRequest::ListServices(String::new()));
        let list = ServerReflectionRequest { host: String::new(), message_request };
        let answers = reflection.server_reflection_info(tokio_stream::once(list)).await.unwrap();
        let answer = answers.into_inner().message().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
        let mut named: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
        named.retain(|name| name.starts_with("jaeger."));
        named.sort_unstable();
        assert_eq!(named, services, "{door}");
    }
}

#[tokio::test]
async fn another_file_takes_effect_while_the_program_runs() {
    let strategies =
        |param: &str| format!(r#"{{"default_strategy": {{"type": "probabilistic", "param": {param}}}}}"#);
    let asked = Asked::with(&strategies("0.25"));
    let tells = async |rate: &str| {
        asked.told(HTTP, "/sampling?service=shop").await.contains(&format!("{{\"samplingRate\":{rate}}}"))
    };
    let complaints = || asked.log().matches("clients are told to sample as before").count();
    assert!(tells("0.25").await);
    asked.swap(&strategies("0.75"), async || tells("0.75").await).await;
    assert_eq!(asked.told_over_grpc(COLLECTOR_GRPC, "shop").await.probabilistic_sampling, probability(0.75));
    assert_eq!(complaints(), 0);

    asked.swap(&strategies("7"), async || complaints() == 1).await;
    assert!(
        asked.log().contains("default_strategy: the probability 7 is not from 0 to 1"),
        "{}",
        asked.log()
    );
    assert!(tells("0.75").await);
    fs::remove_file(file(asked.folder.path())).unwrap();
    asked.until(async || complaints() == 2).await;
    assert!(tells("0.75").await);
    asked.swap(&strategies("0.5"), async || tells("0.5").await).await;
    assert_eq!(complaints(), 2, "each change is complained of once");
    assert_eq!(asked.server.terminate().0, Some(0));
}

#[test]
fn the_program_does_not_start_with_a_file_that_makes_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let shown = path.display().to_string();
    let setting = setting(folder.path());
    let starts_not = || {
        let (code, said) = fails_to_start(command(&folder.path().join("data"), &[&setting]));
        let arguments = ["--set", &setting, "--check-config"].map(std::ffi::OsStr::new);
        let (checked, stdout, complaint) = run(&arguments);
        assert_eq!((code, checked, stdout), (Some(1), Some(1), String::new()), "{said}");
        assert_eq!(complaint, said, "what is checked is what the start says");
        said
    };
    let said = starts_not();
    let begins = format!(
        "tracelodge could not use its settings: read sampling.strategies_file = {shown}: No such file"
    );
    assert!(said.starts_with(&begins), "{said}");
    let cases = [
        (
            "{\n\"default_strategy\": [}",
            "use",
            "invalid type: sequence, expected an object with type and param at line 2 column 20",
        ),
        (
            r#"{"service_strategies": [{"service": "shop", "type": "probabilistic", "param": 80}]}"#,
            "use",
            "service 'shop': the probability 80 is not from 0 to 1",
        ),
        (&" ".repeat((1 << 20) + 1), "read", "it has more than 1024 KiB"),
    ];
    for (strategies, verb, why) in cases {
        fs::write(&path, strategies).unwrap();
        let expected = format!(
            "tracelodge could not use its settings: {verb} sampling.strategies_file = {shown}: {why}\n"
        );
        assert_eq!(starts_not(), expected);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(starts_not().ends_with("it is not a file\n"));
    let address = "sampling.strategies_file=http://localhost/strategies.json";
    let (_, said) = fails_to_start(command(&folder.path().join("data"), &[address]));
    assert!(said.ends_with("write the path of a file, addresses are not asked\n"), "{said}");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, STRATEGIES).unwrap();
    let (code, stdout, _) = run(&["--set", &setting, "--check-config"].map(std::ffi::OsStr::new));
    assert_eq!((code, &*stdout), (Some(0), "the settings are good\n"));
}
