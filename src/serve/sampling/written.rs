//! A strategies file as it is written: JSON that is read as Go reads it, keys in any case and unknown ones passed over.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The file.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) default_strategy: Option<Strategy>,
    pub(super) service_strategies: Vec<Strategy>,
}

/// What is said of a service, of all others, or of an operation.
#[derive(Debug, Default)]
pub(super) struct Strategy {
    pub(super) service: String,
    pub(super) operation: String,
    pub(super) kind: String,
    pub(super) param: f64,
    pub(super) operations: Vec<Self>,
}

/// Something that is written as an object.
trait Object: Default {
    /// What it is, for people.
    const NAME: &'static str;

    /// Takes a member whose key is in lower case; whether there is one of that name.
    fn take<'de, M: MapAccess<'de>>(&mut self, key: &str, from: &mut M) -> Result<bool, M::Error>;
}

impl Object for Written {
    const NAME: &'static str = "an object with default_strategy and service_strategies";

    fn take<'de, M: MapAccess<'de>>(&mut self, key: &str, from: &mut M) -> Result<bool, M::Error> {
        match key {
            "default_strategy" => self.default_strategy = from.next_value()?,
            "service_strategies" => put(&mut self.service_strategies, from)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Object for Strategy {
    const NAME: &'static str = "an object with type and param";

    fn take<'de, M: MapAccess<'de>>(&mut self, key: &str, from: &mut M) -> Result<bool, M::Error> {
        match key {
            "service" => put(&mut self.service, from)?,
            "operation" => put(&mut self.operation, from)?,
            "type" => put(&mut self.kind, from)?,
            "param" => put(&mut self.param, from)?,
            "operation_strategies" => put(&mut self.operations, from)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `null` says nothing.
fn put<'de, M: MapAccess<'de>, T: Deserialize<'de>>(slot: &mut T, from: &mut M) -> Result<(), M::Error> {
    if let Some(value) = from.next_value()? {
        *slot = value;
    }
    Ok(())
}

/// Reads an object member by member.
struct Members<T>(T);

impl<'de, T: Object> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::NAME)
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<T, M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if !self.0.take(&key.to_ascii_lowercase(), &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(self.0)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(Self::default()))
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(Self::default()))
    }
}
