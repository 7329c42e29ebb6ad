//! Addresses and headers of another server, as people write them.

use std::fmt;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::ingest::Signal;

/// How OTLP is spoken to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC; without TLS by prior knowledge of HTTP/2.
    Grpc,
    /// Protobuf in HTTP/1.1, or in HTTP/2 where TLS agrees on it.
    Http,
}

/// Why an address or a header cannot be used. Reads as advice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum EndpointError {
    /// Not an address at all.
    #[error("write an address such as http://gateway:4318 or https://otlp.example.org")]
    NotAnAddress,
    /// Not one that sockets have; without this the scheme's would be taken.
    #[error("write its port as a number from 1 to 65535")]
    Port,
    /// Something that would be lost, and may be a secret.
    #[error("write it without '?' or '#' and what follows; put keys into upstream.headers")]
    Query,
    /// It would be shown in logs.
    #[error("write it without user and password, and put them into upstream.headers")]
    Credentials,
    /// gRPC's paths are given.
    #[error("write it without the path '{path}': gRPC has its own")]
    Path { path: String },
    /// The signal is ours to append.
    #[error("write it without '/v1/{signal}': that is appended")]
    SignalPath { signal: &'static str },
    /// Not a pair.
    #[error("write each header as name=value")]
    NotAHeader,
    /// A name with characters that it cannot have: it may be more than a name, and is not shown.
    #[error("write each header as name=value; a name has no spaces and no ':'")]
    BadHeaderName,
    /// A value with characters that it cannot have.
    #[error("the value of '{name}' has characters that headers cannot have")]
    BadHeaderValue { name: String },
    /// One that the protocol gives.
    #[error("'{name}' is set by the protocol itself")]
    OwnHeader { name: String },
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    protocol: Protocol,
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    path: String,
}

impl Endpoint {
    /// From an address with `http` or `https`.
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, EndpointError> {
        // Before anything else, so that no other complaint shows a secret.
        if text.contains('@') {
            return Err(EndpointError::Credentials);
        }
        if text.contains(['?', '#']) {
            return Err(EndpointError::Query);
        }
        let uri: Uri = text.parse().map_err(|_not_a_uri| EndpointError::NotAnAddress)?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(EndpointError::NotAnAddress);
        };
        if (scheme != Scheme::HTTP && scheme != Scheme::HTTPS) || authority.host().is_empty() {
            return Err(EndpointError::NotAnAddress);
        }
        if !is_port_or_nothing(&authority.as_str()[authority.host().len()..]) {
            return Err(EndpointError::Port);
        }
        let given = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let path = given.path().trim_end_matches('/').to_owned();
        if protocol == Protocol::Grpc && !path.is_empty() {
            return Err(EndpointError::Path { path });
        }
        let doubled =
            Signal::ALL.into_iter().find(|signal| path.ends_with(&format!("/v1/{}", signal.name())));
        if let Some(signal) = doubled {
            return Err(EndpointError::SignalPath { signal: signal.name() });
        }
        Ok(Self { protocol, scheme, authority, path })
    }

    /// How it is spoken to.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Its host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// Its port, or the scheme's.
    pub fn port(&self) -> u16 {
        let usual = if self.is_encrypted() { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(usual)
    }

    /// Whether TLS is spoken.
    pub fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Where a path below it is.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, http::Error> {
        let path = format!("{}{path}", self.path);
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }
}

fn is_port_or_nothing(text: &str) -> bool {
    let is_port = |digits: &str| digits.parse::<u16>().is_ok_and(|port| port > 0);
    text.is_empty() || text.strip_prefix(':').is_some_and(is_port)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

/// Headers from texts such as `authorization=Bearer abc`. Their values are marked so that nothing shows them.
pub fn headers<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<HeaderMap, EndpointError> {
    let mut headers = HeaderMap::new();
    for text in texts {
        let (name, value) = text.split_once('=').ok_or(EndpointError::NotAHeader)?;
        let (name, value) = (name.trim(), value.trim());
        let header = HeaderName::try_from(name).map_err(|_not_a_name| EndpointError::BadHeaderName)?;
        if is_our_own(&header) {
            return Err(EndpointError::OwnHeader { name: name.to_owned() });
        }
        let mut value = HeaderValue::try_from(value)
            .map_err(|_not_a_value| EndpointError::BadHeaderValue { name: name.to_owned() })?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(headers)
}

fn is_our_own(name: &HeaderName) -> bool {
    let own = [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::HOST,
        header::TE,
        header::USER_AGENT,
    ];
    own.contains(name) || name.as_str().starts_with("grpc-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_where_each_signal_goes() {
        use Protocol::{Grpc, Http};
        let cases = [
            ("http://gateway:4318", Http, "http://gateway:4318/v1/logs", ("gateway", 4318)),
            ("http://gateway:4318/", Http, "http://gateway:4318/v1/logs", ("gateway", 4318)),
            (
                "https://otlp.example.org/otlp/",
                Http,
                "https://otlp.example.org/otlp/v1/logs",
                ("otlp.example.org", 443),
            ),
            ("HTTP://[::1]:4317", Grpc, "http://[::1]:4317/v1/logs", ("::1", 4317)),
            ("http://10.0.0.1", Grpc, "http://10.0.0.1/v1/logs", ("10.0.0.1", 80)),
        ];
        for (text, protocol, logs, (host, port)) in cases {
            let endpoint = Endpoint::parse(text, protocol).unwrap();
            assert_eq!(endpoint.uri("/v1/logs").unwrap().to_string(), logs);
            assert_eq!((endpoint.host(), endpoint.port()), (host, port));
        }
    }

    #[test]
    fn a_wrong_address_hears_what_would_be_right() {
        use Protocol::{Grpc, Http};
        let cases = [
            (
                "gateway:4318",
                Http,
                "write an address such as http://gateway:4318 or https://otlp.example.org",
            ),
            ("gateway", Http, "write an address such as http://gateway:4318 or https://otlp.example.org"),
            (
                "ftp://gateway",
                Http,
                "write an address such as http://gateway:4318 or https://otlp.example.org",
            ),
            ("/v1/traces", Http, "write an address such as http://gateway:4318 or https://otlp.example.org"),
            (
                "http://a/?key=1",
                Http,
                "write it without '?' or '#' and what follows; put keys into upstream.headers",
            ),
            ("http://gateway:99999", Http, "write its port as a number from 1 to 65535"),
            ("http://gateway:43l8", Http, "write its port as a number from 1 to 65535"),
            ("http://gateway:", Http, "write its port as a number from 1 to 65535"),
            ("http://gateway:0", Grpc, "write its port as a number from 1 to 65535"),
            ("https://[::1]:99999", Grpc, "write its port as a number from 1 to 65535"),
            (
                "http://:4318",
                Http,
                "write an address such as http://gateway:4318 or https://otlp.example.org",
            ),
            (
                "http://me:secret@a",
                Http,
                "write it without user and password, and put them into upstream.headers",
            ),
            ("http://a:4318/v1/traces", Http, "write it without '/v1/traces': that is appended"),
            ("http://a:4317/otlp", Grpc, "write it without the path '/otlp': gRPC has its own"),
        ];
        for (text, protocol, expected) in cases {
            assert_eq!(Endpoint::parse(text, protocol).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn headers_are_pairs_and_never_shown() {
        let pairs = headers(["authorization=Basic YTpi==", "x-tenant = one", "x-tenant=two"]).unwrap();
        assert_eq!(pairs["authorization"], "Basic YTpi==");
        assert_eq!(pairs.get_all("x-tenant").iter().count(), 2);
        assert!(!format!("{pairs:?}").contains("YTpi"), "{pairs:?}");
        for (text, name) in [
            ("authorization", "name=value"),
            ("a b=c", "a name has no spaces"),
            ("authorization: Bearer c2VjcmV0PQ==", "a name has no spaces and no ':'"),
            ("=c", "a name has"),
            ("a=b\u{7}", "the value of 'a' has characters"),
            ("a=\n", ""),
            ("Content-Type=x", "'Content-Type' is set by the protocol itself"),
            ("grpc-timeout=1S", "'grpc-timeout' is set"),
        ] {
            match headers([text]) {
                Err(error) => assert!(error.to_string().contains(name), "{text}: {error}"),
                // White space around a value is nobody's.
                Ok(pairs) => assert_eq!((text, pairs["a"].as_bytes()), ("a=\n", &b""[..])),
            }
        }
    }
}
