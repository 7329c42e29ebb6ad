//! Both readers against the writers of thrift's own crate, against bytes by hand, and against what only announces.

use proptest::prelude::*;

use super::written::{Value, any_value};
use super::*;

fn bytes(bytes: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes.as_ref())
}

/// Steps over a value and says where that ends.
fn skipped(protocol: Protocol, kind: Kind, bytes: &Bytes) -> std::result::Result<usize, String> {
    fn skip<'a>(mut reader: impl Read<'a>, kind: Kind) -> Result<usize> {
        reader.skip(kind, 0)?;
        Ok(reader.input().at())
    }
    let skipped = match protocol {
        Protocol::Compact => skip(Compact::new(bytes), kind),
        Protocol::Binary => skip(Binary::new(bytes), kind),
    };
    skipped.map_err(|error| error.to_string())
}

/// Reads a value of a kind that is known, as far as [`Value`] tells kinds apart.
fn read<'a>(reader: &mut impl Read<'a>, kind: Kind) -> Result<Value> {
    Ok(match kind {
        Kind::Bool => Value::Bool(reader.boolean()?),
        Kind::I8 => Value::I8(reader.input().byte()? as i8),
        Kind::I16 => Value::I16(reader.i16()?),
        Kind::I32 => Value::I32(reader.i32()?),
        Kind::I64 => Value::I64(reader.i64()?),
        Kind::Double => Value::Double(reader.double()?),
        Kind::Bytes => Value::Bytes(reader.text()?.into()),
        Kind::Struct => {
            let (mut fields, mut last) = (Vec::new(), 0);
            while let Some((id, kind)) = reader.field(last)? {
                fields.push((id, read(reader, kind)?));
                last = id;
            }
            Value::Struct(fields)
        }
        Kind::List | Kind::Set => {
            let Elements { kind: inside, count } = reader.list()?;
            let values = (0..count).map(|_| read(reader, inside)).collect::<Result<_>>()?;
            if kind == Kind::List { Value::List(inside, values) } else { Value::Set(inside, values) }
        }
        Kind::Map => {
            let Some((keys, values, count)) = reader.map()? else {
                return Ok(Value::Map(Kind::Bool, Kind::Bool, Vec::new()));
            };
            let pairs = (0..count).map(|_| Ok((read(reader, keys)?, read(reader, values)?)));
            Value::Map(keys, values, pairs.collect::<Result<_>>()?)
        }
        Kind::Uuid => unreachable!("the tests write none"),
    })
}

/// Of an empty container the kind of what is not in it is not always written, and never asked.
fn without_kinds_of_nothing(value: Value) -> Value {
    let inside = |values: Vec<Value>| values.into_iter().map(without_kinds_of_nothing).collect();
    match value {
        Value::List(_, values) if values.is_empty() => Value::List(Kind::Bool, values),
        Value::Set(_, values) if values.is_empty() => Value::Set(Kind::Bool, values),
        Value::Map(_, _, pairs) if pairs.is_empty() => Value::Map(Kind::Bool, Kind::Bool, pairs),
        Value::List(kind, values) => Value::List(kind, inside(values)),
        Value::Set(kind, values) => Value::Set(kind, inside(values)),
        Value::Map(keys, values, pairs) => {
            let pair = |(key, value)| (without_kinds_of_nothing(key), without_kinds_of_nothing(value));
            Value::Map(keys, values, pairs.into_iter().map(pair).collect())
        }
        Value::Struct(fields) => {
            let field = |(id, value)| (id, without_kinds_of_nothing(value));
            Value::Struct(fields.into_iter().map(field).collect())
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn what_thrift_writes_is_read(value in any_value(3)) {
        let kind = value.kind();
        for protocol in [Protocol::Compact, Protocol::Binary] {
            let written = value.bytes(protocol);
            let read = match protocol {
                Protocol::Compact => read(&mut Compact::new(&written), kind),
                Protocol::Binary => read(&mut Binary::new(&written), kind),
            };
            prop_assert_eq!(without_kinds_of_nothing(read.unwrap()), without_kinds_of_nothing(value.clone()));
        }
    }

    #[test]
    fn what_is_not_known_is_stepped_over_exactly(value in any_value(3)) {
        for protocol in [Protocol::Compact, Protocol::Binary] {
            let written = value.bytes(protocol);
            let more = bytes([&written[..], &[0xff; 3]].concat());
            prop_assert_eq!(skipped(protocol, value.kind(), &more), Ok(written.len()));
        }
    }

    #[test]
    fn a_value_that_ends_early_is_refused(value in any_value(3)) {
        for protocol in [Protocol::Compact, Protocol::Binary] {
            let written = value.bytes(protocol);
            for end in (0..written.len()).rev().take(100) {
                prop_assert!(skipped(protocol, value.kind(), &written.slice(..end)).is_err());
            }
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let noise = bytes(noise);
        for protocol in [Protocol::Compact, Protocol::Binary] {
            for kind in [Kind::Struct, Kind::List, Kind::Map] {
                if let Ok(end) = skipped(protocol, kind, &noise) {
                    prop_assert!(end <= noise.len());
                }
            }
        }
    }
}

#[test]
fn texts_share_the_memory_they_came_in() {
    let written = Value::text("frontend").bytes(Protocol::Compact);
    let text = Compact::new(&written).text().unwrap();
    assert_eq!((text.as_ptr(), &text[..]), (written[1..].as_ptr(), &b"frontend"[..]));
}

/// What is announced, of which kind, and why it is refused.
const ANNOUNCED: [(&str, Protocol, Kind, &[u8], &str); 17] = [
    (
        "text",
        Protocol::Compact,
        Kind::Bytes,
        &[0xff, 0xff, 0xff, 0xff, 7, 1],
        "a text of 2147483647 bytes where 1 bytes are left at byte 0",
    ),
    (
        "text",
        Protocol::Binary,
        Kind::Bytes,
        &[5, 0xf5, 0xe1, 0, 1],
        "a text of 100000000 bytes where 1 bytes are left at byte 0",
    ),
    (
        "negative text",
        Protocol::Binary,
        Kind::Bytes,
        &[0xff; 6],
        "a text of -1 bytes where 2 bytes are left at byte 0",
    ),
    (
        "list",
        Protocol::Compact,
        Kind::List,
        &[0xfc, 0x80, 0x80, 0x40, 0],
        "a container of 1048576 elements where 1 bytes are left at byte 0",
    ),
    (
        "list",
        Protocol::Binary,
        Kind::List,
        &[12, 0, 0x0f, 0x42, 0x40, 0, 0],
        "a container of 1000000 elements where 2 bytes are left at byte 0",
    ),
    (
        "negative list",
        Protocol::Binary,
        Kind::List,
        &[12, 0xff, 0xff, 0xff, 0xfe],
        "a container of -2 elements where 0 bytes are left at byte 0",
    ),
    (
        "list of doubles",
        Protocol::Compact,
        Kind::List,
        &[0x27, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        "a container of 2 elements where 9 bytes are left at byte 0",
    ),
    (
        "list of texts",
        Protocol::Binary,
        Kind::List,
        &[11, 0, 0, 0, 2, 0, 0, 0, 0, 0],
        "a container of 2 elements where 5 bytes are left at byte 0",
    ),
    (
        "map",
        Protocol::Compact,
        Kind::Map,
        &[0xff, 0xff, 0x03, 0x33, 1, 2],
        "a container of 65535 elements where 2 bytes are left at byte 0",
    ),
    (
        "map",
        Protocol::Binary,
        Kind::Map,
        &[3, 3, 0, 0, 0, 2, 1, 2, 3],
        "a container of 2 elements where 3 bytes are left at byte 0",
    ),
    (
        "negative map",
        Protocol::Binary,
        Kind::Map,
        &[3, 3, 0x80, 0, 0, 0],
        "a container of -2147483648 elements where 0 bytes are left at byte 0",
    ),
    ("eleven bytes", Protocol::Compact, Kind::I64, &[0x80; 11], "a number of more than 64 bits at byte 0"),
    (
        "65 bits",
        Protocol::Compact,
        Kind::I64,
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
        "a number of more than 64 bits at byte 0",
    ),
    (
        "a long length",
        Protocol::Compact,
        Kind::Bytes,
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        "a text of 9223372036854775807 bytes where 0 bytes are left at byte 0",
    ),
    (
        "type",
        Protocol::Compact,
        Kind::Struct,
        &[0x1e],
        "a value of type 14, which the protocol does not have at byte 0",
    ),
    (
        "type",
        Protocol::Binary,
        Kind::Struct,
        &[1, 0, 1],
        "a value of type 1, which the protocol does not have at byte 0",
    ),
    ("end", Protocol::Binary, Kind::Double, &[1, 2, 3], "the end after 3 of 8 bytes at byte 0"),
];

#[test]
fn what_is_announced_is_compared_with_what_is_left() {
    for (name, protocol, kind, announced, error) in ANNOUNCED {
        assert_eq!(
            skipped(protocol, kind, &bytes(announced)),
            Err(error.to_owned()),
            "{name} in {protocol:?}"
        );
    }
}

#[test]
fn a_container_of_more_than_a_million_is_refused_even_if_it_is_there() {
    let mut list = vec![0xf3, 0x81, 0x80, 0x40];
    list.resize(list.len() + (1 << 20) + 1, 0);
    let error = skipped(Protocol::Compact, Kind::List, &bytes(&list)).unwrap_err();
    assert!(error.starts_with("a container of 1048577 elements"), "{error}");
    list[1] = 0x80;
    assert_eq!(skipped(Protocol::Compact, Kind::List, &bytes(&list)), Ok(list.len() - 1));
}

#[test]
fn what_nests_too_deep_is_refused_wherever_it_ends() {
    // A struct's field 1 is a struct; a list's element is a list.
    let nests: [(Protocol, Kind, &[u8], &[u8]); 4] = [
        (Protocol::Compact, Kind::Struct, &[0x1c], &[0]),
        (Protocol::Binary, Kind::Struct, &[12, 0, 1], &[0]),
        (Protocol::Compact, Kind::List, &[0x19], &[]),
        (Protocol::Binary, Kind::List, &[15, 0, 0, 0, 1], &[]),
    ];
    for (protocol, kind, open, close) in nests {
        let innermost: &[u8] = if kind == Kind::Struct { &[0] } else { &open[..1] };
        let empty: &[u8] = match (kind, protocol) {
            (Kind::Struct, _) => innermost,
            (_, Protocol::Compact) => &[0x03],
            (_, Protocol::Binary) => &[3, 0, 0, 0, 0],
        };
        let nested = |levels: usize| {
            bytes([open.repeat(levels - 1), empty.to_vec(), close.repeat(levels - 1)].concat())
        };
        let fits = nested(MAX_DEPTH);
        assert_eq!(skipped(protocol, kind, &fits), Ok(fits.len()), "{protocol:?} {kind:?}");
        for levels in [MAX_DEPTH + 1, 200_000] {
            let error = skipped(protocol, kind, &nested(levels)).unwrap_err();
            assert!(error.starts_with("more than 32 levels"), "{protocol:?} {kind:?} {levels}: {error}");
        }
    }
}

#[test]
fn ids_go_on_from_the_one_before_or_stand_alone() {
    // Field 1 true, field 16 (one step of 15) false, field 3 as a number of its own: 3 zigzag is 6.
    let fields = bytes([0x11, 0xf2, 0x04, 0x06, 0x08, 0x00]);
    let read = read(&mut Compact::new(&fields), Kind::Struct).unwrap();
    let expected = vec![(1, Value::Bool(true)), (16, Value::Bool(false)), (3, Value::I16(4))];
    assert_eq!(read, Value::Struct(expected));
}

#[test]
fn a_list_of_nothing_may_be_of_no_kind() {
    assert_eq!(skipped(Protocol::Compact, Kind::List, &bytes([0x00])), Ok(1));
    assert_eq!(skipped(Protocol::Binary, Kind::List, &bytes([0, 0, 0, 0, 0])), Ok(5));
    assert_eq!(skipped(Protocol::Binary, Kind::Map, &bytes([0, 0, 0, 0, 0, 0])), Ok(6));
}
