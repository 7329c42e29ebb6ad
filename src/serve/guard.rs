//! The first layer of every door that a browser can reach: who may be asked by which name, and by whose page.
//!
//! A page from the internet can send requests to this machine, and by rebinding a name it owns to a local address
//! it can read the answers. Three rules stand against that:
//!
//! * the `Host` must be one that nobody outside can point here: an address, a name without a dot, `localhost` and
//!   names under it, or one of the setting `doors.allowed_hosts`;
//! * whatever is not read-only must come from a page of this door, told by `Origin` and `Sec-Fetch-Site`, which
//!   pages cannot forge; programs send neither and are not affected;
//! * answers name what the page may load (Content-Security-Policy), and no answer allows other origins (no CORS).
//!
//! Source: Fetch standard; Fetch Metadata; MDN, "DNS rebinding".

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;

/// What a page of ours may do: load its own script and style, talk to its own door.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Set on every answer.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// What is answered when the program itself is wrong.
pub(super) const DEFECT: &str = "a defect was met while answering; the log has the details\n";

/// The names a door may be asked by beside those that are always safe.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts(Arc<[String]>);

/// Why an entry of `doors.allowed_hosts` would allow nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a host's name alone, such as traces.example.org or *.example.org")]
pub struct InvalidHost(String);

impl AllowedHosts {
    /// Names without scheme and port, in any case; `*.example.org` stands for every name below `example.org`.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, InvalidHost> {
        let read = |name: S| {
            let name = name.as_ref();
            if is_host(name) { Ok(name.to_ascii_lowercase()) } else { Err(InvalidHost(shortened(name))) }
        };
        names.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a door may be asked by this name or address (without a port).
    pub fn allow(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        is_address(host) || is_local_name(host) || self.names(host)
    }

    fn names(&self, host: &str) -> bool {
        self.0.iter().any(|name| match name.strip_prefix('*') {
            Some(below) => below.starts_with('.') && host.ends_with(below),
            None => host == name,
        })
    }
}

/// A name or an address, or `*.` before a name.
fn is_host(entry: &str) -> bool {
    let name = entry.strip_prefix("*.").unwrap_or(entry);
    let is_strange = |letter: char| letter.is_whitespace() || "/:@*?#\\".contains(letter);
    is_address(name) || !(name.is_empty() || name.starts_with('.') || name.contains(is_strange))
}

/// An address cannot be rebound: there is no name to point elsewhere.
fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

/// Names that only this machine, or the network it stands in, can give a meaning.
fn is_local_name(host: &str) -> bool {
    // What is left with a colon is no name with a port, hence no name.
    let is_name = !host.is_empty() && !host.contains(':');
    is_name && (!host.contains('.') || host.ends_with(".localhost"))
}

/// Puts the rules before everything the router does, and its headers on every answer.
pub fn protect(router: Router, hosts: AllowedHosts) -> Router {
    router
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| answer_panic(&*panic)))
        .layer(middleware::from_fn_with_state(hosts, refuse_strangers))
        .layer(middleware::map_response(add_headers))
}

/// Of the rules only that reading is asked for by an allowed name, and the headers: for what stands before a protected
/// router, or beside one that takes what pages send.
pub fn named(router: Router, hosts: AllowedHosts) -> Router {
    router.layer(middleware::from_fn_with_state(hosts, refuse_strange_readers))
}

async fn refuse_strange_readers(State(hosts): State<AllowedHosts>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return add_headers(refuse_strangers(State(hosts), request, next).await).await;
    }
    // What a page of another origin may send, its browser must be let have the answer of.
    next.run(request).await
}

/// For what only programs ask, and anybody may know: asked by any name, and not by pages. One that has pointed a name of its
/// own here is not told from a program, and learns what it asks for.
pub fn for_programs(router: Router) -> Router {
    router
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| answer_panic(&*panic)))
        .layer(middleware::from_fn(refuse_pages))
        .layer(middleware::map_response(add_headers))
}

async fn refuse_pages(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site");
    // Who types an address comes from no page.
    let is_of_a_page = site.is_some_and(|site| site != "none");
    if is_of_a_page || request.headers().contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "this is not for web pages\n").into_response();
    }
    next.run(request).await
}

fn answer_panic(panic: &(dyn std::any::Any + Send)) -> Response {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    let message = owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = message, "a request failed by a defect");
    (StatusCode::INTERNAL_SERVER_ERROR, DEFECT).into_response()
}

async fn refuse_strangers(State(hosts): State<AllowedHosts>, request: Request, next: Next) -> Response {
    match check(&hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            // The asker is told; strangers do not get to fill the log.
            tracing::debug!(%refusal, "a request was refused");
            (StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response()
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("this server is not asked by the name '{0}': add it to the setting doors.allowed_hosts")]
    Host(String),
    #[error("a page of '{0}' may not change anything here: add its host to the setting doors.allowed_hosts")]
    Origin(String),
    #[error("a page of another site may not change anything here")]
    Site,
}

fn check<B>(hosts: &AllowedHosts, request: &http::Request<B>) -> Result<(), Refusal> {
    let asked = authorities(request);
    if let Some(stranger) = asked.iter().find(|authority| !hosts.allow(host_of(authority))) {
        return Err(Refusal::Host(shortened(stranger)));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    check_page(hosts, request.headers(), &asked)
}

/// The names the request says it is for: HTTP/2 says it in the target, HTTP/1 in `Host`, some say both.
fn authorities<B>(request: &http::Request<B>) -> Vec<String> {
    let target = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let hosts = request.headers().get_all(header::HOST).iter();
    target
        .into_iter()
        .chain(hosts.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()))
        .collect()
}

/// Without user and port. What is no authority is taken whole, and then allowed by no rule unless it is a plain
/// name.
fn host_of(authority: &str) -> &str {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

fn check_page(hosts: &AllowedHosts, headers: &HeaderMap, asked: &[String]) -> Result<(), Refusal> {
    for origin in headers.get_all(header::ORIGIN) {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        if !is_own_origin(hosts, &origin, asked) {
            return Err(Refusal::Origin(shortened(&origin)));
        }
    }
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site == Some(b"cross-site") { Err(Refusal::Site) } else { Ok(()) }
}

/// The page came from the door it now asks, or from a host that was named as ours (a proxy may change `Host`).
fn is_own_origin(hosts: &AllowedHosts, origin: &str, asked: &[String]) -> bool {
    let Some(authority) = origin.split_once("://").and_then(|(_, rest)| rest.parse::<Authority>().ok())
    else {
        return false;
    };
    let is_asked = asked.iter().any(|asked| asked.eq_ignore_ascii_case(authority.as_str()));
    is_asked || hosts.names(&authority.host().to_ascii_lowercase())
}

fn shortened(text: &str) -> String {
    text.chars().take(128).collect()
}

async fn add_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> http::Request<()> {
        let mut request = http::Request::builder().method(method).uri("/api/archive/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_door_is_asked_by_names_that_cannot_be_rebound() {
        let hosts = AllowedHosts::new(["Traces.Example.org", "*.lodge.example"]).unwrap();
        let allowed = [
            "localhost",
            "LOCALHOST:16686",
            "app.localhost:1",
            "127.0.0.1",
            "127.0.0.1:16686",
            "[::1]",
            "[::1]:16686",
            "tracelodge:16686",
            "localhost.",
            "traces.example.org",
            "a.lodge.example:80",
            "10.1.2.3:80",
        ];
        for host in allowed {
            assert_eq!(check(&hosts, &request("GET", &[("host", host)])), Ok(()), "{host}");
        }
        let refused = [
            "evil.example",
            "evil.example:16686",
            "localhost.evil.example",
            "traces.example.org.evil.example",
            "lodge.example",
            "127.0.0.1.evil.example",
            "",
            ":80",
            "user@evil.example",
            "127.1",
            "evil.example:a.localhost",
            "evil:example",
        ];
        for host in refused {
            let refusal = check(&hosts, &request("GET", &[("host", host)]));
            assert_eq!(refusal, Err(Refusal::Host(host.to_owned())), "{host}");
        }
        assert!(Refusal::Host("evil.example".into()).to_string().contains("doors.allowed_hosts"));
    }

    #[test]
    fn a_setting_that_could_never_match_is_refused() {
        let refused = [
            "",
            "traces.example.org:16686",
            "https://traces.example.org",
            "traces.example.org/",
            "user@traces.example.org",
            "traces.*.org",
            "*",
            "*.",
            ".example.org",
            "a b",
            "[::1]:80",
        ];
        for entry in refused {
            assert_eq!(
                AllowedHosts::new(["localhost", entry]).err(),
                Some(InvalidHost(entry.into())),
                "{entry}"
            );
        }
        for entry in ["traces.example.org", "*.example.org", "10.0.0.1", "[::1]", "::1", "na\u{ef}ve.example"]
        {
            assert!(AllowedHosts::new([entry]).is_ok(), "{entry}");
        }
    }

    #[test]
    fn every_name_a_request_gives_must_be_allowed() {
        let hosts = AllowedHosts::default();
        let both = http::Request::builder()
            .uri("http://evil.example/")
            .header("host", "localhost")
            .body(())
            .unwrap();
        assert!(check(&hosts, &both).is_err());
        assert!(check(&hosts, &request("GET", &[("host", "localhost"), ("host", "evil.example")])).is_err());
        assert_eq!(check(&hosts, &request("GET", &[])), Ok(()), "no browser leaves the name out");
    }

    #[test]
    fn only_pages_of_this_door_may_change_something() {
        let hosts = AllowedHosts::new(["traces.example.org"]).unwrap();
        let host = ("host", "localhost:16686");
        let allowed: [&[(&str, &str)]; 5] = [
            &[host],
            &[host, ("origin", "http://localhost:16686"), ("sec-fetch-site", "same-origin")],
            &[host, ("origin", "https://traces.example.org")],
            &[host, ("sec-fetch-site", "none")],
            &[("host", "[::1]:16686"), ("origin", "http://[::1]:16686")],
        ];
        for headers in allowed {
            assert_eq!(check(&hosts, &request("POST", headers)), Ok(()), "{headers:?}");
        }
        let refused: [&[(&str, &str)]; 5] = [
            &[host, ("origin", "http://evil.example")],
            &[host, ("origin", "http://localhost:3000")],
            &[host, ("origin", "null")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("origin", "http://localhost:16686"), ("origin", "http://evil.example")],
        ];
        for headers in refused {
            for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
                assert!(check(&hosts, &request(method, headers)).is_err(), "{method} {headers:?}");
            }
            assert_eq!(
                check(&hosts, &request("GET", headers)),
                Ok(()),
                "reading gives nothing away without CORS"
            );
        }
    }
}
