//! The page: files that were put into the program when it was built.
//!
//! Files under `/assets/` carry a hash of their content in their name and never change; everything else is asked
//! for again, which the ETag makes cheap. A file that has a `.br` or `.gz` sibling is sent packed to those who
//! take that.

use std::fmt::Write as _;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, Uri};
use rust_embed::{EmbeddedFile, RustEmbed};

/// What the build put into `$OUT_DIR/ui`.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/ui"]
struct Files;

/// Content codings and the ending of a file packed that way, the better first.
const PACKED: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

const NOT_FOUND: &str = "<!doctype html><html lang=\"en\"><title>Not found</title>\
     <h1>There is no such page</h1><p><a href=\"/\">To the traces</a></p></html>\n";

/// The page itself, which finds out from the address what to show.
pub(super) async fn page(headers: HeaderMap) -> Response {
    file("index.html", &headers).unwrap_or_else(not_found)
}

/// A file of the page, or a page that says there is none.
pub(super) fn file_or_not_found(uri: &Uri, headers: &HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    // Packed siblings are a way to send a file, not files of their own.
    let is_packed = PACKED.iter().any(|(_, ending)| path.ends_with(ending));
    if is_packed { None } else { file(path, headers) }.unwrap_or_else(not_found)
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], NOT_FOUND).into_response()
}

fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
    let plain = Files::get(path)?;
    let content_type = content_type(&plain);
    let (coding, file) = packed(path, headers).map_or((None, plain), |(coding, file)| (Some(coding), file));
    let tag = entity_tag(&file);
    let mut response = if is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(file.data).into_response()
    };
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, content_type);
    fields.insert(header::ETAG, tag);
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    fields.insert(header::CACHE_CONTROL, if path.starts_with("assets/") { IMMUTABLE } else { ASK_AGAIN });
    fields.extend(coding.map(|coding| (header::CONTENT_ENCODING, HeaderValue::from_static(coding))));
    Some(response)
}

/// The packed sibling that the asker takes.
fn packed(path: &str, headers: &HeaderMap) -> Option<(&'static str, EmbeddedFile)> {
    PACKED
        .into_iter()
        .filter(|(coding, _)| accepts(headers, coding))
        .find_map(|(coding, ending)| Some((coding, Files::get(&format!("{path}{ending}"))?)))
}

/// Whether the asker takes a content coding (RFC 9110, section 12.5.3; `*` is not looked at).
pub(super) fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let listed = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|value| value.split(',')).any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(coding) && !refused
    })
}

fn content_type(file: &EmbeddedFile) -> HeaderValue {
    let kind = file.metadata.mimetype();
    let text = if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind.to_owned() };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// The content's hash; 16 of its 32 bytes tell all versions apart.
fn entity_tag(file: &EmbeddedFile) -> HeaderValue {
    let mut tag = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        // Writing to a String cannot fail.
        let _infallible = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static(""))
}

fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let listed = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    listed
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/").as_bytes() == tag)
}
