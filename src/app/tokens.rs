//! Who may send, read and manage, where that is not everybody: requests must carry a token.
//!
//! A token is given as `Authorization: Bearer <token>`, or as the password of `Authorization: Basic`, which browsers ask
//! for and old clients of Jaeger have settings for. Nothing of what was given is ever shown or logged.
//!
//! Source: RFC 6750, section 2.1; RFC 7617.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use parking_lot::RwLock;
use subtle::{Choice, ConstantTimeEq as _};
use tokio::sync::Semaphore;

use super::{named_file, watched};
use crate::ingest::Counter;

/// The shortest token: what is shorter can be guessed.
const LEAST_CHARACTERS: usize = 16;

/// The largest file.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Who comes without a token, or with a wrong one, is told so after this …
const REFUSE_AFTER: Duration = Duration::from_millis(250);

/// … so many of them at a time; further ones are told at once.
const MAX_WAITING: usize = 64;

/// What they had begun to send is read on for this long …
const READ_ON_FOR: Duration = Duration::from_secs(5);

/// … up to so many bytes.
const MAX_READ_ON: usize = 64 << 20;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// To send spans.
    Ingest,
    /// To read them.
    Read,
    /// To manage the server.
    Admin,
}

impl Right {
    /// All there are.
    pub(super) const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Admin];

    /// Its name in numbers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// The setting that names the file of its tokens.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Ingest => "tokens.ingest_file",
            Self::Read => "tokens.read_file",
            Self::Admin => "tokens.admin_file",
        }
    }
}

/// The settings: the file of each right, in the order of [`Right::ALL`]. Without a file everybody has the right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(pub(super) [Option<PathBuf>; 3]);

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("read {key} = {}", path.display())]
    Read { key: &'static str, path: PathBuf, source: io::Error },
    #[error("use {key} = {}: others than its user and its group may read it; chmod o= mends that", path.display())]
    Readable { key: &'static str, path: PathBuf },
    #[error("use {key} = {}: {why}", path.display())]
    Unusable { key: &'static str, path: PathBuf, why: String },
}

impl Files {
    /// What this program shows to a server of the same settings: its first token, if it asks for any.
    pub(super) fn first(&self, right: Right) -> Result<Option<HeaderValue>, Error> {
        let Some(path) = &self.0[right as usize] else { return Ok(None) };
        let tokens = read(right.key(), path)?;
        let header = |token: &Token| HeaderValue::from_bytes(&[b"Bearer ", &*token.0].concat()).ok();
        let mut header = tokens.first().and_then(header);
        header.iter_mut().for_each(|header| header.set_sensitive(true));
        Ok(header)
    }

    /// Reads the files for the first time.
    pub(super) fn tokens(&self) -> Result<Arc<Tokens>, Error> {
        let mut tokens = Tokens::default();
        for right in Right::ALL {
            if let Some(path) = &self.0[right as usize] {
                tokens.of[right as usize] = Some(RwLock::new(read(right.key(), path)?));
            }
        }
        Ok(Arc::new(tokens))
    }

    /// Reads them again whenever they change; never ends. A file that cannot be used changes nothing.
    pub(super) async fn keep(self, tokens: Arc<Tokens>) {
        let files = self.0.iter().flatten().cloned().collect();
        watched::watch(files, || self.read_again(&tokens)).await;
    }

    fn read_again(&self, tokens: &Tokens) {
        for right in Right::ALL {
            let (Some(path), Some(list)) = (&self.0[right as usize], &tokens.of[right as usize]) else {
                continue;
            };
            match read(right.key(), path) {
                Ok(read) if are_same(&read, &list.read()) => {}
                Ok(read) => {
                    *list.write() = read;
                    tracing::info!("the tokens of {} are those of the changed file", right.key());
                }
                Err(error) => tracing::warn!(
                    error = &error as &(dyn std::error::Error + 'static),
                    "the tokens stay as they were"
                ),
            }
        }
    }
}

/// Whether one file says what the other did.
fn are_same(some: &[Token], others: &[Token]) -> bool {
    some.iter().map(|token| &token.0).eq(others.iter().map(|token| &token.0))
}

/// A secret: never shown.
#[derive(Clone)]
struct Token(Box<[u8]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// One to a line; lines that are empty or begin with `#` say nothing.
fn read(key: &'static str, path: &Path) -> Result<Vec<Token>, Error> {
    let failed = |source| Error::Read { key, path: path.to_owned(), source };
    let unusable = |why: String| Error::Unusable { key, path: path.to_owned(), why };
    let file = named_file::open(path).map_err(failed)?;
    // A group is how secrets are handed to a service that is nobody's login.
    if file.metadata().map_err(failed)?.permissions().mode() & 0o007 != 0 {
        return Err(Error::Readable { key, path: path.to_owned() });
    }
    let text = named_file::read(file, MAX_FILE_BYTES).map_err(failed)?;
    let text = String::from_utf8(text).map_err(|_| unusable("it is not text".to_owned()))?;
    let mut tokens = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let token = line.trim();
        if token.is_empty() || token.starts_with('#') {
            continue;
        }
        if token.len() < LEAST_CHARACTERS || !token.bytes().all(|letter| letter.is_ascii_graphic()) {
            let line = place + 1;
            return Err(unusable(format!(
                "line {line} is no token: write at least {LEAST_CHARACTERS} letters, digits and signs of ASCII"
            )));
        }
        tokens.push(Token(token.as_bytes().into()));
    }
    if tokens.is_empty() {
        return Err(unusable("there is no token in it".to_owned()));
    }
    Ok(tokens)
}

/// The tokens as they are now.
#[derive(Debug)]
pub(super) struct Tokens {
    of: [Option<RwLock<Vec<Token>>>; 3],
    /// Requests that were refused.
    pub(super) refused: [Counter; 3],
    waiting: Semaphore,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { of: Default::default(), refused: Default::default(), waiting: Semaphore::new(MAX_WAITING) }
    }
}

/// Says which right a request needs, if any.
type Needed = fn(&Method, &str) -> Option<Right>;

impl Tokens {
    /// Whether this right is not everybody's.
    pub(super) fn are_asked_for(&self, right: Right) -> bool {
        self.of[right as usize].is_some()
    }

    /// Puts the question before everything the router does.
    pub(super) fn guard(self: &Arc<Self>, router: Router, needed: Needed) -> Router {
        router.layer(middleware::from_fn_with_state((Arc::clone(self), needed), ask))
    }

    /// Whether a request may do this. All tokens are compared, however many are alike, so that the time tells nothing but how
    /// long they are.
    fn allow(&self, right: Right, headers: &HeaderMap) -> bool {
        let Some(tokens) = &self.of[right as usize] else { return true };
        let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| given(value.as_bytes())) else {
            return false;
        };
        let tokens = tokens.read();
        let same = tokens.iter().fold(Choice::from(0), |same, token| same | token.0.ct_eq(&given));
        same.into()
    }
}

/// The token, or the password, that a header gives.
fn given(value: &[u8]) -> Option<Vec<u8>> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

async fn ask(
    State((tokens, needed)): State<(Arc<Tokens>, Needed)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(right) = needed(request.method(), request.uri().path()) else { return next.run(request).await };
    if tokens.allow(right, request.headers()) {
        return next.run(request).await;
    }
    tokens.refused[right as usize].add(1);
    if let Ok(_place) = tokens.waiting.try_acquire() {
        tokio::time::sleep(REFUSE_AFTER).await;
    }
    let (head, body) = request.into_parts();
    // Who waits to be asked for a body has none under way.
    if !head.headers.contains_key(header::EXPECT) && !body.is_end_stream() {
        drop(tokio::spawn(tokio::time::timeout(READ_ON_FOR, read_on(body))));
    }
    refusal(right, &head.headers)
}

/// Keeps nothing: a client that is cut off while it writes never sees why it was refused.
async fn read_on(mut body: Body) {
    let mut left = MAX_READ_ON;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(less) = left.checked_sub(length) else { return };
        left = less;
    }
}

fn refusal(right: Right, headers: &HeaderMap) -> Response {
    let key = right.key();
    let message = format!("this needs a token of {key}: send it as Authorization: Bearer, or as a password");
    let kind = headers.get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        return tonic::Status::unauthenticated(message).into_http::<Body>();
    }
    let mut response = (StatusCode::UNAUTHORIZED, format!("{message}\n")).into_response();
    // Browsers ask for a password where Basic comes first.
    for scheme in ["Basic realm=\"tracelodge\", charset=\"UTF-8\"", "Bearer realm=\"tracelodge\""] {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    response
}

/// What needs which right. What is not asked for a token: preflights of browsers, which carry none; health and reflection;
/// and how much to sample, because those who ask for that cannot give one.
pub(super) mod needed {
    use http::Method;

    use super::Right;

    /// OTLP.
    pub(in crate::app) fn by_receivers(method: &Method, _path: &str) -> Option<Right> {
        (method != Method::OPTIONS).then_some(Right::Ingest)
    }

    /// Jaeger's collector over gRPC.
    pub(in crate::app) fn by_jaeger_grpc(_method: &Method, path: &str) -> Option<Right> {
        let is_sampling = path.starts_with("/jaeger.api_v2.SamplingManager/");
        (!is_sampling && !is_about_itself(path)).then_some(Right::Ingest)
    }

    /// Jaeger's collector over HTTP.
    pub(in crate::app) fn by_jaeger_http(method: &Method, _path: &str) -> Option<Right> {
        (method == Method::POST).then_some(Right::Ingest)
    }

    /// Zipkin.
    pub(in crate::app) fn by_zipkin(method: &Method, path: &str) -> Option<Right> {
        match *method {
            Method::OPTIONS => None,
            Method::POST => Some(Right::Ingest),
            _ => (!matches!(path, "/health" | "/actuator/health")).then_some(Right::Read),
        }
    }

    /// Jaeger's storage: a Jaeger carries one token, which may stand in both files.
    pub(in crate::app) fn by_storage(_method: &Method, path: &str) -> Option<Right> {
        let is_write = path.contains("WriterPlugin/") || path.ends_with(".TraceService/Export");
        if is_about_itself(path) { None } else { Some(if is_write { Right::Ingest } else { Right::Read }) }
    }

    /// Jaeger's queries over gRPC.
    pub(in crate::app) fn by_query(_method: &Method, path: &str) -> Option<Right> {
        (!is_about_itself(path)).then_some(Right::Read)
    }

    /// The page, and what answers over HTTP beside it.
    pub(in crate::app) fn by_page(_method: &Method, _path: &str) -> Option<Right> {
        Some(Right::Read)
    }

    /// Health and metrics.
    pub(in crate::app) fn by_admin(_method: &Method, path: &str) -> Option<Right> {
        let is_probe = matches!(path, "/" | "/livez" | "/readyz" | "/healthz");
        (!is_probe).then_some(Right::Admin)
    }

    /// `grpc.health.v1` and reflection.
    fn is_about_itself(path: &str) -> bool {
        path.starts_with("/grpc.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "the-old-token-0123456789";
    const NEW: &str = "the-new-token-0123456789";

    #[tokio::test]
    async fn a_token_that_is_replaced_while_the_program_starts_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("read");
        let write = |token: &str| {
            std::fs::write(&path, token).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        };
        write(OLD);
        let files = Files([None, Some(path.clone()), None]);
        let tokens = files.tokens().unwrap();
        write(NEW);
        let keeping = tokio::time::timeout(Duration::from_millis(1), files.keep(Arc::clone(&tokens)));
        keeping.await.expect_err("it never ends");
        for (token, is_allowed) in [(OLD, false), (NEW, true)] {
            let header = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, header)]);
            assert_eq!(tokens.allow(Right::Read, &headers), is_allowed, "{token}");
        }
    }
}
