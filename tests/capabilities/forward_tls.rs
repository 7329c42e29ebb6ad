//! TLS to an upstream: what is trusted, what is not, and who we say we are.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::harness::{Answer, Client, Server, command, fails_to_start};
use crate::upstream_stub::Stub;
use crate::wire;

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// Takes TLS off connections and passes them to a stub; asks clients who they are. Returns the port.
async fn terminate_tls(authority: &Authority, stub: &Stub, protocol: &[u8]) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.path("ca.pem"))).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate(&authority.path("server.pem"))],
            PrivateKeyDer::from_pem_file(authority.path("server.key")).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, behind) = (listener.local_addr().unwrap().port(), stub.address());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever fails here is looked at from the other side.
                let Ok(mut plain) = acceptor.accept(stream).await else { return };
                let mut inner = TcpStream::connect(behind).await.unwrap();
                let _closed = copy_bidirectional(&mut plain, &mut inner).await;
            });
        }
    });
    port
}

async fn send(client: &Client, server: &Server, number: u64) {
    let headers = [("content-type", "application/x-protobuf")];
    let answer = client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("shop", number, 1)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn only_who_is_trusted_gets_anything_and_who_we_are_is_shown() {
    let (authority, strangers, client) = (Authority::new(), Authority::new(), Client::new());
    authority.issue("server");
    authority.issue("me");
    strangers.issue("me");
    for (protocol, alpn) in [("http", &b"http/1.1"[..]), ("grpc", b"h2")] {
        let (data, stub) = (tempfile::tempdir().unwrap(), Stub::start());
        let port = terminate_tls(&authority, &stub, alpn).await;
        let with = |ca: &Authority, me: Option<&Authority>, host: &str| {
            let mut settings = vec![
                format!("upstream.endpoint=https://{host}:{port}"),
                format!("upstream.protocol={protocol}"),
                format!("upstream.ca_file={}", ca.path("ca.pem").display()),
                "log.level=off".to_owned(),
            ];
            if let Some(me) = me {
                settings.push(format!("upstream.certificate_file={}", me.path("me.pem").display()));
                settings.push(format!("upstream.key_file={}", me.path("me.key").display()));
            }
            settings
        };
        let wrong = [
            with(&strangers, Some(&authority), "localhost"),
            with(&authority, Some(&authority), "127.0.0.1"),
            with(&authority, None, "localhost"),
            with(&authority, Some(&strangers), "localhost"),
        ];
        for (settings, number) in wrong.iter().zip(1..) {
            let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
            let server = Server::start_with(data.path(), &settings);
            send(&client, &server, number).await;
            // TLS 1.3 refuses clients after its handshake, and HTTP/2 does not always tell why it broke off.
            let name = if protocol == "grpc" && number > 2 { "failing" } else { "blocked" };
            let line = format!("\ntracelodge_upstream_{name}{{signal=\"traces\"}} 1\n");
            let said = |answer: &Answer| std::str::from_utf8(&answer.body).unwrap().contains(&line);
            client.until(&server.admin("/metrics"), said).await;
            assert!(stub.got().is_empty(), "{settings:?}");
            server.terminate();
        }
        let right = with(&authority, Some(&authority), "localhost");
        let settings: Vec<&str> = right.iter().map(String::as_str).collect();
        let _server = Server::start_with(data.path(), &settings);
        stub.until("everything arrives", |stub| stub.taken("traces").len() == 4).await;
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_at_the_start() {
    let (authority, data) = (Authority::new(), tempfile::tempdir().unwrap());
    std::fs::write(authority.path("empty.pem"), "").unwrap();
    for (file, words) in [("missing.pem", "missing.pem"), ("empty.pem", "there is no certificate in it")] {
        let ca_file = format!("upstream.ca_file={}", authority.path(file).display());
        let command = command(data.path(), &["upstream.endpoint=https://localhost", &ca_file]);
        let (code, said) = fails_to_start(command);
        assert_eq!(code, Some(1));
        assert!(said.contains("upstream.ca_file") && said.contains(words), "{said}");
    }
}
