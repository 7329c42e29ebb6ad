//! What a web page on this machine can do to doors that are not for pages: nothing.

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::harness::{Client, Server};

const DOORS: [&str; 5] = ["Jaeger gRPC", "sampling gRPC", "Jaeger storage", "Jaeger archive", "Jaeger query"];

#[tokio::test]
async fn pages_cannot_call_grpc_whatever_they_say_of_their_request() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let call = Bytes::from_static(&[0; 5]);
    for door in DOORS {
        for method in
            ["jaeger.api_v2.QueryService/GetServices", "jaeger.storage.v1.SpanReaderPlugin/GetServices"]
        {
            let url = format!("http://{}/{method}", server.door(door));
            let cases: [(&[(&str, &str)], StatusCode); 4] = [
                (&[("content-type", "text/plain"), ("origin", "http://evil.example")], StatusCode::FORBIDDEN),
                (&[("content-type", "application/grpc"), ("origin", &url)], StatusCode::FORBIDDEN),
                (&[("content-type", "application/grpc"), ("sec-fetch-site", "none")], StatusCode::FORBIDDEN),
                (&[("content-type", "text/plain")], StatusCode::NOT_FOUND),
            ];
            for (headers, expected) in cases {
                let answer = Client::new().post(url.clone(), headers, call.clone()).await;
                assert_eq!(answer.status, expected, "{door}: {headers:?}");
            }
        }
    }
    let url = format!("http://{}/jaeger.api_v2.QueryService/GetServices", server.door("Jaeger query"));
    assert_eq!(Client::new().grpc(url, "identity", &[]).await.unwrap().grpc_status().0, 0, "a program can");
}

#[tokio::test]
async fn who_comes_under_a_strange_name_is_not_asked_for_a_token() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "a-token-0123456789").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let settings = ["read", "admin", "ingest"].map(|name| format!("tokens.{name}_file={}", file.display()));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Server::start_with(&folder.path().join("data"), &settings);
    for door in ["page and query API", "health and metrics", "Zipkin"] {
        let url = format!("http://{}/api/v2/services", server.door(door));
        let ask = |host| {
            let (url, headers) = (url.clone(), [("host", host)]);
            async move { Client::new().send(Method::GET, url, &headers, Bytes::new()).await.unwrap() }
        };
        let answer = ask("evil.example").await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (StatusCode::FORBIDDEN, ""), "{door}");
        let answer = ask("localhost").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{door}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{door}");
    }
}
