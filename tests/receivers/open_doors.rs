//! Doors that others than this machine can reach: said at the start and to the page.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::json;

use crate::harness::{Client, Server, command};

const OPEN: [&str; 4] = [
    "doors.zipkin=0.0.0.0:0",
    "doors.otlp_grpc=[::]:0",
    "doors.otlp_http=[::]:0",
    "doors.agent_binary=0.0.0.0:0",
];

/// What stands between the doors and the page's address.
fn said_at_the_start(settings: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path(), settings).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.take_while(|line| !line.starts_with("Open ")).filter(|line| line.starts_with("Others"));
    let said = said.collect();
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

#[tokio::test]
async fn what_others_can_reach_is_said_at_the_start_and_to_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &OPEN);
    let status = Client::new().get_json(server.query("/api/a1/status")).await;
    let port = server.door("agent, binary").rsplit(':').next().unwrap();
    let reached = "Others than this machine can reach OTLP, Zipkin: \
                   nobody is asked who they are ([tokens]) and nothing is encrypted ([tls])";
    let sent = |port: &str| {
        format!(
            "Others than this machine can send to the agent (UDP {port}): \
             nobody is asked who they are and nothing is encrypted, which over UDP cannot be had"
        )
    };
    assert_eq!(status["openDoors"], json!([reached, sent(port)]));
    let said = said_at_the_start(&OPEN);
    assert_eq!((said.len(), &*said[0]), (2, &*format!("{reached}.")));
    assert!(said[1].starts_with("Others than this machine can send to the agent (UDP "), "{said:?}");
}

#[tokio::test]
async fn nothing_is_said_of_doors_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let status = Client::new().get_json(server.query("/api/a1/status")).await;
    assert_eq!(status["openDoors"], json!([]));
    assert_eq!(said_at_the_start(&[]), [""; 0]);
}

#[test]
fn doors_that_ask_for_tokens_lack_only_tls() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    let ingest = format!("tokens.ingest_file={}", tokens.display());
    let others = ["doors.jaeger_http=0.0.0.0:0", "doors.sampling_http=0.0.0.0:0", "doors.query=0.0.0.0:0"];
    let settings: Vec<&str> = OPEN[..2].iter().chain(&others).copied().chain([&*ingest]).collect();
    assert_eq!(
        said_at_the_start(&settings),
        [
            "Others than this machine can reach Zipkin, Jaeger query: \
             nobody is asked who they are ([tokens]) and nothing is encrypted ([tls]).",
            "Others than this machine can reach OTLP, Jaeger thrift, sampling: nothing is encrypted ([tls]).",
        ]
    );
}
