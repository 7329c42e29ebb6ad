//! Another process of this program, asked over HTTP, with TLS and a token where its door wants them.

use std::error::Error;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;

use super::Config;
use super::tls::trusting;
use super::tokens::Right;
use crate::upstream;

/// A server on this machine is there at once; one far away has this long to be reached.
const REACH_WITHIN: Duration = Duration::from_secs(10);

/// The first bytes of an answer come within this: a block may have to be finished before.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Bytes of a refusal that are read.
const MAX_SAID: usize = 4 << 10;

/// Runs what waits for answers.
pub(super) fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start its threads")?.block_on(work)
}

/// The admin door of a server, how it is known, and what it is shown.
pub(super) struct Door {
    /// With its scheme.
    address: String,
    tls: ClientConfig,
    token: Token,
}

/// What a server is shown.
#[derive(Debug)]
pub(super) enum Token {
    /// This command has none of this right.
    Missing(Right),
    Shown(HeaderValue),
    /// Everybody on the way could read it.
    Withheld,
}

impl Token {
    /// The first one of this right, for a server at an address with its scheme: without TLS only if it is on this machine.
    pub(super) fn first(right: Right, config: &Config, address: &str) -> anyhow::Result<Self> {
        Ok(match config.tokens.first(right)? {
            None => Self::Missing(right),
            Some(token) if known_only_to_both(address) => Self::Shown(token),
            Some(_) => Self::Withheld,
        })
    }

    /// What to do when the server wants one.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::Missing(right) => {
                format!("; this command shows the first one of its own {}", right.key())
            }
            Self::Withheld => {
                "; this command shows its token only to this machine or within TLS: write https:// before the address"
                    .to_owned()
            }
            Self::Shown(_) => String::new(),
        }
    }
}

impl Door {
    /// At `address`, such as `localhost:14269` or `https://tracing.example:14269`. A server of these settings is known by its
    /// certificate, and is shown the first of its tokens; without TLS only if it is on this machine.
    pub(super) fn new(address: &str, config: &Config) -> anyhow::Result<Self> {
        let address = address.trim_end_matches('/');
        let address = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let known = config.tls.as_ref().filter(|_| address.starts_with("https://"));
        let token = Token::first(Right::Admin, config, &address)?;
        Ok(Self { tls: trusting(known)?, token, address })
    }

    /// Sends a request without a body; an answer that is not a success is an error in the server's words.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
    ) -> anyhow::Result<Response<impl Body<Data = Bytes, Error = impl Error + Send + Sync + 'static> + Unpin>>
    {
        let address = self.shown();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.address));
        if let Token::Shown(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Empty::<Bytes>::new()).with_context(|| format!("ask {address}"))?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.client().request(request)).await;
        let answer = answer.with_context(|| format!("have an answer of {address} in time"))?;
        let answer = answer.map_err(|error| self.in_words(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let said = Limited::new(answer.into_body(), MAX_SAID).collect().await;
        let said = said.map(|said| said.to_bytes()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let advice = if status == StatusCode::UNAUTHORIZED { self.token.advice() } else { String::new() };
        bail!("have it done by {address}: HTTP {}: {}{advice}", status.as_u16(), said.trim());
    }

    fn client(&self) -> Client<HttpsConnector<HttpConnector>, Empty<Bytes>> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(REACH_WITHIN));
        connector.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http();
        Client::builder(TokioExecutor::new()).build(builder.enable_http1().wrap_connector(connector))
    }

    /// Its address as people give it.
    pub(super) fn shown(&self) -> &str {
        self.address.strip_prefix("http://").unwrap_or(&self.address)
    }

    fn in_words(&self, error: hyper_util::client::legacy::Error) -> anyhow::Error {
        use rustls::{AlertDescription, Error as Tls};
        let what = match upstream::tls_failure(&error) {
            Some(Tls::AlertReceived(AlertDescription::CertificateRequired)) => {
                "; it asks for certificates (tls.client_ca_file) and this command has none to show: leave \"admin\" out of \
                 its tls.doors, or ask with curl --cert"
            }
            Some(Tls::InvalidCertificate(_)) => {
                "; trusted are the certificate of its own tls.certificate_file and whom this machine trusts"
            }
            Some(_) => "; does that door speak TLS?",
            None => "",
        };
        anyhow::Error::new(error).context(format!("reach a server at {}{what}", self.shown()))
    }
}

/// Whether nobody on the way can read what is said: there is TLS, or no way, since an address of this machine is asked.
fn known_only_to_both(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else { return false };
    if uri.scheme() == Some(&Scheme::HTTPS) {
        return true;
    }
    let host = uri.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    // Only at addresses of one's own can one wait.
    ip.map_or(host == "localhost", |ip| UdpSocket::bind((ip, 0)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leaves_this_machine_only_within_tls() {
        let cases = [
            ("http://localhost:14269", true),
            ("http://127.0.0.1:14269", true),
            ("http://[::1]:14269", true),
            ("https://traces.example.org:14269", true),
            ("https://192.0.2.1", true),
            ("http://traces.example.org:14269", false),
            ("http://localhost@traces.example.org:14269", false),
            ("http://localhost.example.org:14269", false),
            ("http://192.0.2.1:14269", false),
            ("http://[2001:db8::1]:14269", false),
        ];
        for (address, expected) in cases {
            assert_eq!(known_only_to_both(address), expected, "{address}");
        }
    }
}
