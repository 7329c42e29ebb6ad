//! The pass over the text: each member found in its message's table and appended as a field.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::scalar::{Scalar, Text};
use super::schema::{Field, Kind, Message, Presence};
use super::{Error, MAX_DEPTH, MAX_OBJECTS};
use crate::otlp::{Fields, write};

/// The longest "what is wrong" in bytes: it may quote what was sent.
const MAX_WORDS: usize = 200;

/// A member that comes again makes what was written of its object be written once more: how many times the length of
/// the text may be written so, in all objects together.
const MAX_COPIES: usize = 8;

/// Appends the protobuf of a whole text.
pub(super) fn transcode(json: &[u8], message: &'static Message) -> Result<Vec<u8>, Error> {
    let mut transcoder = Transcoder {
        out: Vec::with_capacity(json.len() / 2),
        path: Vec::new(),
        depth: 0,
        objects: 0,
        copies_left: MAX_COPIES * json.len(),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let root = Object { transcoder: &mut transcoder, message, field: None };
    match root.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
        Ok(()) => Ok(transcoder.out),
        Err(error) => Err(transcoder.error(&error)),
    }
}

/// What is written so far, and where in the text that is.
struct Transcoder {
    out: Vec<u8>,
    path: Vec<Step>,
    depth: usize,
    /// How many were begun.
    objects: usize,
    /// Bytes that may still be written once more.
    copies_left: usize,
}

/// A step of the path from the whole text to the value being read.
#[derive(Debug, Clone, Copy)]
enum Step {
    Member(&'static str),
    Element(usize),
}

impl Transcoder {
    /// With the path as it stood when reading stopped.
    fn error(&self, error: &serde_json::Error) -> Error {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Member(name) if path.is_empty() => path.push_str(name),
                Step::Member(name) => path.extend([".", name]),
                Step::Element(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if path.is_empty() {
            path.push_str("request");
        }
        let mut what = error.to_string();
        if let Some(place) = what.rfind(" at line ") {
            what.truncate(place);
        }
        what.truncate(what.floor_char_boundary(MAX_WORDS));
        Error { path, what, line: error.line(), column: error.column() }
    }

    /// Takes back the fields of a member that comes a second time: the last one holds.
    #[cold]
    fn take_back<E: de::Error>(&mut self, content: usize, field: &Field) -> Result<(), E> {
        let Some(left) = self.copies_left.checked_sub(self.out.len() - content) else {
            let words = format!("repeated members of more than {MAX_COPIES} times the length of the text");
            return Err(E::custom(words));
        };
        self.copies_left = left;
        let double = match field.kind {
            Kind::IntegerOrDouble(_, double) => double,
            _ => field.number,
        };
        let message = self.out.split_off(content);
        let mut fields = Fields::new(&message);
        while let Some((number, _)) = fields.next() {
            if number != field.number && number != double {
                self.out.extend_from_slice(fields.last_field().0);
            }
        }
        Ok(())
    }
}

/// An object, written as an embedded message (or as the request itself, without a `field`).
struct Object<'t> {
    transcoder: &'t mut Transcoder,
    message: &'static Message,
    field: Option<u32>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Self { transcoder, message, field } = self;
        if transcoder.depth == MAX_DEPTH {
            return Err(de::Error::custom(format!("objects nest deeper than {MAX_DEPTH} levels")));
        }
        if transcoder.objects == MAX_OBJECTS {
            return Err(de::Error::custom(format!("more than {MAX_OBJECTS} objects")));
        }
        transcoder.objects += 1;
        transcoder.depth += 1;
        match field {
            None => members(transcoder, message, 0, map)?,
            Some(field) => {
                let opened = write::open(&mut transcoder.out, field);
                members(transcoder, message, opened.content(), map)?;
                write::close(&mut transcoder.out, opened);
            }
        }
        transcoder.depth -= 1;
        Ok(())
    }
}

/// Appends the members of an object whose content starts at `content`.
fn members<'de, A: MapAccess<'de>>(
    transcoder: &mut Transcoder,
    message: &'static Message,
    content: usize,
    mut map: A,
) -> Result<(), A::Error> {
    let mut seen = 0u32;
    while let Some(known) = map.next_key_seed(Key(message))? {
        let Some((place, field)) = known else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        if seen & 1 << place != 0 {
            transcoder.take_back(content, field)?;
        }
        seen |= 1 << place;
        transcoder.path.push(Step::Member(field.name));
        map.next_value_seed(Member { transcoder: &mut *transcoder, field })?;
        transcoder.path.pop();
    }
    Ok(())
}

/// A member's name, looked up in the table of its message.
struct Key(&'static Message);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<(usize, &'static Field)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // As bytes: an unknown name need not even be UTF-8.
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Option<(usize, &'static Field)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_bytes<E: de::Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.field(key))
    }
}

/// A member's value.
struct Member<'t> {
    transcoder: &'t mut Transcoder,
    field: &'static Field,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.field.presence {
            Presence::Repeated | Presence::Values => deserializer.deserialize_any(Array(self)),
            Presence::Implicit | Presence::Explicit => single(self, deserializer),
        }
    }
}

/// Appends one value: a member that is not an array, or an element of one.
fn single<'de, D: Deserializer<'de>>(member: Member<'_>, deserializer: D) -> Result<(), D::Error> {
    let Member { transcoder, field } = member;
    match field.kind {
        Kind::Message(message) => {
            Object { transcoder, message, field: Some(field.number) }.deserialize(deserializer)
        }
        // `deserialize_bytes` alone would not take null.
        Kind::Text => deserializer.deserialize_option(Text(Scalar { out: &mut transcoder.out, field })),
        _ => deserializer.deserialize_any(Scalar { out: &mut transcoder.out, field }),
    }
}

/// An array of a repeated field.
struct Array<'t>(Member<'t>);

impl<'de> Visitor<'de> for Array<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let Member { transcoder, field } = self.0;
        for index in 0.. {
            transcoder.path.push(Step::Element(index));
            if array.next_element_seed(Element(Member { transcoder: &mut *transcoder, field }))?.is_none() {
                transcoder.path.pop();
                break;
            }
            transcoder.path.pop();
        }
        Ok(())
    }
}

/// An element of an array.
struct Element<'t>(Member<'t>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Member { transcoder, field } = self.0;
        let before = transcoder.out.len();
        single(Member { transcoder: &mut *transcoder, field }, deserializer)?;
        if field.presence == Presence::Values && transcoder.out.len() == before {
            write::bytes(&mut transcoder.out, field.number, &[]);
        }
        Ok(())
    }
}
