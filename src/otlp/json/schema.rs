//! How a message is told in a table: which JSON member is which protobuf field.

/// A protobuf message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: &'static [Field],
}

/// A field of a message, and a member of its JSON object.
#[derive(Debug)]
pub(super) struct Field {
    /// In lowerCamelCase, as OTLP/JSON has it.
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
}

/// When a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Unless it is zero or empty, which is the same as absent.
    Implicit,
    /// Whenever it is there: `optional` fields, members of a `oneof`, embedded messages.
    Explicit,
    /// Once for each element of an array; `null` elements are left out.
    Repeated,
    /// Once for each element of an array; `null` elements keep their place as empty messages.
    Values,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// Base64 in JSON.
    Bytes,
    /// Hex digits in JSON.
    Id,
    Bool,
    Double,
    Integer(Integer),
    /// A whole number; what is none, or does not fit, goes to the double with this field number beside it.
    IntegerOrDouble(Integer, u32),
    Enum(&'static Enum),
    Message(&'static Message),
}

/// How a whole number travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Integer {
    Uint32,
    Sint32,
    Int64,
    Uint64,
    Fixed32,
    Fixed64,
    Sfixed64,
}

/// A protobuf enum: what all its names begin with, and their ends in the order of their numbers.
#[derive(Debug)]
pub(super) struct Enum {
    pub(super) prefix: &'static str,
    pub(super) names: &'static [&'static str],
}

impl Message {
    /// The field of this name in lowerCamelCase or snake_case, and its place in the table.
    pub(super) fn field(&self, key: &[u8]) -> Option<(usize, &'static Field)> {
        let exact = self.fields.iter().position(|field| field.name.as_bytes() == key);
        let place = exact.or_else(|| {
            let snake = key.contains(&b'_');
            self.fields.iter().position(|field| snake && snake_case(field.name).eq(key.iter().copied()))
        })?;
        Some((place, &self.fields[place]))
    }
}

fn snake_case(name: &'static str) -> impl Iterator<Item = u8> {
    name.bytes().flat_map(|letter| {
        let underscore = letter.is_ascii_uppercase().then_some(b'_');
        underscore.into_iter().chain([letter.to_ascii_lowercase()])
    })
}

impl Enum {
    /// The number of this name, with or without the prefix, in any case; zero, "unspecified", for any other.
    pub(super) fn number(&self, name: &str) -> i32 {
        let name = match name.split_at_checked(self.prefix.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(self.prefix) => rest,
            _ => name,
        };
        let number = self.names.iter().position(|known| known.eq_ignore_ascii_case(name));
        number.map_or(0, |number| number as i32)
    }
}
