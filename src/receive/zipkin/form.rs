//! What a list of spans is said to be, and what it looks like.

use axum::http::{HeaderMap, header};

use crate::receive::body::Coding;
use crate::receive::media_type;
use crate::receive::plain::shortened;
use crate::translate::zipkin::{Format, sniff};

/// The version in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Version {
    /// The form that the content type declares, or why it is not taken.
    ///
    /// Zipkin takes everything that is none of its types for JSON. That holds here but for what a page of any site may
    /// send without asking (Fetch, "CORS-safelisted request-header"): no client does. One exception is plain text, the type
    /// of a beacon that is a string, by which OpenTelemetry's exporter sends from pages; `receive::pages` judges
    /// which pages.
    pub(super) fn declared(self, headers: &HeaderMap) -> Result<Format, String> {
        let media_type = media_type(headers);
        match (media_type.as_str(), self) {
            ("", _) if headers.contains_key(header::ORIGIN) => {
                Err(format!("a page says what it sends: {}", self.types()))
            }
            ("application/x-protobuf" | "application/protobuf", Self::Two) => Ok(Format::Protobuf),
            ("application/x-thrift", Self::One) => Ok(Format::Thrift),
            ("application/x-protobuf" | "application/protobuf" | "application/x-thrift", _) => {
                Err(format!("content type '{media_type}' is not {}", self.types()))
            }
            (simple, _) if is_simple(simple) => {
                Err(format!("content type '{}' is not {}", shortened(simple), self.types()))
            }
            (_, Self::One) => Ok(Format::JsonV1),
            (_, Self::Two) => Ok(Format::JsonV2),
        }
    }

    fn types(self) -> &'static str {
        match self {
            Self::One => "application/json or application/x-thrift",
            Self::Two => "application/json or application/x-protobuf",
        }
    }
}

/// Whether a page may send it to any site, and no client does.
fn is_simple(media_type: &str) -> bool {
    media_type == "application/x-www-form-urlencoded"
        || media_type.starts_with("text/") && media_type != "text/plain"
        || media_type.starts_with("multipart/")
}

/// How a body is compressed; as in Zipkin, whatever names gzip is that.
pub(super) fn coding(name: &str) -> Option<Coding> {
    Coding::from_name(name).or_else(|| name.to_ascii_lowercase().contains("gzip").then_some(Coding::Gzip))
}

/// Whether there is nothing in it: some reporters send such a body to learn whether somebody is there.
pub(super) fn is_empty(body: &[u8]) -> bool {
    body.trim_ascii().is_empty()
}

/// Refuses what looks like another form than it is declared to be, in the words of Zipkin.
pub(super) fn as_declared(declared: Format, body: &[u8]) -> Result<(), String> {
    // The length of its first span may be the byte that a list of JSON begins with.
    if declared == Format::Protobuf && matches!(body, [10, length, ..] if *length != 0) {
        return Ok(());
    }
    let expected = name(declared);
    let Some(looks) = sniff(body) else { return Err(format!("Expected a {expected} encoded list")) };
    let is_other = match (declared, looks) {
        // A span may say nothing that only one version has.
        (Format::JsonV2, Format::JsonV1) => memchr::memmem::find(body, b"yAnnotations\"").is_some(),
        _ => declared != looks,
    };
    if is_other {
        return Err(format!("Expected a {expected} encoded list, but received: {}", name(looks)));
    }
    Ok(())
}

fn name(format: Format) -> &'static str {
    match format {
        Format::JsonV1 => "JSON_V1",
        Format::JsonV2 => "JSON_V2",
        Format::Protobuf => "PROTO3",
        Format::Thrift => "THRIFT",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;
    use crate::translate::zipkin::batch;

    fn declared(version: Version, headers: &[(HeaderName, &'static str)]) -> Result<Format, String> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        version.declared(&headers.collect())
    }

    #[test]
    fn a_content_type_declares_the_form_of_its_version() {
        let cases = [
            (Version::Two, "application/json", Format::JsonV2),
            (Version::Two, "Application/JSON; charset=utf-8", Format::JsonV2),
            (Version::Two, "application/x-protobuf", Format::Protobuf),
            (Version::Two, "application/x-protobuf; messageType=zipkin.proto3.ListOfSpans", Format::Protobuf),
            (Version::Two, "application/octet-stream", Format::JsonV2),
            (Version::Two, "text/plain;charset=UTF-8", Format::JsonV2),
            (Version::One, "application/json;charset=UTF-8", Format::JsonV1),
            (Version::One, "application/x-thrift", Format::Thrift),
        ];
        for (version, media_type, format) in cases {
            assert_eq!(declared(version, &[(header::CONTENT_TYPE, media_type)]), Ok(format), "{media_type}");
        }
        assert_eq!(declared(Version::One, &[]), Ok(Format::JsonV1));
        assert_eq!(declared(Version::Two, &[]), Ok(Format::JsonV2));
    }

    #[test]
    fn what_a_page_can_send_without_asking_is_not_taken_but_for_a_beacon() {
        for media_type in
            ["text/html", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
        {
            let refused = declared(Version::Two, &[(header::CONTENT_TYPE, media_type)]).unwrap_err();
            assert!(refused.ends_with("is not application/json or application/x-protobuf"), "{refused}");
        }
        let page = (header::ORIGIN, "https://shop.example");
        let refused = declared(Version::One, std::slice::from_ref(&page)).unwrap_err();
        assert_eq!(refused, "a page says what it sends: application/json or application/x-thrift");
        let json = (header::CONTENT_TYPE, "application/json");
        assert_eq!(declared(Version::One, &[page.clone(), json]), Ok(Format::JsonV1));
        let beacon = (header::CONTENT_TYPE, "text/plain;charset=UTF-8");
        assert_eq!(declared(Version::Two, &[page, beacon]), Ok(Format::JsonV2));
    }

    #[test]
    fn the_form_of_the_other_version_is_sent_to_the_other_path() {
        for (version, media_type) in
            [(Version::One, "application/x-protobuf"), (Version::Two, "application/x-thrift")]
        {
            assert!(declared(version, &[(header::CONTENT_TYPE, media_type)]).is_err(), "{media_type}");
        }
    }

    #[test]
    fn a_list_that_looks_like_another_form_is_refused_with_both_names() {
        let v1 = br#"[{"traceId":"1","id":"1","binaryAnnotations":[]}]"#;
        let v2 = br#" [{"traceId":"1","id":"1","localEndpoint":{}}]"#;
        let either = br#"[{"traceId":"1","id":"1"}]"#;
        let (protobuf, thrift) = (&[10, 2, 8, 1][..], &[12, 0, 0, 0, 0][..]);
        for (declared, body) in [
            (Format::JsonV1, &v1[..]),
            (Format::JsonV2, v2),
            (Format::JsonV1, either),
            (Format::JsonV2, either),
            (Format::Protobuf, protobuf),
            (Format::Thrift, thrift),
        ] {
            assert_eq!(as_declared(declared, body), Ok(()), "{declared:?}");
        }
        for (declared, body, expected) in [
            (Format::JsonV2, &v1[..], "Expected a JSON_V2 encoded list, but received: JSON_V1"),
            (Format::JsonV1, v2, "Expected a JSON_V1 encoded list, but received: JSON_V2"),
            (Format::JsonV2, protobuf, "Expected a JSON_V2 encoded list, but received: PROTO3"),
            (Format::Protobuf, thrift, "Expected a PROTO3 encoded list, but received: THRIFT"),
            (Format::Thrift, v2, "Expected a THRIFT encoded list, but received: JSON_V2"),
            (Format::JsonV2, b"<html>", "Expected a JSON_V2 encoded list"),
        ] {
            assert_eq!(as_declared(declared, body).unwrap_err(), expected);
        }
    }

    /// A list of one span of so many bytes.
    fn list_of_protobuf(length: u8) -> Vec<u8> {
        let mut list = [&[10, length, 10, 16][..], &[1; 16], &[26, 8], &[2; 8], &[42, length - 30]].concat();
        list.resize(2 + usize::from(length), b'n');
        list
    }

    #[test]
    fn a_list_of_protobuf_is_one_however_long_its_first_span_is() {
        // Among them those of a space, of '[' and of '{'.
        for length in 31..128 {
            let list = list_of_protobuf(length);
            assert_eq!(as_declared(Format::Protobuf, &list), Ok(()), "{length} bytes");
            let batched = batch(Format::Protobuf, &list.into(), &mut |_| true).unwrap();
            assert_eq!((batched.spans, batched.left_out), (1, 0), "{length} bytes");
        }
    }

    #[test]
    fn whatever_names_gzip_is_gzip() {
        let cases =
            [("", Some(Coding::Identity)), ("GZIP", Some(Coding::Gzip)), ("zstd", Some(Coding::Zstd))];
        for (name, expected) in
            cases.into_iter().chain([("gzip, identity", Some(Coding::Gzip)), ("br", None)])
        {
            assert_eq!(coding(name), expected, "{name}");
        }
    }
}
