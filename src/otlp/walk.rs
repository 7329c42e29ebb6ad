//! From a request down to its spans: resource first, then scope, then each span, in whatever order they were sent.

use std::borrow::Cow;

use super::check::{Check, Header};
use super::damage::{Damage, DamageKind, Place, ScanError};
use super::wire::{Fields, Value};
use super::{Limits, MAX_ENCLOSING_BYTES, MAX_FIELDS_AROUND, ORIGIN_FIELD};
use crate::model::Origin;

/// Names of the levels of an `ExportTraceServiceRequest`.
const TRACES: Place = Place::request(&["resource_spans", "scope_spans", "spans"]);

/// A kind of message that encloses spans.
struct Enclosing {
    /// The message that it and its spans stand in.
    outer: &'static str,
    name: &'static str,
    check: fn(&mut Check, Fields<'_>) -> Result<(), Damage>,
}

const RESOURCE: Enclosing = Enclosing { outer: "ResourceSpans", name: "resource", check: Check::resource };
const SCOPE: Enclosing = Enclosing { outer: "ScopeSpans", name: "scope", check: Check::scope };

/// What encloses spans: a resource or a scope, with its schema.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// The `Resource` or `InstrumentationScope` message. When it was sent in several pieces they are put
    /// end to end, which is how protobuf merges messages.
    pub(super) message: Cow<'a, [u8]>,
    pub(super) schema_url: &'a [u8],
    /// Some text in it is not UTF-8.
    pub(super) broken_text: bool,
}

/// A span that was come by.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// The `Span` message.
    pub(super) body: &'a [u8],
    /// What it says, or why it cannot be taken.
    pub(super) header: Result<Header, Damage>,
    /// Some text of the span, of its resource or of its scope is not UTF-8.
    pub(super) broken_text: bool,
    pub(super) place: Place,
}

/// Is told what is come by, enclosing things first.
pub(super) trait Visitor<'a> {
    /// Whether every span was checked when it was accepted: then attributes, events and links are stepped over.
    const ACCEPTED: bool = false;
    /// The resource of the spans that follow, and whose words they came in.
    fn resource(&mut self, _resource: Envelope<'a>, _origin: Origin) {}
    /// The scope of the spans that follow.
    fn scope(&mut self, _scope: Envelope<'a>) {}
    /// A span, good or not.
    fn span(&mut self, span: Found<'a>);
    /// Whether no more of the request is looked at.
    fn has_enough(&self) -> bool {
        false
    }
}

/// Shows every span of a request to `visitor`; an error when something around the spans is damaged.
pub(super) fn walk<'a, V: Visitor<'a>>(
    request: &'a [u8],
    limits: &Limits,
    visitor: &mut V,
) -> Result<(), ScanError> {
    let mut fields = Fields::new(request);
    let mut index = 0;
    while let Some(field) = fields.next_field().map_err(|error| ScanError::new(TRACES, error.into()))? {
        match field {
            (1, Value::Bytes(message)) => {
                resource_spans(fields.embedded(message), TRACES.entered(index), limits, visitor)?;
                index += 1;
            }
            (1, _) => {
                let damage = Damage::wrong_type("ExportTraceServiceRequest", 1, &fields);
                return Err(ScanError::new(TRACES, damage));
            }
            _ => {}
        }
    }
    Ok(())
}

fn resource_spans<'a>(
    fields: Fields<'a>,
    place: Place,
    limits: &Limits,
    visitor: &mut impl Visitor<'a>,
) -> Result<(), ScanError> {
    let resource = envelope(fields.clone(), &RESOURCE).map_err(|damage| ScanError::new(place, damage))?;
    let outer = Outer { broken_text: resource.broken_text, origin: origin(fields.clone()) };
    visitor.resource(resource, outer.origin);
    is_still_interested(visitor, &fields, place)?;
    for (index, (message, _)) in children(fields).enumerate() {
        scope_spans(message, place.entered(index), outer, limits, visitor)?;
    }
    Ok(())
}

/// What holds of all spans of a `ResourceSpans`.
#[derive(Clone, Copy)]
struct Outer {
    broken_text: bool,
    origin: Origin,
}

fn scope_spans<'a, V: Visitor<'a>>(
    fields: Fields<'a>,
    place: Place,
    Outer { mut broken_text, origin }: Outer,
    limits: &Limits,
    visitor: &mut V,
) -> Result<(), ScanError> {
    let scope = envelope(fields.clone(), &SCOPE).map_err(|damage| ScanError::new(place, damage))?;
    broken_text |= scope.broken_text;
    visitor.scope(scope);
    is_still_interested(visitor, &fields, place)?;
    for (index, (message, body)) in children(fields.clone()).enumerate() {
        let mut check = Check::inside(broken_text, V::ACCEPTED, origin);
        let header = check.span(message, limits);
        let is_bad = header.is_err();
        visitor.span(Found { body, header, broken_text: check.broken_text, place: place.entered(index) });
        if is_bad {
            is_still_interested(visitor, &fields, place)?;
        }
    }
    Ok(())
}

fn is_still_interested<'a>(
    visitor: &impl Visitor<'a>,
    fields: &Fields<'a>,
    place: Place,
) -> Result<(), ScanError> {
    if !visitor.has_enough() {
        return Ok(());
    }
    let damage = Damage { kind: DamageKind::TooManyUseless, offset: fields.last_field().1 };
    Err(ScanError::new(place, damage))
}

/// What `ResourceSpans` and `ScopeSpans` have alike: 1 is the enclosing thing, 2 the children, 3 the schema.
fn envelope<'a>(mut fields: Fields<'a>, enclosing: &Enclosing) -> Result<Envelope<'a>, Damage> {
    let name = enclosing.name;
    let mut check = Check::default();
    let mut message: Cow<'a, [u8]> = Cow::default();
    let mut schema_url: &'a [u8] = &[];
    let mut fields_left = MAX_FIELDS_AROUND;
    while let Some(field) = fields.next_field()? {
        fields_left = fields_left.checked_sub(1).ok_or_else(|| Damage {
            kind: DamageKind::TooManyFields { message: enclosing.outer },
            offset: fields.last_field().1,
        })?;
        match field {
            (1, Value::Bytes(piece)) => {
                let (length, offset) = (message.len() + piece.len(), fields.last_field().1);
                if length > MAX_ENCLOSING_BYTES {
                    return Err(Damage { kind: DamageKind::TooLargeAround { name, length }, offset });
                }
                (enclosing.check)(&mut check, fields.embedded(piece))?;
                check.has_few_values(name, offset)?;
                if message.is_empty() {
                    message = Cow::Borrowed(piece);
                } else {
                    message.to_mut().extend_from_slice(piece);
                }
            }
            (2, Value::Bytes(_)) => {}
            (3, Value::Bytes(text)) => {
                check.text(text);
                schema_url = text;
            }
            (1..=3, _) => return Err(Damage::wrong_type(enclosing.outer, field.0, &fields)),
            _ => {}
        }
    }
    Ok(Envelope { message, schema_url, broken_text: check.broken_text })
}

/// Whose words the spans of a `ResourceSpans` came in. What a later version of this program says is read as OTLP, which
/// it also is.
pub fn origin(fields: Fields<'_>) -> Origin {
    let numbers = fields.filter_map(|field| match field {
        (ORIGIN_FIELD, Value::Varint(number)) => u8::try_from(number).ok(),
        _ => None,
    });
    numbers.last().and_then(Origin::from_number).unwrap_or_default()
}

/// The repeated messages of an envelope that was read through before.
fn children<'a>(mut fields: Fields<'a>) -> impl Iterator<Item = (Fields<'a>, &'a [u8])> {
    std::iter::from_fn(move || {
        loop {
            if let (2, Value::Bytes(message)) = fields.next()? {
                return Some((fields.embedded(message), message));
            }
        }
    })
}
