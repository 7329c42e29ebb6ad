//! What every door does whatever is asked: who may ask, headers, files of the page, health.

use std::io::Write;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;
use tracelodge::serve::admin::{self, AskHealth, Health, Process, Readiness, Status, WriteMetrics};
use tracelodge::serve::guard::AllowedHosts;

use crate::lodge::{Answer, Lodge, send};

/// What stands in the page of a program that was built without one (`build.rs`).
const NO_PAGE: &str = "was built without its page";

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                   connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

async fn ask(lodge: &Lodge, method: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    lodge.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn strangers_are_refused_before_anything_is_read() {
    let lodge = Lodge::furnished();
    for uri in ["/", "/api/services", "/api/v3/services", "/api/a1/status", "/nothing"] {
        let answer = ask(&lodge, "GET", uri, &[("host", "evil.example:16686")]).await;
        assert_eq!(answer.status, 403, "{uri}");
        let expected = "this server is not asked by the name 'evil.example:16686': add it to the setting doors.allowed_hosts\n";
        assert_eq!(answer.text(), expected);
        assert_eq!(answer.header("content-security-policy"), CSP);
    }
    for host in ["localhost:16686", "traces.example.org", "tracelodge"] {
        assert_eq!(ask(&lodge, "GET", "/api/services", &[("host", host)]).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn pages_of_others_change_nothing() {
    let lodge = Lodge::furnished();
    let uri = "/api/archive/463ac35c9f6413ad";
    let host = ("host", "localhost:16686");
    for header in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(ask(&lodge, "POST", uri, &[host, header]).await.status, 403, "{header:?}");
    }
    assert_eq!(lodge.query.status().traces_pinned, 0);
    let own = [host, ("origin", "http://localhost:16686"), ("sec-fetch-site", "same-origin")];
    assert_eq!(ask(&lodge, "POST", uri, &own).await.status, 200);
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let lodge = Lodge::furnished();
    for uri in
        ["/", "/api/services", "/api/traces/abc", "/api/nothing", "/nothing", "/api/a1/trace/abc/skeleton"]
    {
        let answer = lodge.get(uri).await;
        assert_eq!(answer.header("content-security-policy"), CSP, "{uri}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{uri}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{uri}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{uri}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{uri}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{uri}");
        let kept = if uri == "/" { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), kept, "{uri}");
    }
}

#[tokio::test]
async fn the_page_answers_at_its_own_addresses_and_nowhere_else() {
    let lodge = Lodge::furnished();
    for uri in ["/", "/search?service=shop", "/trace/463ac35c9f6413ad?uiFind=x", "/index.html"] {
        let answer = lodge.get(uri).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "text/html; charset=utf-8"),
            "{uri}"
        );
    }
    for uri in ["/nothing", "/trace/1/2", "/index.html.gz", "/../Cargo.toml", "/assets/none.js"] {
        let answer = lodge.get(uri).await;
        assert_eq!(answer.status, 404, "{uri}");
        assert!(answer.text().contains("There is no such page"), "{uri}");
    }
    for uri in ["/api", "/api/", "/api/nothing", "/api/a1/nothing", "/api/traces/1/2"] {
        let answer = lodge.get(uri).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, "404 page not found\n"), "{uri}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{uri}");
    }
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let lodge = Lodge::furnished();
    let tag = lodge.get("/").await.header("etag").to_owned();
    assert_eq!(tag.len(), 34, "{tag}");
    for known in [tag.clone(), format!("\"other\", W/{tag}")] {
        let answer = ask(&lodge, "GET", "/", &[("if-none-match", &known)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{known}");
    }
    assert_eq!(ask(&lodge, "GET", "/", &[("if-none-match", "\"other\"")]).await.status, 200);
}

#[tokio::test]
async fn files_with_a_hash_in_their_name_are_kept_for_ever_and_sent_packed() {
    let lodge = Lodge::furnished();
    let page = lodge.get("/").await;
    let assets: Vec<_> = page.text().split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert_eq!(assets.is_empty(), page.text().contains(NO_PAGE), "{}", page.text());
    for asset in assets {
        let answer = ask(&lodge, "GET", asset, &[("accept-encoding", "gzip")]).await;
        assert_eq!(answer.status, 200, "{asset}");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable", "{asset}");
        assert_eq!(answer.header("content-encoding"), "gzip", "{asset}");
        let plain = lodge.get(asset).await;
        assert_eq!(plain.header("content-encoding"), "", "{asset}");
        assert_ne!(plain.header("etag"), answer.header("etag"), "{asset}: each form has its own tag");
        assert_eq!(plain.header("content-type"), answer.header("content-type"), "{asset}");
    }
}

#[tokio::test]
async fn a_grpc_client_is_told_in_its_own_words_that_this_is_not_its_port() {
    let lodge = Lodge::furnished();
    let headers = [("content-type", "application/grpc+proto")];
    let answer = ask(&lodge, "POST", "/jaeger.api_v3.QueryService/GetServices", &headers).await;
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "12"));
    assert_eq!(answer.header("content-type"), "application/grpc");
    assert_eq!(answer.header("grpc-message"), "no gRPC service on this port");
}

#[tokio::test]
async fn small_answers_and_those_who_do_not_ask_get_plain_json() {
    let lodge = Lodge::furnished();
    let trace = "/api/traces/463ac35c9f6413ad";
    let cases = [
        (trace, "gzip", "gzip"),
        (trace, "br, GZIP;q=0.5", "gzip"),
        (trace, "gzip;q=0", ""),
        (trace, "zstd", ""),
        (trace, "", ""),
        ("/api/services", "gzip", ""),
    ];
    for (uri, accepted, coding) in cases {
        let answer = ask(&lodge, "GET", uri, &[("accept-encoding", accepted)]).await;
        assert_eq!(answer.header("content-encoding"), coding, "{uri} {accepted}");
        assert_eq!(answer.header("vary"), "accept-encoding");
    }
}

fn health(ready: bool, reasons: &[&str]) -> Health {
    let reasons = reasons.iter().map(ToString::to_string).collect();
    let status = if ready { Status::Ok } else { Status::RecoverableError };
    let query = Readiness { ready: true, reasons: vec![] };
    Health { status, ingest: Readiness { ready, reasons }, query }
}

/// A process with a defect where nothing else is said.
fn process(health: AskHealth, metrics: WriteMetrics) -> Process {
    Process {
        health,
        metrics,
        status: Arc::new(|| panic!("a defect")),
        backup: Arc::new(|_out| panic!("a defect")),
        purge: None,
    }
}

fn backing_up(backup: impl Fn(&mut dyn Write) -> Result<(), String> + Send + Sync + 'static) -> Router {
    let process = process(Arc::new(|| panic!("not asked")), Arc::new(|| panic!("not asked")));
    admin::router(Process { backup: Arc::new(backup), ..process }, AllowedHosts::default())
}

#[tokio::test]
async fn a_backup_comes_whole_or_is_broken_off() {
    let post = || Request::post("/backup").body(Body::empty()).unwrap();
    let long: Vec<u8> = (0..1_000_000u32).map(|at| at as u8).collect();
    let expected = long.clone();
    let router = backing_up(move |out| out.write_all(&long).map_err(|error| error.to_string()));
    let answer = send(&router, post()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-tar"));
    assert_eq!(answer.body, expected);
    assert_eq!(send(&router, Request::get("/backup").body(Body::empty()).unwrap()).await.status, 405);
    let foreign = Request::post("/backup").header("origin", "https://evil.example");
    assert_eq!(send(&router, foreign.body(Body::empty()).unwrap()).await.status, 403);

    let answer = send(&backing_up(|_out| Err("hold still: the disk is full".into())), post()).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "hold still: the disk is full\n"));
    assert_eq!(send(&backing_up(|_out| panic!("a defect")), post()).await.status, 500);

    let failures: [fn() -> Result<(), String>; 2] = [|| Err("the disk failed".into()), || panic!("a defect")];
    for failure in failures {
        let router = backing_up(move |out| {
            out.write_all(&[7; 1_000_000]).map_err(|error| error.to_string())?;
            failure()
        });
        let answer = router.oneshot(post()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.into_body().collect().await.is_err(), "what is broken off must not look whole");
    }
}

#[tokio::test]
async fn one_backup_is_made_at_a_time() {
    let router = backing_up(|out| out.write_all(&[7; 4_000_000]).map_err(|error| error.to_string()));
    let post = || Request::post("/backup").body(Body::empty()).unwrap();
    let first = router.clone().oneshot(post()).await.unwrap();
    let second = send(&router, post()).await;
    assert_eq!((second.status.as_u16(), second.text()), (503, "another backup is being made\n"));
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes().len(), 4_000_000);
}

#[tokio::test]
async fn health_is_alive_ready_and_why_not() {
    let current = Arc::new(Mutex::new(health(true, &[])));
    let asked = Arc::clone(&current);
    let router = admin::router(
        process(Arc::new(move || asked.lock().unwrap().clone()), Arc::new(|| "spans_total 3\n".to_owned())),
        AllowedHosts::default(),
    );
    let get = async |uri: &str| send(&router, Request::get(uri).body(Body::empty()).unwrap()).await;

    assert_eq!(get("/readyz").await.text(), "ready\n");
    assert_eq!(
        get("/healthz").await.json(),
        json!({"status": "OK", "ingest": {"ready": true, "reasons": []}, "query": {"ready": true, "reasons": []}})
    );

    *current.lock().unwrap() = health(false, &["the disk is full"]);
    assert_eq!(get("/livez").await.status, 200, "a full disk is no reason to be restarted");
    let answer = get("/readyz").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "not ready: the disk is full\n"));
    for uri in ["/", "/healthz"] {
        let answer = get(uri).await;
        assert_eq!(answer.status, 503, "{uri}");
        assert_eq!(answer.json()["status"], "RecoverableError");
        assert_eq!(answer.json()["query"]["ready"], true);
    }

    let metrics = get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4");
    assert_eq!(metrics.text(), "spans_total 3\n");
    let unknown = get("/nothing").await;
    assert_eq!(unknown.status, 404);
    for path in ["/livez", "/readyz", "/healthz", "/metrics", "/status", "/backup"] {
        assert!(unknown.text().contains(path), "{path}");
    }
    let stranger = Request::get("/metrics").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(send(&router, stranger).await.status, 403);
}

#[tokio::test]
async fn a_defect_is_one_requests_error() {
    let defects = process(Arc::new(|| panic!("a defect")), Arc::new(|| panic!("a defect")));
    let router = admin::router(defects, AllowedHosts::default());
    for uri in ["/healthz", "/metrics", "/status"] {
        let answer = send(&router, Request::get(uri).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 500, "{uri}");
        assert_eq!(answer.text(), "a defect was met while answering; the log has the details\n");
        assert_eq!(answer.header("content-security-policy"), CSP);
    }
}

#[tokio::test]
async fn what_waits_for_the_store_keeps_nobody_else_waiting() {
    for uri in ["/metrics", "/readyz", "/healthz"] {
        let (go_on, told) = mpsc::sync_channel(1);
        let told = Arc::new(Mutex::new(told));
        let wait = move || match told.lock().unwrap().recv_timeout(Duration::from_secs(10)) {
            Ok(()) => "in time".to_owned(),
            Err(error) => error.to_string(),
        };
        let waited = wait.clone();
        let asked = process(Arc::new(move || health(false, &[&waited()])), Arc::new(wait));
        let router = admin::router(asked, AllowedHosts::default());
        let get = |uri| send(&router, Request::get(uri).body(Body::empty()).unwrap());
        let alive = async {
            let answer = get("/livez").await;
            go_on.send(()).unwrap();
            answer
        };
        let (waited, alive) = tokio::join!(get(uri), alive);
        assert!(waited.text().contains("in time"), "{uri}: {}", waited.text());
        assert_eq!(alive.text(), "alive\n");
    }
}
