//! Walking messages from end to end: is everything in them what OTLP says it is?
//!
//! As strict as a generated decoder about structure: lengths, and the wire types of known fields. Text that is not
//! UTF-8 is noted, not refused: it can be kept and shown with U+FFFD.

use super::damage::{Damage, DamageKind};
use super::text::is_utf8;
use super::wire::{Fields, Value};
use super::{Limits, MAX_VALUE_DEPTH, MAX_VALUES};
use crate::model::{Origin, SpanId, SpanKind, StatusCode, Timestamp, TraceId};

/// What a walk noted on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Check {
    /// Some text is not UTF-8.
    pub(super) broken_text: bool,
    /// Attributes, events, links and members of lists so far.
    values: usize,
    /// All this was checked before: only what is indexed is read.
    accepted: bool,
    /// Whose words the span came in.
    origin: Origin,
}

/// What a span says about itself that is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_id: Option<SpanId>,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) kind: SpanKind,
    pub(super) status: StatusCode,
    pub(super) flags: u32,
}

/// An id as it stands on the wire, and where its field starts.
#[derive(Debug, Clone, Copy)]
struct RawId<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> RawId<'a> {
    /// The field that `fields` has just read.
    fn read(bytes: &'a [u8], fields: &Fields<'_>) -> Self {
        Self { bytes, offset: fields.last_field().1 }
    }

    /// Not there: the offset is that of the message that lacks it.
    fn absent(message: &Fields<'_>) -> Self {
        Self { bytes: &[], offset: message.offset() }
    }
}

impl Check {
    /// Of a message whose surroundings have been checked, and perhaps itself too, when it was accepted.
    pub(super) fn inside(broken_text: bool, accepted: bool, origin: Origin) -> Self {
        Self { broken_text, values: 0, accepted, origin }
    }

    /// Whether what was walked, a `name` that starts at `offset`, has no more values than it may have.
    #[inline]
    pub(super) fn has_few_values(&self, name: &'static str, offset: usize) -> Result<(), Damage> {
        if self.values > MAX_VALUES {
            return Err(Damage { kind: DamageKind::TooMany { name, count: self.values }, offset });
        }
        Ok(())
    }

    /// A whole `trace.v1.Span` that can be indexed and stored.
    pub(super) fn span(&mut self, mut fields: Fields<'_>, limits: &Limits) -> Result<Header, Damage> {
        let (length, limit) = (fields.remaining(), limits.max_span_bytes);
        if length > limit {
            return Err(Damage { kind: DamageKind::TooLarge { length, limit }, offset: fields.offset() });
        }
        let (start, absent) = (fields.offset(), RawId::absent(&fields));
        let (mut trace, mut id, mut parent) = (absent, absent, absent);
        let mut header = Header::default();
        while let Some(field) = fields.next_field()? {
            match field {
                (3 | 5 | 9 | 11 | 13, Value::Bytes(_)) if self.accepted => {}
                (9, Value::Bytes(pair)) => self.key_value(&fields, pair, 0)?,
                (1, Value::Bytes(bytes)) => trace = RawId::read(bytes, &fields),
                (2, Value::Bytes(bytes)) => id = RawId::read(bytes, &fields),
                (3 | 5, Value::Bytes(text)) => self.text(text),
                (4, Value::Bytes(bytes)) => parent = RawId::read(bytes, &fields),
                (6, Value::Varint(number)) => header.kind = SpanKind::from_number(low_half(number)),
                (7, Value::Fixed64(nanos)) => header.start = Timestamp(nanos),
                (8, Value::Fixed64(nanos)) => header.end = Timestamp(nanos),
                (10 | 12 | 14, Value::Varint(_)) => {}
                (11, Value::Bytes(event)) => self.event(fields.embedded(event))?,
                (13, Value::Bytes(link)) => self.link(fields.embedded(link))?,
                (15, Value::Bytes(status)) => self.status(fields.embedded(status), &mut header.status)?,
                (16, Value::Fixed32(flags)) => header.flags = flags,
                (1..=16, _) => return Err(Damage::wrong_type("Span", field.0, &fields)),
                _ => {}
            }
        }
        self.has_few_values("span", start)?;
        header.trace_id = TraceId(self.own_id("trace id", "16", trace)?);
        header.span_id = SpanId(self.own_id("span id", "8", id)?);
        header.parent_id = optional_id("parent span id", "0 or 8", parent)?.map(SpanId);
        Ok(header)
    }

    /// OTLP calls zeros an invalid id; a Jaeger span may have them.
    fn own_id<const N: usize>(
        &self,
        name: &'static str,
        right: &'static str,
        id: RawId<'_>,
    ) -> Result<[u8; N], Damage> {
        match self.origin {
            Origin::Otlp | Origin::Zipkin => required_id(name, right, id),
            Origin::Jaeger => Ok(optional_id(name, right, id)?.unwrap_or([0; N])),
        }
    }

    /// `resource.v1.Resource`.
    pub(super) fn resource(&mut self, mut fields: Fields<'_>) -> Result<(), Damage> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(pair)) => self.key_value(&fields, pair, 0)?,
                (2, Value::Varint(_)) => {}
                (3, Value::Bytes(entity)) => self.entity(fields.embedded(entity))?,
                (1..=3, _) => return Err(Damage::wrong_type("Resource", field.0, &fields)),
                _ => {}
            }
        }
        Ok(())
    }

    /// `common.v1.InstrumentationScope`.
    pub(super) fn scope(&mut self, mut fields: Fields<'_>) -> Result<(), Damage> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1 | 2, Value::Bytes(text)) => self.text(text),
                (3, Value::Bytes(pair)) => self.key_value(&fields, pair, 0)?,
                (4, Value::Varint(_)) => {}
                (1..=4, _) => return Err(Damage::wrong_type("InstrumentationScope", field.0, &fields)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Any text.
    #[inline]
    pub(super) fn text(&mut self, text: &[u8]) {
        self.broken_text |= !is_utf8(text);
    }

    fn entity(&mut self, mut fields: Fields<'_>) -> Result<(), Damage> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1..=4, Value::Bytes(text)) => self.text(text),
                (1..=4, _) => return Err(Damage::wrong_type("EntityRef", field.0, &fields)),
                _ => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, mut fields: Fields<'_>) -> Result<(), Damage> {
        self.values += 1;
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Fixed64(_)) | (4, Value::Varint(_)) => {}
                (2, Value::Bytes(text)) => self.text(text),
                (3, Value::Bytes(pair)) => self.key_value(&fields, pair, 0)?,
                (1..=4, _) => return Err(Damage::wrong_type("Event", field.0, &fields)),
                _ => {}
            }
        }
        Ok(())
    }

    fn link(&mut self, mut fields: Fields<'_>) -> Result<(), Damage> {
        self.values += 1;
        let (mut trace, mut span) = (RawId::absent(&fields), RawId::absent(&fields));
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(bytes)) => trace = RawId::read(bytes, &fields),
                (2, Value::Bytes(bytes)) => span = RawId::read(bytes, &fields),
                (3, Value::Bytes(text)) => self.text(text),
                (4, Value::Bytes(pair)) => self.key_value(&fields, pair, 0)?,
                (5, Value::Varint(_)) | (6, Value::Fixed32(_)) => {}
                (1..=6, _) => return Err(Damage::wrong_type("Link", field.0, &fields)),
                _ => {}
            }
        }
        optional_id::<16>("linked trace id", "0 or 16", trace)?;
        optional_id::<8>("linked span id", "0 or 8", span)?;
        Ok(())
    }

    fn status(&mut self, mut fields: Fields<'_>, code: &mut StatusCode) -> Result<(), Damage> {
        while let Some(field) = fields.next_field()? {
            match field {
                (2, Value::Bytes(text)) => self.text(text),
                (3, Value::Varint(number)) => *code = StatusCode::from_number(low_half(number)),
                (2 | 3, _) => return Err(Damage::wrong_type("Status", field.0, &fields)),
                _ => {}
            }
        }
        Ok(())
    }

    /// A `common.v1.KeyValue`, the field that `outer` has just read, inside of `depth` lists.
    #[inline]
    fn key_value(&mut self, outer: &Fields<'_>, pair: &[u8], depth: usize) -> Result<(), Damage> {
        self.values += 1;
        if let Some((key, text)) = plain_attribute(pair) {
            self.text(key);
            self.text(text);
            return Ok(());
        }
        self.any_key_value(outer.embedded(pair), depth)
    }

    fn any_key_value(&mut self, mut fields: Fields<'_>, depth: usize) -> Result<(), Damage> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(key)) => self.text(key),
                (2, Value::Bytes(value)) => self.any_value(fields.embedded(value), depth)?,
                (3, Value::Varint(_)) => {}
                (1..=3, _) => return Err(Damage::wrong_type("KeyValue", field.0, &fields)),
                _ => {}
            }
        }
        Ok(())
    }

    fn any_value(&mut self, mut fields: Fields<'_>, depth: usize) -> Result<(), Damage> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(text)) => self.text(text),
                (2 | 3 | 8, Value::Varint(_)) | (4, Value::Fixed64(_)) | (7, Value::Bytes(_)) => {}
                (5 | 6, Value::Bytes(_)) if depth == MAX_VALUE_DEPTH => {
                    return Err(Damage { kind: DamageKind::TooDeep, offset: fields.last_field().1 });
                }
                (5, Value::Bytes(list)) => self.array(fields.embedded(list), depth + 1)?,
                (6, Value::Bytes(list)) => self.key_value_list(fields.embedded(list), depth + 1)?,
                (1..=8, _) => return Err(Damage::wrong_type("AnyValue", field.0, &fields)),
                _ => {}
            }
        }
        Ok(())
    }

    fn array(&mut self, mut fields: Fields<'_>, depth: usize) -> Result<(), Damage> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(value)) => {
                    self.values += 1;
                    self.any_value(fields.embedded(value), depth)?;
                }
                (1, _) => return Err(Damage::wrong_type("ArrayValue", field.0, &fields)),
                _ => {}
            }
        }
        Ok(())
    }

    fn key_value_list(&mut self, mut fields: Fields<'_>, depth: usize) -> Result<(), Damage> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(pair)) => self.key_value(&fields, pair, depth)?,
                (1, _) => return Err(Damage::wrong_type("KeyValueList", field.0, &fields)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Key and text (empty for a number) of an attribute as most are: a key and a scalar value in this order, nothing else,
/// each shorter than 128 bytes. `None` means nothing: any other bytes, good or bad.
#[inline]
fn plain_attribute(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    const KEY: u8 = 1 << 3 | 2;
    const VALUE: u8 = 2 << 3 | 2;
    const STRING: u8 = 1 << 3 | 2;
    const BOOL: u8 = 2 << 3;
    const INT: u8 = 3 << 3;
    const DOUBLE: u8 = 4 << 3 | 1;
    let [KEY, key_length @ 0..0x80, rest @ ..] = pair else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
    let [VALUE, value_length @ 0..0x80, value @ ..] = rest else { return None };
    let text = match value {
        [STRING, length @ 0..0x80, text @ ..] if usize::from(*length) == text.len() => Some(text),
        [BOOL | INT, number @ ..] if is_one_varint(number) => Some(&[][..]),
        [DOUBLE, bits @ ..] if bits.len() == 8 => Some(&[][..]),
        _ => None,
    };
    text.filter(|_| usize::from(*value_length) == value.len()).map(|text| (key, text))
}

/// Up to ten bytes, all but the last with the bit that says "more follows"; the tenth holds one bit.
#[inline]
fn is_one_varint(bytes: &[u8]) -> bool {
    let Some((last, more)) = bytes.split_last() else { return false };
    let highest = if more.len() < 9 { 0x7f } else { 1 };
    more.len() <= 9 && *last <= highest && more.iter().all(|byte| *byte >= 0x80)
}

/// Enums and 32-bit numbers are the low half of the varint they are sent in.
fn low_half(number: u64) -> u64 {
    u64::from(number as u32)
}

#[inline]
fn required_id<const N: usize>(
    name: &'static str,
    right: &'static str,
    RawId { bytes, offset }: RawId<'_>,
) -> Result<[u8; N], Damage> {
    match <[u8; N]>::try_from(bytes) {
        Ok(id) if id != [0; N] => Ok(id),
        Ok(_) => Err(Damage { kind: DamageKind::ZeroId { name }, offset }),
        Err(_) if bytes.is_empty() => Err(Damage { kind: DamageKind::NoId { name }, offset }),
        Err(_) => Err(id_length(name, right, RawId { bytes, offset })),
    }
}

/// `None` for the two ways to say "none": nothing, and zeros.
#[inline]
fn optional_id<const N: usize>(
    name: &'static str,
    right: &'static str,
    RawId { bytes, offset }: RawId<'_>,
) -> Result<Option<[u8; N]>, Damage> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = <[u8; N]>::try_from(bytes).map_err(|_| id_length(name, right, RawId { bytes, offset }))?;
    Ok((id != [0; N]).then_some(id))
}

#[cold]
fn id_length(name: &'static str, right: &'static str, id: RawId<'_>) -> Damage {
    Damage { kind: DamageKind::IdLength { name, length: id.bytes.len(), right }, offset: id.offset }
}
