//! A JSON text, read value by value where it stands.
//!
//! Texts need not be UTF-8, numbers are given as they were written, and what a value is decides how it is taken: senders
//! of Zipkin's spans differ in all three, and none of that may cost more than the one span.

use bytes::Bytes;

/// How many lists and objects may stand inside of each other.
pub(super) const MAX_DEPTH: usize = 64;

/// Why a text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    /// What is wrong.
    pub(super) what: &'static str,
    /// Where, in bytes from the start.
    pub(super) offset: usize,
}

/// What stands somewhere. Of lists and objects only the bracket was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it was written.
    Number(Bytes),
    /// Without its escapes.
    Text(Bytes),
    List,
    Object,
}

/// Reads on through a text.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    body: &'a Bytes,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// From the start. Some writers put a byte order mark there.
    pub(super) fn new(body: &'a Bytes) -> Self {
        let at = if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { body, at, depth: 0 }
    }

    /// The first byte of the next value; `None` at the end.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = &self.body[self.at..];
        let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
        self.at += spaces;
        rest.get(spaces).copied()
    }

    /// That here is something wrong.
    pub(super) fn wrong(&self, what: &'static str) -> Syntax {
        Syntax { what, offset: self.at }
    }

    /// Whether nothing follows.
    pub(super) fn end(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong("nothing may follow here")),
        }
    }

    /// The next value. The content of a list or of an object is to be read next.
    pub(super) fn value(&mut self) -> Result<Value, Syntax> {
        match self.peek() {
            Some(b'"') => self.text().map(Value::Text),
            Some(b'{') => Ok(self.bracket(Value::Object)),
            Some(b'[') => Ok(self.bracket(Value::List)),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            Some(_) => Err(self.wrong("a value was expected")),
            None => Err(self.wrong("the text ends where a value was expected")),
        }
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self) -> Result<(), Syntax> {
        let value = self.value()?;
        self.skip_rest(&value)
    }

    /// Passes over what is left of a value.
    pub(super) fn skip_rest(&mut self, value: &Value) -> Result<(), Syntax> {
        match value {
            Value::List => self.elements(Self::skip),
            Value::Object => self.members(|reader, _| reader.skip()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => Ok(()),
        }
    }

    /// A value as text: what is no text as it was written, `null` as none.
    pub(super) fn any_text(&mut self) -> Result<Option<Bytes>, Syntax> {
        self.peek();
        let start = self.at;
        let value = self.value()?;
        self.skip_rest(&value)?;
        Ok(match value {
            Value::Null => None,
            Value::Text(text) => Some(text),
            _ => Some(self.body.slice(start..self.at)),
        })
    }

    /// Reads the members of an object of which the bracket was read; `each` reads their values.
    pub(super) fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, &Bytes) -> Result<(), Syntax>,
    ) -> Result<(), Syntax> {
        self.nest(b'}', |reader| {
            if reader.peek() != Some(b'"') {
                return Err(reader.wrong("a member's name was expected"));
            }
            let name = reader.text()?;
            if !reader.take(b':') {
                return Err(reader.wrong("a colon was expected"));
            }
            each(reader, &name)
        })
    }

    /// Reads the elements of a list of which the bracket was read.
    pub(super) fn elements(
        &mut self,
        each: impl FnMut(&mut Self) -> Result<(), Syntax>,
    ) -> Result<(), Syntax> {
        self.nest(b']', each)
    }

    fn nest(
        &mut self,
        closing: u8,
        mut each: impl FnMut(&mut Self) -> Result<(), Syntax>,
    ) -> Result<(), Syntax> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong("lists and objects nest deeper than 64 levels"));
        }
        self.depth += 1;
        if !self.take(closing) {
            loop {
                each(self)?;
                if self.take(closing) {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.wrong("a comma or a closing bracket was expected"));
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn bracket(&mut self, value: Value) -> Value {
        self.at += 1;
        value
    }

    fn word(&mut self, word: &'static [u8], value: Value) -> Result<Value, Syntax> {
        if !self.body[self.at..].starts_with(word) {
            return Err(self.wrong("a value was expected"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Bytes, Syntax> {
        let start = self.at;
        self.at += usize::from(self.next_is(b"-"));
        if self.next_is(b"0") {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.next_is(b".") {
            self.at += 1;
            self.digits()?;
        }
        if self.next_is(b"eE") {
            self.at += 1;
            self.at += usize::from(self.next_is(b"+-"));
            self.digits()?;
        }
        Ok(self.body.slice(start..self.at))
    }

    fn next_is(&self, one_of: &[u8]) -> bool {
        self.body.get(self.at).is_some_and(|byte| one_of.contains(byte))
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let digits = self.body[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(self.wrong("a digit was expected")) } else { Ok(()) }
    }

    /// A text of which the opening quote is next.
    fn text(&mut self) -> Result<Bytes, Syntax> {
        self.at += 1;
        let start = self.at;
        if self.run()? == b'"' {
            self.at += 1;
            return Ok(self.body.slice(start..self.at - 1));
        }
        let mut text = self.body[start..self.at].to_vec();
        loop {
            self.escape(&mut text)?;
            let start = self.at;
            let stop = self.run()?;
            text.extend_from_slice(&self.body[start..self.at]);
            if stop == b'"' {
                self.at += 1;
                return Ok(text.into());
            }
        }
    }

    /// Goes on to the next quote or backslash, and says which it is.
    fn run(&mut self) -> Result<u8, Syntax> {
        let rest = &self.body[self.at..];
        let length = memchr::memchr2(b'"', b'\\', rest);
        let run = &rest[..length.unwrap_or(rest.len())];
        if let Some(place) = run.iter().position(|byte| *byte < 0x20) {
            self.at += place;
            return Err(self.wrong("a control character stands in a text"));
        }
        self.at += run.len();
        length.map(|length| rest[length]).ok_or_else(|| self.wrong("a text does not end"))
    }

    /// What a backslash and what follows it stand for.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Syntax> {
        let letter = self.body.get(self.at + 1).copied();
        let byte = match letter {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode(text),
            _ => return Err(self.wrong("an escape that JSON does not have")),
        };
        text.push(byte);
        self.at += 2;
        Ok(())
    }

    /// A letter by its number, or by two: half a letter becomes U+FFFD.
    fn unicode(&mut self, text: &mut Vec<u8>) -> Result<(), Syntax> {
        let first =
            self.code_unit().ok_or_else(|| self.wrong("an escape of four hex digits was expected"))?;
        self.at += 6;
        let is_half = (0xd800..0xdc00).contains(&first);
        let second = self.code_unit().filter(|second| is_half && (0xdc00..0xe000).contains(second));
        let number = match second {
            Some(second) => {
                self.at += 6;
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            None => first,
        };
        let letter = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
        text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn code_unit(&self) -> Option<u32> {
        let escape = self.body.get(self.at..self.at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_json(text: &[u8]) -> Result<(), Syntax> {
        let body = Bytes::copy_from_slice(text);
        let mut reader = Reader::new(&body);
        reader.skip()?;
        reader.end()
    }

    fn text_of(json: &str) -> Bytes {
        Reader::new(&Bytes::copy_from_slice(json.as_bytes())).any_text().unwrap().unwrap()
    }

    #[test]
    fn texts_lose_their_escapes_and_everything_else_stays_as_written() {
        let cases = [
            (r#""plain ä""#, "plain ä"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""a\u00e4b\uD83E\udd80c""#, "aäb🦀c"),
            (r#""\ud83e \udd80 \ud83e\u0041""#, "\u{fffd} \u{fffd} \u{fffd}A"),
            (" 1.50 ", "1.50"),
            ("-0e+3", "-0e+3"),
            ("true", "true"),
            (r#"[1, {"a":"b\n"}]"#, r#"[1, {"a":"b\n"}]"#),
        ];
        for (json, expected) in cases {
            assert_eq!(text_of(json), expected.as_bytes(), "{json}");
        }
        let body = Bytes::from_static(b"\xef\xbb\xbf\"a\xffb\"");
        assert_eq!(Reader::new(&body).any_text().unwrap().unwrap(), &b"a\xffb"[..]);
    }

    #[test]
    fn nesting_ends_somewhere() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(is_json(nested(MAX_DEPTH).as_bytes()), Ok(()));
        let error = is_json(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        assert_eq!((error.what, error.offset), ("lists and objects nest deeper than 64 levels", 65));
        assert!(is_json(&b"[{\"a\":".repeat(1 << 20)).is_err());
    }

    proptest! {
        #[test]
        fn what_serde_takes_is_taken_and_nothing_else(
            text in r#"[\[\]{}",:0-9eE.+\-\\utfnrals /]{0,12}|"(\\["\\/bfnrtu]|[0-9a-fD\\]){0,9}"|-?[0-9]{0,3}\.?[0-9]{0,2}([eE][+-]?[0-9]{0,2})?"#,
        ) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            prop_assert_eq!(is_json(text.as_bytes()).is_ok(), theirs.is_ok(), "{}", text);
        }

        #[test]
        fn any_text_written_by_serde_comes_back(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(text_of(&json), text.as_bytes());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _either = is_json(&bytes);
        }
    }
}
