//! Web pages that send: those of the allowed origins may, and nobody else's page can, whatever browsers send unasked.

use bytes::Bytes;
use http::Method;

use crate::harness::{Answer, Client, Server};

const SHOP: &str = "https://shop.example";
const ALLOWED: &str = "receive.allowed_origins=[\"https://shop.example\"]";

/// What a page of this origin sends without asking first, or a program that is no page.
async fn sent(url: &str, origins: &[&str]) -> Answer {
    let mut headers = vec![("content-type", "application/x-protobuf")];
    headers.extend(origins.iter().map(|origin| ("origin", *origin)));
    Client::new().post(url.to_owned(), &headers, Bytes::new()).await
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_and_told_the_setting() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &[ALLOWED]);
    let thrift = format!("http://{}/api/traces", server.door("Jaeger thrift"));
    for url in [server.otlp_http("/v1/traces"), server.otlp_http("/v1/logs"), thrift] {
        let not_a_page = sent(&url, &[]).await;
        assert_ne!(not_a_page.status, 403, "{url}");
        assert_eq!(not_a_page.header("access-control-allow-origin"), "");
        let ours = sent(&url, &[SHOP]).await;
        assert_eq!(ours.status, not_a_page.status, "{url}");
        assert_eq!(ours.header("access-control-allow-origin"), SHOP, "{url}");
        // A file, or a page in a sandbox, is of no origin that could be allowed.
        let others =
            ["https://evil.example", "null", "http://shop.example", "https://shop.example.evil.example"];
        for strangers in others.iter().map(|other| vec![*other]).chain([vec![SHOP, "https://evil.example"]]) {
            let answer = sent(&url, &strangers).await;
            assert_eq!(answer.status, 403, "{url} {strangers:?}");
            let said = String::from_utf8_lossy(&answer.body);
            assert!(said.contains("receive.allowed_origins"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_refused_page_keeps_no_more_of_its_own_words_than_needed() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &[ALLOWED]);
    let origin = format!("https://{}", "a".repeat(4_000));
    let answer = sent(&server.otlp_http("/v1/traces"), &[&origin]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.len() < 300, "{:?}", answer.body);
}

#[tokio::test]
async fn a_page_need_not_be_known_where_any_may_send() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    for origin in [SHOP, "null"] {
        assert_eq!(sent(&server.otlp_http("/v1/traces"), &[origin]).await.status, 200, "{origin}");
        // Reading is for the page that the server shows, and for programs.
        let as_page = [("origin", origin)];
        let url = server.query("/api/services");
        let answer = client.send(Method::GET, url, &as_page, Bytes::new()).await.unwrap();
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
}
