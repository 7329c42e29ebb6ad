//! The two ways Jaeger's search asks for tags: `tag=key:value` and `tags={"key":"value"}`.

use std::collections::BTreeMap;

/// Why tags could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// `tag` without a colon.
    #[error("malformed 'tag' parameter, expecting key:value, received: {text}")]
    NoColon {
        /// What was given, shortened.
        text: String,
    },
    /// `tags` that is not a JSON object of texts.
    #[error("malformed 'tags' parameter, expecting a JSON object of strings: {reason}, received: {text}")]
    NotTexts {
        /// What was given, shortened.
        text: String,
        /// Where it stops being one.
        reason: String,
    },
}

/// Splits at the first colon.
pub fn parse_tag(text: &str) -> Result<(String, String), TagError> {
    let (key, value) = text.split_once(':').ok_or_else(|| TagError::NoColon { text: shortened(text) })?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The pairs of a JSON object, by key.
pub fn parse_tags(text: &str) -> Result<Vec<(String, String)>, TagError> {
    serde_json::from_str::<BTreeMap<String, String>>(text)
        .map(|pairs| pairs.into_iter().collect())
        .map_err(|error| TagError::NotTexts { text: shortened(text), reason: error.to_string() })
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_splits_at_its_first_colon() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(parse_tag("http.url:http://x:80/"), pair("http.url", "http://x:80/"));
        assert_eq!(parse_tag("empty:"), pair("empty", ""));
        let error = parse_tag("error").unwrap_err();
        assert_eq!(error.to_string(), "malformed 'tag' parameter, expecting key:value, received: error");
    }

    #[test]
    fn tags_are_an_object_of_texts_and_nothing_else() {
        let pairs = parse_tags(r#"{"b":"2","a":"ä"}"#).unwrap();
        assert_eq!(pairs, [("a".to_owned(), "ä".to_owned()), ("b".to_owned(), "2".to_owned())]);
        assert_eq!(parse_tags("{}").unwrap(), []);
        for text in [r#"{"a":1}"#, r#"["a"]"#, "{", "null", ""] {
            let error = parse_tags(text).unwrap_err().to_string();
            assert!(
                error.starts_with("malformed 'tags' parameter, expecting a JSON object of strings"),
                "{error}"
            );
        }
    }
}
