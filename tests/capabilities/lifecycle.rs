//! Starting, being asked how it is, and ending.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Client, PATIENCE, Server, command, fails_to_start};
use crate::wire;

/// What is done to a file's bytes.
type Damage = fn(&mut Vec<u8>);

#[tokio::test]
async fn a_trace_outlives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let client = Client::new();
    let server = Server::start(data.path());
    let headers = [("content-type", "application/x-protobuf")];
    let answer = client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("shop", 7, 3)).await;
    assert_eq!(answer.status, 200);
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");

    let server = Server::start(data.path());
    let url = server.query(&format!("/api/traces/{}", wire::trace_id(7)));
    let told = client.until(&url, |answer| answer.status == 200).await.json();
    assert_eq!(told["data"][0]["spans"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_does_no_harm() {
    let data = tempfile::tempdir().unwrap();
    let client = Client::new();
    let server = Server::start_saying(data.path(), &["log.level=trace"], Path::new("/dev/full"));
    let headers = [("content-type", "application/x-protobuf")];
    let answer = client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("shop", 7, 3)).await;
    assert_eq!(answer.status, 200);
    let url = server.query(&format!("/api/traces/{}", wire::trace_id(7)));
    client.until(&url, |answer| answer.status == 200).await;
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test]
async fn a_second_start_on_the_same_folder_hears_who_holds_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let (code, said) = fails_to_start(command(data.path(), &[]));
    assert_eq!(code, Some(1));
    let holder = format!("held by process {}, its page is at http://{}", server.process_id(), server.page);
    assert!(said.contains(&holder), "{said}");
    assert!(said.contains("--data-dir"), "{said}");
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_and_what_the_buffer_holds_is_stored_anew() {
    let client = Client::new();
    let headers = [("content-type", "application/x-protobuf")];
    // Not a database, an empty one, one cut short, one without its header, one overwritten in the middle; and whether
    // there is something to be set aside.
    let damages: [(Damage, bool); 5] = [
        (|bytes| *bytes = b"not a database".to_vec(), true),
        (|bytes| bytes.clear(), false),
        (|bytes| bytes.truncate(4_096), true),
        (|bytes| bytes[..4096].fill(0xa5), true),
        (|bytes| bytes[4096..].fill(0xa5), true),
    ];
    for (place, (damage, is_set_aside)) in damages.into_iter().enumerate() {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path());
        client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("shop", 1, 3)).await;
        let url = server.query(&format!("/api/traces/{}", wire::trace_id(1)));
        client.until(&url, |answer| answer.status == 200).await;
        server.kill();
        let file = only_file_in(&data.path().join("blocks"));
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        std::fs::write(&file, bytes).unwrap();

        let server = Server::start(data.path());
        let url = server.query(&format!("/api/traces/{}", wire::trace_id(1)));
        let told = client.until(&url, |answer| answer.status == 200).await.json();
        assert_eq!(told["data"][0]["spans"].as_array().unwrap().len(), 3, "damage {place}");
        let quarantine = data.path().join("quarantine");
        assert_eq!(quarantine.exists(), is_set_aside, "damage {place}");
        if is_set_aside {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(only_file_in(&quarantine).to_str().unwrap().ends_with(name), "damage {place}");
        }
    }
}

fn only_file_in(folder: &Path) -> PathBuf {
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    file.clone()
}

#[tokio::test]
async fn a_busy_port_is_said_with_the_setting_that_moves_it() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path());
    let taken = format!("doors.ui={}", server.page);
    let (code, said) = fails_to_start(command(other.path(), &[&taken]));
    assert_eq!(code, Some(1));
    let expected = format!(
        "tracelodge could not open the door for page and query API on {}: another program listens there; \
         move it with the setting doors.ui, or switch it off",
        server.page
    );
    assert_eq!(said.trim(), expected);
}

#[tokio::test]
async fn a_wrong_setting_is_said_before_anything_is_opened() {
    let data = tempfile::tempdir().unwrap();
    let (code, said) = fails_to_start(command(data.path(), &["store.max_aeg=1d"]));
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no setting 'store.max_aeg'; did you mean 'store.max_age'?"), "{said}");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn health_and_numbers_are_on_the_admin_door() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(client.get(server.admin(path)).await.status, 200, "{path}");
    }
    let headers = [("content-type", "application/x-protobuf")];
    client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("shop", 1, 4)).await;
    client.post(server.otlp_http("/v1/traces"), &headers, Bytes::from_static(b"\xff\xff")).await;
    let stored = |answer: &crate::harness::Answer| {
        String::from_utf8_lossy(&answer.body).contains("\ntracelodge_store_spans_total 4\n")
    };
    let numbers = client.until(&server.admin("/metrics"), stored).await;
    let text = String::from_utf8(numbers.body.to_vec()).unwrap();
    for line in [
        "otelcol_receiver_accepted_spans{receiver=\"otlp\",transport=\"http\"} 4",
        "otelcol_receiver_requests{receiver=\"otlp\",transport=\"http\"} 2",
        "tracelodge_failed_requests_total{receiver=\"otlp\",transport=\"http\"} 1",
        "tracelodge_store_pinned_traces 0",
        "tracelodge_store_damaged_rows_total 0",
        "tracelodge_store_engine_failures_total 0",
        "tracelodge_store_set_aside 0",
        "tracelodge_store_blocks 1",
        "tracelodge_store_runs 1",
        "tracelodge_store_limit_bytes ",
        "tracelodge_store_archive_bytes ",
        "tracelodge_store_free_bytes ",
        "tracelodge_store_left_out_total 0",
        "tracelodge_store_unchecked_total 0",
        "tracelodge_store_waiting_for_parents 0",
        "tracelodge_store_given_up_parents_total 0",
        "tracelodge_store_dropped_spans_total{reason=\"age\"} 0",
        "tracelodge_store_dropped_spans_total{reason=\"size\"} 0",
        "tracelodge_store_dropped_spans_total{reason=\"free\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[tokio::test]
async fn a_request_in_flight_is_answered_when_it_is_told_to_end() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let message = wire::trace("end", 1, 2);
    // Half a request, then the signal, then the other half.
    let mut half_sent = TcpStream::connect(&server.otlp[1]).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        message.len()
    );
    half_sent.write_all(head.as_bytes()).await.unwrap();
    half_sent.write_all(&message[..10]).await.unwrap();
    // An answered request on another connection shows that the server has come to read the first.
    let client = Client::new();
    let headers = [("content-type", "application/x-protobuf")];
    client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("end", 2, 2)).await;
    let door = server.otlp[1].clone();
    let ending = tokio::task::spawn_blocking(move || server.terminate());
    while TcpStream::connect(&door).await.is_ok() {
        tokio::task::yield_now().await;
    }
    half_sent.write_all(&message[10..]).await.unwrap();
    let mut answer = String::new();
    half_sent.read_to_string(&mut answer).await.unwrap();
    // Taken or asked to come again: in words, not by hanging up.
    let taken = answer.starts_with("HTTP/1.1 200");
    assert!(taken || answer.starts_with("HTTP/1.1 503"), "{answer}");
    let (code, took) = ending.await.unwrap();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");

    let server = Server::start(data.path());
    for trace in if taken { 1..=2 } else { 2..=2 } {
        let url = server.query(&format!("/api/traces/{}", wire::trace_id(trace)));
        client.until(&url, |answer| answer.status == 200).await;
    }
}

#[tokio::test]
async fn silent_connections_shut_no_door() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &["doors.max_connections=4"]);
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(&server.otlp[1]).await.unwrap());
    }
    let client = Client::new();
    assert_eq!(client.get(server.admin("/livez")).await.status, 200);
    assert_eq!(client.get(server.query("/api/services")).await.status, 200);
    // Those that say nothing are hung up on, and there is room again.
    let headers = [("content-type", "application/json")];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sent = client.send(
            http::Method::POST,
            server.otlp_http("/v1/traces"),
            &headers,
            Bytes::from_static(b"{}"),
        );
        if sent.await.is_ok_and(|answer| answer.status == 200) {
            return;
        }
        assert!(Instant::now() < deadline, "silent connections hold the door for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn it_is_ready_soon_after_it_starts() {
    let data = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let server = Server::start(data.path());
    assert_eq!(Client::new().get(server.admin("/readyz")).await.status, 200);
    // The promise is 100 ms for the release build; this only catches a start that waits for something.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
