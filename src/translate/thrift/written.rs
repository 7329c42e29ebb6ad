//! Any thrift, written by the writers of thrift's own crate for the tests of our readers.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::{BoxedStrategy, Union};
use thrift::protocol::{
    TBinaryOutputProtocol, TCompactOutputProtocol, TFieldIdentifier, TListIdentifier, TMapIdentifier,
    TMessageIdentifier, TMessageType, TOutputProtocol, TSetIdentifier, TStructIdentifier, TType,
};

use super::{Kind, Protocol};

/// A value of a kind; those in a container are all of the kind it names.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::translate) enum Value {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Struct(Vec<(i16, Self)>),
    List(Kind, Vec<Self>),
    Set(Kind, Vec<Self>),
    Map(Kind, Kind, Vec<(Self, Self)>),
}

/// How a message is written: binary ones with the version word or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::translate) enum Form {
    Compact,
    Strict,
    Lax,
}

impl Form {
    pub(in crate::translate) const ALL: [Self; 3] = [Self::Compact, Self::Strict, Self::Lax];

    pub(in crate::translate) fn protocol(self) -> Protocol {
        match self {
            Self::Compact => Protocol::Compact,
            Self::Strict | Self::Lax => Protocol::Binary,
        }
    }

    fn written(self, write: impl FnOnce(&mut dyn TOutputProtocol) -> thrift::Result<()>) -> Bytes {
        let mut bytes = Vec::new();
        match self {
            Self::Compact => write(&mut TCompactOutputProtocol::new(&mut bytes)),
            Self::Strict => write(&mut TBinaryOutputProtocol::new(&mut bytes, true)),
            Self::Lax => write(&mut TBinaryOutputProtocol::new(&mut bytes, false)),
        }
        .unwrap();
        bytes.into()
    }

    /// A message with one argument.
    pub(in crate::translate) fn message(
        self,
        (method, message_type): (&str, TMessageType),
        number: i32,
        argument: Value,
    ) -> Bytes {
        self.written(|out| {
            out.write_message_begin(&TMessageIdentifier::new(method, message_type, number))?;
            Value::Struct(vec![(1, argument)]).write(out)?;
            out.write_message_end()
        })
    }
}

/// Fields of a struct, those that there are.
pub(in crate::translate) fn fields(
    fields: impl IntoIterator<Item = Option<(i16, Value)>>,
) -> Vec<(i16, Value)> {
    fields.into_iter().flatten().collect()
}

impl Value {
    pub(in crate::translate) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Bytes(text.as_ref().to_vec())
    }

    pub(in crate::translate) fn structs(structs: impl IntoIterator<Item = Vec<(i16, Self)>>) -> Self {
        Self::List(Kind::Struct, structs.into_iter().map(Self::Struct).collect())
    }

    /// The value alone.
    pub(in crate::translate) fn bytes(&self, protocol: Protocol) -> Bytes {
        let form = if protocol == Protocol::Compact { Form::Compact } else { Form::Strict };
        form.written(|out| self.write(out))
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::I8(_) => Kind::I8,
            Self::I16(_) => Kind::I16,
            Self::I32(_) => Kind::I32,
            Self::I64(_) => Kind::I64,
            Self::Double(_) => Kind::Double,
            Self::Bytes(_) => Kind::Bytes,
            Self::Struct(_) => Kind::Struct,
            Self::List(..) => Kind::List,
            Self::Set(..) => Kind::Set,
            Self::Map(..) => Kind::Map,
        }
    }

    fn write(&self, out: &mut dyn TOutputProtocol) -> thrift::Result<()> {
        match self {
            Self::Bool(value) => out.write_bool(*value),
            Self::I8(value) => out.write_i8(*value),
            Self::I16(value) => out.write_i16(*value),
            Self::I32(value) => out.write_i32(*value),
            Self::I64(value) => out.write_i64(*value),
            Self::Double(value) => out.write_double(*value),
            Self::Bytes(value) => out.write_bytes(value),
            Self::Struct(fields) => {
                out.write_struct_begin(&TStructIdentifier::new("struct"))?;
                for (id, value) in fields {
                    out.write_field_begin(&TFieldIdentifier::new("field", wire(value.kind()), *id))?;
                    value.write(out)?;
                    out.write_field_end()?;
                }
                out.write_field_stop()?;
                out.write_struct_end()
            }
            Self::List(kind, values) => {
                out.write_list_begin(&TListIdentifier::new(wire(*kind), values.len() as i32))?;
                values.iter().try_for_each(|value| value.write(out))?;
                out.write_list_end()
            }
            Self::Set(kind, values) => {
                out.write_set_begin(&TSetIdentifier::new(wire(*kind), values.len() as i32))?;
                values.iter().try_for_each(|value| value.write(out))?;
                out.write_set_end()
            }
            Self::Map(keys, values, pairs) => {
                out.write_map_begin(&TMapIdentifier::new(wire(*keys), wire(*values), pairs.len() as i32))?;
                for (key, value) in pairs {
                    key.write(out)?;
                    value.write(out)?;
                }
                out.write_map_end()
            }
        }
    }
}

fn wire(kind: Kind) -> TType {
    match kind {
        Kind::Bool => TType::Bool,
        Kind::I8 => TType::I08,
        Kind::I16 => TType::I16,
        Kind::I32 => TType::I32,
        Kind::I64 => TType::I64,
        Kind::Double => TType::Double,
        Kind::Bytes => TType::String,
        Kind::Struct => TType::Struct,
        Kind::Map => TType::Map,
        Kind::Set => TType::Set,
        Kind::List => TType::List,
        Kind::Uuid => TType::Uuid,
    }
}

const PLAIN: [Kind; 7] = [Kind::Bool, Kind::I8, Kind::I16, Kind::I32, Kind::I64, Kind::Double, Kind::Bytes];
const NESTED: [Kind; 4] = [Kind::Struct, Kind::List, Kind::Set, Kind::Map];

fn any_kind(levels: u32) -> BoxedStrategy<Kind> {
    if levels == 0 {
        select(PLAIN.to_vec()).boxed()
    } else {
        Union::new([select(PLAIN.to_vec()), select(NESTED.to_vec())]).boxed()
    }
}

/// A value of any kind, of at most so many levels.
pub(in crate::translate) fn any_value(levels: u32) -> BoxedStrategy<Value> {
    any_kind(levels).prop_flat_map(move |kind| any_of(kind, levels)).boxed()
}

/// Fields of a struct, of ids between which thrift's crate can subtract.
fn any_fields(levels: u32) -> impl Strategy<Value = Vec<(i16, Value)>> {
    vec((-16_000i16..16_000, any_value(levels)), 0..4)
}

fn any_of(kind: Kind, levels: u32) -> BoxedStrategy<Value> {
    let below = levels.saturating_sub(1);
    // More than 14 elements are counted otherwise than few.
    let many = move |kind: Kind| vec(any_of(kind, below), if PLAIN.contains(&kind) { 0..18 } else { 0..3 });
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::I8 => any::<i8>().prop_map(Value::I8).boxed(),
        Kind::I16 => any::<i16>().prop_map(Value::I16).boxed(),
        Kind::I32 => any::<i32>().prop_map(Value::I32).boxed(),
        Kind::I64 => any::<i64>().prop_map(Value::I64).boxed(),
        Kind::Double => any::<f64>().prop_map(Value::Double).boxed(),
        Kind::Bytes | Kind::Uuid => vec(any::<u8>(), 0..140).prop_map(Value::Bytes).boxed(),
        Kind::Struct => any_fields(below).prop_map(Value::Struct).boxed(),
        Kind::List => any_kind(below)
            .prop_flat_map(move |kind| many(kind).prop_map(move |values| Value::List(kind, values)))
            .boxed(),
        Kind::Set => any_kind(below)
            .prop_flat_map(move |kind| many(kind).prop_map(move |values| Value::Set(kind, values)))
            .boxed(),
        Kind::Map => (any_kind(below), any_kind(below))
            .prop_flat_map(move |(keys, values)| {
                vec((any_of(keys, below), any_of(values, below)), 0..4)
                    .prop_map(move |pairs| Value::Map(keys, values, pairs))
            })
            .boxed(),
    }
}

/// The same value with fields that nobody knows in every struct: some of ids that stand in no interface, and one of an id
/// that stands in all of them, of a type that stands in none.
pub(in crate::translate) fn with_unknown_fields(value: Value, unknown: &[(usize, Value)]) -> Value {
    let inside = |values: Vec<Value>| values.into_iter().map(|value| with_unknown_fields(value, unknown));
    match value {
        Value::Struct(fields) => {
            let mut fields: Vec<_> =
                fields.into_iter().map(|(id, value)| (id, with_unknown_fields(value, unknown))).collect();
            for (place, value) in unknown {
                let place = place % (fields.len() + 1);
                let ids = [-7, 16, 250, 31_000];
                fields.insert(place, (ids[place % ids.len()], value.clone()));
                fields.insert(place, (1, Value::Set(Kind::I8, vec![Value::I8(place as i8)])));
            }
            Value::Struct(fields)
        }
        Value::List(kind, values) => Value::List(kind, inside(values).collect()),
        other => other,
    }
}
