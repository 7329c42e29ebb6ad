//! `[upstream]`: where everything accepted is forwarded to.

use super::{Error, Reader};
use crate::buffer::StartAt;
use crate::ingest::Signal;
use crate::upstream::{self, Compression, Endpoint, EndpointError, Protocol};

/// The other server, and how forwarding there goes.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Where and how to send.
    pub client: upstream::Settings,
    /// What is sent; the others stay here.
    pub signals: Vec<Signal>,
    /// What is sent first, where nothing was ever forwarded.
    pub start: StartAt,
    /// The bound on bytes per second; 0 is none.
    pub max_bytes_per_second: u64,
}

/// `None` without an endpoint; everything else is checked all the same.
pub(super) fn read(read: &Reader<'_>) -> Result<Option<Upstream>, Error> {
    let protocol = match read.one_of("upstream.protocol", &["http", "grpc"])?.as_str() {
        "grpc" => Protocol::Grpc,
        _ => Protocol::Http,
    };
    let compression = match read.one_of("upstream.compression", &["gzip", "zstd", "none"])?.as_str() {
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    };
    let start = match read.one_of("upstream.start", &["oldest", "latest"])?.as_str() {
        "latest" => StartAt::Latest,
        _ => StartAt::Oldest,
    };
    // Whatever is wrong with headers, it is not shown: they are secrets.
    let texts = read
        .texts("upstream.headers")
        .map_err(|_shown| unshown("upstream.headers", EndpointError::NotAHeader))?;
    let headers = upstream::headers(texts.iter().map(String::as_str))
        .map_err(|error| unshown("upstream.headers", error))?;
    let timeout = read.duration("upstream.timeout")?;
    let max_bytes_per_second = read.size_or_none("upstream.max_bytes_per_second")?;
    let signals = signals(read)?;
    let ca_file = read.file("upstream.ca_file")?;
    let identity = read.identity("upstream.certificate_file", "upstream.key_file")?;
    let Some(endpoint) = endpoint(read, protocol)? else { return Ok(None) };
    if !endpoint.is_encrypted() && (ca_file.is_some() || identity.is_some()) {
        let why = "write https:// before it, or leave ca_file, certificate_file and key_file empty";
        return Err(read.wrong("upstream.endpoint", why));
    }
    let client = upstream::Settings { endpoint, headers, compression, timeout, ca_file, identity };
    Ok(Some(Upstream { client, signals, start, max_bytes_per_second }))
}

fn endpoint(read: &Reader<'_>, protocol: Protocol) -> Result<Option<Endpoint>, Error> {
    const KEY: &str = "upstream.endpoint";
    let text = read.text(KEY)?;
    if text.is_empty() {
        return Ok(None);
    }
    Endpoint::parse(&text, protocol).map(Some).map_err(|error| match error {
        EndpointError::Credentials | EndpointError::Query => unshown(KEY, error),
        error => read.wrong(KEY, error.to_string()),
    })
}

fn signals(read: &Reader<'_>) -> Result<Vec<Signal>, Error> {
    const KEY: &str = "upstream.signals";
    let wrong = || read.wrong(KEY, "write some of traces, logs, metrics");
    let named =
        |name: &String| Signal::ALL.into_iter().find(|signal| signal.name() == name).ok_or_else(wrong);
    let signals: Vec<Signal> = read.texts(KEY)?.iter().map(named).collect::<Result<_, _>>()?;
    if signals.is_empty() { Err(wrong()) } else { Ok(signals) }
}

fn unshown(key: &str, why: EndpointError) -> Error {
    Error::Value { key: key.to_owned(), value: "…".to_owned(), why: why.to_string() }
}
