//! TLS at every door that takes connections, and commands of the program that ask a server through it.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::authority::Authority;
use crate::harness::{Client, Server};
use crate::wire;

const HEALTH: &str = "/grpc.health.v1.Health/Check";

type TlsClient = HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Trusts the authority; speaks HTTP/2, or HTTP/1.
fn client(authority: &Authority, http2: bool) -> TlsClient {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.path("ca.pem")).unwrap()).unwrap();
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
    let connector = if http2 { connector.enable_http2().build() } else { connector.enable_http1().build() };
    HyperClient::builder(TokioExecutor::new()).http2_only(http2).build(connector)
}

fn with_port_of(address: &str) -> String {
    format!("https://localhost:{}", address.rsplit(':').next().unwrap())
}

/// An answer's status over HTTP/1, and the start of its body.
async fn asked(
    client: &TlsClient,
    method: Method,
    address: &str,
    path: &str,
    body: Bytes,
) -> (StatusCode, Bytes) {
    let request = Request::builder().method(method).uri(with_port_of(address) + path);
    let request = request.header("content-type", "application/x-protobuf").body(Full::new(body)).unwrap();
    let answer = client.request(request).await.unwrap();
    (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
}

/// The message of a call's answer.
async fn called(client: &TlsClient, address: &str, path: &str, message: &[u8]) -> Bytes {
    let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
    let request = Request::post(with_port_of(address) + path).header("content-type", "application/grpc");
    let answer = client.request(request.body(Full::new(framed.into())).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0", "{address}{path}");
    body.to_bytes().slice(5..)
}

fn tls_settings(authority: &Authority) -> Vec<String> {
    authority.issue("server");
    let setting = |key: &str, file: &str| format!("tls.{key}={}", authority.path(file).display());
    vec![setting("certificate_file", "server.pem"), setting("key_file", "server.key")]
}

fn start(folder: &Path, settings: &[String]) -> Server {
    Server::start_with(&folder.join("data"), &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test]
async fn every_door_that_takes_connections_speaks_tls_and_nothing_else() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let server = start(folder.path(), &tls_settings(&authority));
    let (http1, http2) = (client(&authority, false), client(&authority, true));
    let spans = wire::trace("shop", 1, 2);
    let by_http = [
        (Method::POST, server.otlp[0].as_str(), "/v1/traces", 200),
        (Method::POST, &server.otlp[1], "/v1/traces", 200),
        (Method::GET, server.door("Jaeger thrift"), "/api/sampling?service=shop", 200),
        (Method::GET, server.door("sampling"), "/sampling?service=shop", 200),
        (Method::GET, server.door("Zipkin"), "/health", 200),
        (Method::GET, &server.admin, "/livez", 200),
        (Method::GET, &server.page, "/", 200),
    ];
    for (method, address, path, status) in by_http {
        let body = if method == Method::POST { spans.clone() } else { Bytes::new() };
        assert_eq!(asked(&http1, method, address, path, body).await.0, status, "{address}{path}");
        let plain =
            Client::new().send(Method::GET, format!("http://{address}{path}"), &[], Bytes::new()).await;
        assert!(plain.is_err(), "{address}: {plain:?}");
    }
    for name in ["Jaeger gRPC", "sampling gRPC", "Jaeger storage", "Jaeger archive", "Jaeger query"] {
        let address = server.door(name);
        assert_eq!(called(&http2, address, HEALTH, &[]).await[..], [8, 1], "{name} is serving");
        let plain = Client::new().grpc(format!("http://{address}{HEALTH}"), "identity", &[]).await;
        assert!(plain.is_err(), "{name}: {plain:?}");
    }
    called(&http2, &server.otlp[1], "/opentelemetry.proto.collector.trace.v1.TraceService/Export", &spans)
        .await;
    called(&http2, server.door("Jaeger gRPC"), "/jaeger.api_v2.CollectorService/PostSpans", &[]).await;
}

/// Runs a command with these settings: its exit code, what it said, and its troubles.
fn run(arguments: &[&str], settings: &[String], roots: Option<&Path>) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracelodge"));
    let foreign = |name: &OsString| name.to_string_lossy().starts_with("TRACELODGE_");
    for name in std::env::vars_os().map(|(name, _)| name).filter(foreign) {
        command.env_remove(name);
    }
    if let Some(roots) = roots {
        command.env("SSL_CERT_FILE", roots);
    }
    command.args(arguments).args(settings.iter().flat_map(|setting| ["--set", setting]));
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn tokens(folder: &Path) -> Vec<String> {
    let tokens = ["ingest", "admin"].map(|right| {
        let path = folder.join(right);
        std::fs::write(&path, format!("first-{right}-token-0123\nsecond-{right}-token-0123\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!("tokens.{right}_file={}", path.display())
    });
    tokens.to_vec()
}

#[test]
fn commands_ask_a_server_of_the_same_settings_whatever_it_asks_of_them() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (tls, tokens) = (tls_settings(&authority), tokens(folder.path()));
    let settings = [tls.clone(), tokens.clone()].concat();
    let server = start(folder.path(), &settings);
    let data = folder.path().join("data");
    let at_folder = ["status", "--data-dir", data.to_str().unwrap()];
    // By its number, which is not in the certificate.
    let (code, said, troubles) = run(&at_folder, &settings, None);
    assert_eq!(code, Some(0), "{troubles}");
    assert!(
        said.contains(&format!("https://{}", server.page)) && said.contains("udp://127.0.0.1:"),
        "{said}"
    );
    let file = folder.path().join("backup.tar");
    let backup = ["backup", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    let (code, _, troubles) = run(&backup, &settings, None);
    assert_eq!((code, file.exists()), (Some(0), true), "{troubles}");

    let by_number = format!("https://{}", server.admin);
    let at_number = ["status", "--address", &by_number];
    assert_eq!(run(&at_number, &settings, None).0, Some(0));
    let by_name = with_port_of(&server.admin);
    let at_name = ["status", "--address", &by_name];
    let ca = authority.path("ca.pem");
    let (code, _, troubles) = run(&at_name, &tokens, Some(&ca));
    assert_eq!(code, Some(0), "known by its name: {troubles}");

    let other = Authority::new();
    let others = tls_settings(&other);
    let plain = ["status", "--address", server.admin.as_str()];
    type Case<'a> = (&'a [&'a str], Vec<String>, Option<&'a Path>, &'a str);
    let refused: [Case<'_>; 5] = [
        (&at_number, tokens.clone(), Some(&ca), "and whom this machine trusts"),
        (&at_name, tokens.clone(), None, "trusted are the certificate of its own tls.certificate_file"),
        (&at_folder, [others, tokens].concat(), None, "trusted are the certificate of its own"),
        (&at_folder, tls, None, "HTTP 401: this needs a token of tokens.admin_file"),
        (&plain, settings, None, "could not say how a server is: reach a server at 127.0.0.1:"),
    ];
    for (arguments, settings, roots, why) in refused {
        let (code, _, troubles) = run(arguments, &settings, roots);
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(troubles.contains(why) && !troubles.contains("-token-"), "{arguments:?}: {troubles}");
    }
}

#[test]
fn a_command_without_a_certificate_of_its_own_says_what_to_do() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let mut settings = tls_settings(&authority);
    settings.push(format!("tls.client_ca_file={}", authority.path("ca.pem").display()));
    let _server = start(folder.path(), &settings);
    let data = folder.path().join("data");
    let (code, _, troubles) = run(&["status", "--data-dir", data.to_str().unwrap()], &settings, None);
    assert_eq!(code, Some(1));
    assert!(troubles.contains("this command has none to show: leave \"admin\" out of"), "{troubles}");
}

#[tokio::test]
async fn an_import_shows_the_token_for_sending() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(folder.path());
    let server = start(folder.path(), &tokens);
    let spans = folder.path().join("spans");
    std::fs::create_dir(&spans).unwrap();
    let request = wire::trace("phone", 7, 2);
    assert!((128..16_384).contains(&request.len()), "its length takes two bytes");
    let length = [(request.len() & 0x7f) as u8 | 0x80, (request.len() >> 7) as u8];
    std::fs::write(spans.join("1700000000000"), [&length[..], &request].concat()).unwrap();
    let to = server.otlp_http("");
    let import = ["import", spans.to_str().unwrap(), "--to", to.as_str()];
    let (code, _, troubles) = run(&import, &[], None);
    assert_eq!(code, Some(1));
    assert!(troubles.contains("tokens.ingest_file"), "{troubles}");
    let (code, said, troubles) = run(&import, &tokens[..1], None);
    assert_eq!(code, Some(0), "{troubles}");
    assert!(said.contains("1 sent"), "{said}");
    let url = server.query(&format!("/api/traces/{}", wire::trace_id(7)));
    Client::new().until(&url, |answer| answer.status == 200).await;
}
