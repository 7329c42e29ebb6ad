//! Starting, being asked how it is, and ending.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::harness::{Client, Server, command, fails_to_start};
use crate::wire;

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
    // Not a database, an empty one, one cut short, one overwritten in the middle.
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| *bytes = b"not a database".to_vec(),
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(bytes.len() / 3),
        |bytes| bytes[..4096].fill(0xa5),
    ];
    for (place, damage) in damages.into_iter().enumerate() {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path());
        client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("shop", 1, 3)).await;
        server.kill();
        let file = data.path().join("blocks/spans.redb");
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        std::fs::write(&file, bytes).unwrap();

        let server = Server::start(data.path());
        let url = server.query(&format!("/api/traces/{}", wire::trace_id(1)));
        let told = client.until(&url, |answer| answer.status == 200).await.json();
        assert_eq!(told["data"][0]["spans"].as_array().unwrap().len(), 3, "damage {place}");
    }
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
        "tracelodge_receiver_failed_requests{receiver=\"otlp\",transport=\"http\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[tokio::test]
async fn requests_in_flight_are_answered_when_it_is_told_to_end() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let url = server.otlp_http("/v1/traces");
    let senders: Vec<_> = (0..8u64)
        .map(|sender| {
            let url = url.clone();
            tokio::spawn(async move {
                let client = Client::new();
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let trace = sender * 100_000 + number;
                    let headers = [("content-type", "application/x-protobuf")];
                    let answer = client
                        .send(http::Method::POST, url.clone(), &headers, wire::trace("end", trace, 2))
                        .await;
                    match answer {
                        Ok(answer) if answer.status == 200 => acknowledged.push(trace),
                        // Refused in words or at the door: both are answers that a client sends again after.
                        Ok(answer) => assert_eq!(answer.status, 503),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ending = tokio::task::spawn_blocking(move || server.terminate());
    let (code, took) = ending.await.unwrap();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");

    let mut acknowledged = Vec::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    assert!(!acknowledged.is_empty());
    let server = Server::start(data.path());
    let client = Client::new();
    for trace in acknowledged {
        let url = server.query(&format!("/api/traces/{}", wire::trace_id(trace)));
        client.until(&url, |answer| answer.status == 200).await;
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
