//! TLS at the doors of Jaeger: who is let in, who is not, and what is said about files that cannot be used.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use tracelodge::proto::jaeger::storage::v1::span_writer_plugin_client::SpanWriterPluginClient;

use crate::authority::Authority;
use crate::harness::{Client, PATIENCE, Server, command, fails_to_start};
use crate::writing::{connect, span, spans_once, write};

/// Trusts the authority, and shows its certificate of this name.
fn client(authority: &Authority, identity: Option<&str>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.path("ca.pem")).unwrap()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let certificate = CertificateDer::from_pem_file(authority.path(&format!("{name}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(authority.path(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

async fn connect_within_tls(address: &str, config: ClientConfig) -> Result<Channel, tonic::transport::Error> {
    let (connector, address) = (TlsConnector::from(Arc::new(config)), address.to_owned());
    let connect = service_fn(move |_address| {
        let (connector, address) = (connector.clone(), address.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            let stream = connector.connect("localhost".try_into().unwrap(), stream).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connect).await
}

/// Whether a client can write a span.
async fn writes(address: &str, config: ClientConfig, number: u64) -> bool {
    let Ok(channel) = connect_within_tls(address, config).await else { return false };
    SpanWriterPluginClient::new(channel).write_span(write(span(1, number))).await.is_ok()
}

fn setting(key: &str, path: &Path) -> String {
    format!("tls.{key}={}", path.display())
}

fn settings(authority: &Authority) -> Vec<String> {
    authority.issue("server");
    vec![
        setting("certificate_file", &authority.path("server.pem")),
        setting("key_file", &authority.path("server.key")),
    ]
}

fn start(folder: &Path, settings: &[String]) -> Server {
    Server::start_with(folder, &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn until_said(log: &Path, words: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(log).unwrap().contains(words) {
        assert!(Instant::now() < deadline, "never said: {words}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_door_with_a_certificate_speaks_tls_and_nothing_else() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let mut settings = settings(&authority);
    settings.push("tls.doors=storage,archive".to_owned());
    let server = start(folder.path(), &settings);
    assert!(writes(&server.storage, client(&authority, None), 1).await);
    spans_once(&server, 1, 1).await;
    assert!(writes(&server.archive, client(&authority, None), 1).await);
    assert!(!writes(&server.storage, client(&Authority::new(), None), 2).await, "a server it does not know");
    let plain =
        SpanWriterPluginClient::new(connect(&server.storage).await).write_span(write(span(1, 3))).await;
    plain.unwrap_err();
    // The page has none.
    assert_eq!(Client::new().get(server.query("/")).await.status, 200);
}

#[tokio::test]
async fn who_must_show_a_certificate_is_not_let_in_without() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let mut settings = settings(&authority);
    settings.push(setting("client_ca_file", &authority.path("ca.pem")));
    settings.push("tls.doors=storage".to_owned());
    let server = start(folder.path(), &settings);
    authority.issue("collector");
    assert!(writes(&server.storage, client(&authority, Some("collector")), 1).await);
    assert!(!writes(&server.storage, client(&authority, None), 2).await);
    let stranger = Authority::new();
    stranger.issue("stranger");
    std::fs::copy(authority.path("ca.pem"), stranger.path("ca.pem")).unwrap();
    assert!(!writes(&server.storage, client(&stranger, Some("stranger")), 3).await);
    assert_eq!(spans_once(&server, 1, 1).await.len(), 1);
    SpanWriterPluginClient::new(connect(&server.archive).await).write_span(write(span(2, 1))).await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named_before_a_door_is_open() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let good = settings(&authority);
    authority.issue("other");
    let missing = setting("key_file", &authority.path("missing.key"));
    let other = setting("key_file", &authority.path("other.key"));
    let no_certificate = setting("certificate_file", &authority.path("server.key"));
    let no_clients = setting("client_ca_file", &authority.path("server.key"));
    let no_doors = "tls.doors=[]".to_owned();
    let cases = [
        (vec![&good[0], &good[1], &no_doors], "tls.doors = []: name the doors"),
        (vec![&good[0]], "tls.key_file = \"\": name the key of certificate_file"),
        (vec![&good[0], &missing], "read tls.key_file = "),
        (vec![&good[0], &other], "use tls.certificate_file and tls.key_file"),
        (vec![&no_certificate, &good[1]], "there is no certificate in it"),
        (vec![&good[0], &good[1], &no_clients], "read tls.client_ca_file = "),
        (vec![&no_clients], "name a certificate and a key too"),
    ];
    for (settings, said) in cases {
        let settings: Vec<&str> = settings.into_iter().map(String::as_str).collect();
        let (code, words) = fails_to_start(command(folder.path(), &settings));
        assert_eq!(code, Some(1), "{settings:?}");
        assert!(words.contains(said), "{settings:?}: {words}");
    }
}

#[tokio::test]
async fn a_changed_certificate_is_shown_to_who_comes_next_and_a_broken_one_is_not() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let mut settings = settings(&authority);
    settings.extend(["tls.doors=storage", "log.level=info"].map(str::to_owned));
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let log = authority.path("log");
    let server = Server::start_saying(folder.path(), &settings, &log);
    assert!(writes(&server.storage, client(&authority, None), 1).await);
    // Half of the change: the key is another's.
    let next = Authority::new();
    next.issue("server");
    std::fs::copy(next.path("server.key"), authority.path("server.key")).unwrap();
    until_said(&log, "the changed files of [tls] cannot be used").await;
    assert!(writes(&server.storage, client(&authority, None), 2).await, "as before");
    std::fs::copy(next.path("server.pem"), authority.path("server.pem")).unwrap();
    until_said(&log, "connections are taken with the certificate as it is now").await;
    assert!(writes(&server.storage, client(&next, None), 3).await, "the new certificate");
    assert!(!writes(&server.storage, client(&authority, None), 4).await);
}
