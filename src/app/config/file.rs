//! A file of settings: TOML, or lines of `key: value` as Jaeger's own sample of a plugin's configuration has them.

use toml::Table;

use super::{Error, Value, flatten, value_of};

/// A name of Jaeger's sample, and the key that means the same.
const OTHER_NAMES: [(&str, &str); 2] = [
    ("enable_streaming_writer", "storage.streaming_writer"),
    ("plugin.enable_streaming_writer", "storage.streaming_writer"),
];

/// Keys as dotted names, with their values.
pub(super) fn read(place: &str, text: &str) -> Result<Vec<(String, Value)>, Error> {
    let flat = match text.parse::<Table>() {
        Ok(table) => flatten(&table),
        Err(error) => match lines(text) {
            Lines::Read(pairs) => pairs,
            Lines::Nested(line) => return Err(nested(place, line)),
            Lines::Other => return Err(syntax(place, text, &error)),
        },
    };
    Ok(flat.into_iter().map(|(key, value)| (known(key), value)).collect())
}

fn known(key: String) -> String {
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == key);
    other.map_or(key, |(_, known)| (*known).to_owned())
}

enum Lines {
    /// Every line is one.
    Read(Vec<(String, Value)>),
    /// It is YAML, with more than such lines from this line on.
    Nested(usize),
    /// It is no such file.
    Other,
}

/// `key: value`, comments and nothing else: what YAML and we read alike.
fn lines(text: &str) -> Lines {
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') || bare == "---" {
            continue;
        }
        match pair(bare) {
            Some((key, value)) if !value.is_empty() && !line.starts_with([' ', '\t']) => {
                pairs.push((key.to_owned(), value_of(value)));
            }
            Some(_) => return Lines::Nested(number + 1),
            None if !pairs.is_empty() && bare.starts_with("- ") => return Lines::Nested(number + 1),
            None => return Lines::Other,
        }
    }
    Lines::Read(pairs)
}

fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let is_pair = !key.is_empty() && key.chars().all(is_key) && (value.is_empty() || value.starts_with(' '));
    let value = value.split_once(" #").map_or(value, |(value, _comment)| value);
    is_pair.then(|| (key, value.trim()))
}

fn nested(place: &str, line: usize) -> Error {
    Error::Syntax {
        place: place.to_owned(),
        line,
        column: 1,
        why: "of YAML, only lines of 'key: value' are understood, such as 'data_dir: /data'; write TOML"
            .to_owned(),
    }
}

fn syntax(place: &str, text: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Error::Syntax {
        place: place.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        why: error.message().lines().collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let read = read("a file", text).unwrap();
        read.into_iter().map(|(key, value)| (key, value.to_string())).collect()
    }

    #[test]
    fn lines_of_yaml_are_what_toml_says() {
        let yaml = "---\n# A comment\nenable_streaming_writer: true\n\ndata_dir: /data # here\nlog.level: \"debug\"\n\
                    receive.max_request_bytes: 1024\n";
        let toml = "enable_streaming_writer = true\ndata_dir = \"/data\"\nlog.level = \"debug\"\n\
                    receive.max_request_bytes = 1024\n";
        let sorted = |text| {
            let mut pairs = pairs(text);
            pairs.sort();
            pairs
        };
        assert_eq!(sorted(yaml), sorted(toml));
        assert!(pairs("").is_empty());
    }

    #[test]
    fn the_samples_key_has_our_name() {
        for text in [
            "enable_streaming_writer: true",
            "enable_streaming_writer = true",
            "[plugin]\nenable_streaming_writer = true",
            "plugin.enable_streaming_writer: true",
        ] {
            assert_eq!(pairs(text), [("storage.streaming_writer".to_owned(), "true".to_owned())], "{text}");
        }
    }

    #[test]
    fn what_is_more_than_lines_is_refused_at_its_line() {
        for (text, line) in [
            ("doors:\n  ui: 1\n", 1),
            ("data_dir: /data\nplugin:\n  ephemeral: true\n", 2),
            ("data_dir: /data\n  more: 1\n", 2),
            ("data_dir: /data\n- a\n", 2),
        ] {
            let error = read("a.yaml", text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("read a.yaml, line {line}, column 1: of YAML, only")),
                "{error}"
            );
        }
        let error = read("a.toml", "[plugin\nephemeral: true").unwrap_err().to_string();
        assert!(error.starts_with("read a.toml, line 1") && !error.contains("YAML"), "{error}");
    }
}
