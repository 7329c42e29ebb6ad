//! Zipkin's first spans: events and values with a host each, from which version 2 was drawn.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;

use super::{Endpoint, Kind};
use crate::model::{SpanId, TraceId};

/// A span of version 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// Never zero.
    pub trace_id: TraceId,
    /// Never zero.
    pub id: SpanId,
    /// The span it was started by; zero is none.
    pub parent_id: Option<SpanId>,
    /// Empty when it has none.
    pub name: Bytes,
    /// Start, in µs since 1970.
    pub timestamp: Option<i64>,
    /// In µs.
    pub duration: Option<i64>,
    /// Events, those that tell of the call among them (`cs`, `sr` …).
    pub annotations: Vec<Annotation>,
    /// Values, those that tell of the other side among them (`ca`, `sa` …).
    pub binary_annotations: Vec<BinaryAnnotation>,
    /// Recorded whatever a sampler says.
    pub debug: bool,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Annotation {
    /// In µs since 1970.
    pub timestamp: i64,
    /// What.
    pub value: Bytes,
    /// Where.
    pub endpoint: Option<Endpoint>,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryAnnotation {
    /// Its name.
    pub key: Bytes,
    /// What it is.
    pub value: Value,
    /// Where.
    pub endpoint: Option<Endpoint>,
}

/// A value of one of the types that thrift's version has; of those JSON has the first and the last.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `BOOL`; of `ca`, `sa` and `ma` it says that the endpoint is the other side's address.
    Bool(bool),
    /// `BYTES`.
    Bytes(Bytes),
    /// `I16`, `I32` and `I64`.
    Integer(i64),
    /// `DOUBLE`.
    Double(f64),
    /// `STRING`.
    Text(Bytes),
}

impl Span {
    /// The same in words of version 2: one span, or two where it tells of both sides of a call. The second is then who
    /// answered, and shares the id.
    ///
    /// Source: zipkin `V1SpanConverter`.
    pub fn into_v2(self) -> Vec<super::Span> {
        let core = Core::of(&self.annotations);
        let mut halves = Halves::of(&self, &core);
        halves.set_times(&self, &core);
        halves.set_remotes(&self);
        halves.fill(&self);
        std::iter::once(halves.first).chain(halves.second).map(|half| half.span).collect()
    }
}

/// The annotations that tell of a call or a message: the last of each.
#[derive(Debug, Default)]
struct Core<'a> {
    /// Client send, client receive.
    client: [Option<&'a Annotation>; 2],
    /// Server receive, server send.
    server: [Option<&'a Annotation>; 2],
    /// Message send, and its way onto the wire.
    producer: [Option<&'a Annotation>; 2],
    /// The way off the wire, and message receive.
    consumer: [Option<&'a Annotation>; 2],
}

impl<'a> Core<'a> {
    fn of(annotations: &'a [Annotation]) -> Self {
        let mut core = Self::default();
        for annotation in annotations {
            if let Some(place) = core.place(&annotation.value) {
                *place = Some(annotation);
            }
        }
        core
    }

    fn place(&mut self, value: &[u8]) -> Option<&mut Option<&'a Annotation>> {
        Some(match value {
            b"cs" => &mut self.client[0],
            b"cr" => &mut self.client[1],
            b"sr" => &mut self.server[0],
            b"ss" => &mut self.server[1],
            b"ms" => &mut self.producer[0],
            b"ws" => &mut self.producer[1],
            b"wr" => &mut self.consumer[0],
            b"mr" => &mut self.consumer[1],
            _ => return None,
        })
    }

    /// The sides that are told of, who asks or sends first. The wire alone tells of nobody.
    fn sides(&self) -> impl Iterator<Item = Side<'a>> {
        let side = |kind, [begin, end]: [Option<&'a Annotation>; 2]| Side { kind, begin, end };
        let producer = self.producer[0].map(|_| side(Kind::Producer, self.producer));
        // A message whose way off the wire is not told begins when it was received.
        let [taken, received] = self.consumer;
        let consumer = received.map(|_| match taken {
            Some(_) => side(Kind::Consumer, [taken, received]),
            None => side(Kind::Consumer, [received, None]),
        });
        let sides = [side(Kind::Client, self.client), side(Kind::Server, self.server)];
        let calls = sides.into_iter().filter(|side| side.begin.or(side.end).is_some());
        calls.chain([producer, consumer].into_iter().flatten())
    }
}

/// What one side of a call tells of itself.
#[derive(Debug, Clone, Copy)]
struct Side<'a> {
    kind: Kind,
    begin: Option<&'a Annotation>,
    end: Option<&'a Annotation>,
}

impl<'a> Side<'a> {
    fn endpoint(&self) -> Option<&'a Endpoint> {
        [self.begin, self.end].into_iter().flatten().find_map(|annotation| annotation.endpoint.as_ref())
    }

    fn start(&self) -> Option<u64> {
        micros(self.begin?.timestamp)
    }

    /// In µs, if both ends are known; not less than one.
    fn duration(&self) -> Option<u64> {
        let (begin, end) = (self.begin?, self.end?);
        Some(micros(end.timestamp.saturating_sub(begin.timestamp)).unwrap_or(1))
    }

    /// Whether this annotation is one of the side's, and the times of its span say the same.
    fn is_told(&self, annotation: &Annotation, span: &super::Span) -> bool {
        let is = |one: Option<&Annotation>| one.is_some_and(|one| std::ptr::eq(one, annotation));
        let time = micros(annotation.timestamp);
        // No duration is less than one.
        let ends = || {
            let (start, time) = (span.timestamp?, time?);
            Some(start.checked_add(span.duration?)? == time.max(start + 1))
        };
        is(self.begin) && time.is_some() && span.timestamp == time || is(self.end) && ends() == Some(true)
    }
}

/// A span that comes out of one, and the side that it is of.
#[derive(Debug)]
struct Half<'a> {
    span: super::Span,
    side: Option<Side<'a>>,
}

/// The spans that come out of one: the second is who answered.
#[derive(Debug)]
struct Halves<'a> {
    first: Half<'a>,
    second: Option<Half<'a>>,
}

impl<'a> Halves<'a> {
    fn of(span: &'a Span, core: &Core<'a>) -> Self {
        let mut sides = core.sides();
        let mut first = Half { span: span.half(), side: sides.next() };
        let endpoint = first.side.map_or_else(|| span.first_endpoint(), |side| side.endpoint());
        first.span.local_endpoint = endpoint.cloned();
        first.span.kind = first.side.map(|side| side.kind);
        let second = sides.next().map(|side| {
            let (kind, local_endpoint) = (Some(side.kind), side.endpoint().cloned());
            let second = super::Span { kind, local_endpoint, shared: true, ..span.half() };
            Half { span: second, side: Some(side) }
        });
        Self { first, second }
    }

    /// The span's own times are those of who asked, or of the only one there is.
    fn set_times(&mut self, span: &Span, core: &Core<'_>) {
        let (start, duration) = (span.timestamp.and_then(micros), span.duration.and_then(micros));
        let Half { span: first, side } = &mut self.first;
        let told = side.map_or((None, None), |side| (side.start(), side.duration()));
        (first.timestamp, first.duration) = match (start, duration) {
            (Some(_), Some(_)) => (start, duration),
            _ => (told.0.or(start), told.1.or(duration)),
        };
        // Version 1 had no word for it: who does not say when a call started did not start it.
        let is_server = core.client == [None; 2] && core.server[0].is_some();
        first.shared = is_server && (start.is_none() || (core.server[1].is_some() && duration.is_none()));
        if let Some(Half { span: second, side: Some(side) }) = &mut self.second {
            (second.timestamp, second.duration) = (side.start(), side.duration());
        }
    }

    /// The other sides' addresses.
    fn set_remotes(&mut self, span: &Span) {
        let [client, server, broker] = [&b"ca"[..], b"sa", b"ma"].map(|key| span.address(key));
        if self.first.side.is_none() {
            return self.first.span.set_addresses(client, server.or(broker));
        }
        for half in std::iter::once(&mut self.first).chain(&mut self.second) {
            let span = &mut half.span;
            span.remote_endpoint = match span.kind {
                Some(Kind::Client) => server.cloned(),
                Some(Kind::Server) => client.and_then(|client| caller(client, span.local_endpoint.as_ref())),
                _ => broker.cloned(),
            };
        }
    }

    /// Gives each half the annotations and values of its service.
    fn fill(&mut self, span: &Span) {
        for annotation in &span.annotations {
            let halves = std::iter::once(&self.first).chain(&self.second);
            let mut sides = halves.filter_map(|half| half.side.map(|side| (side, &half.span)));
            if !sides.any(|(side, span)| side.is_told(annotation, span)) {
                let timestamp = micros(annotation.timestamp).unwrap_or_default();
                let value = annotation.value.clone();
                let half = self.of_endpoint(annotation.endpoint.as_ref());
                half.annotations.push(super::Annotation { timestamp, value });
            }
        }
        for binary in span.binary_annotations.iter().filter(|binary| !binary.is_address()) {
            let value = binary.value.to_text();
            // The local component is only a place to put an endpoint when it has no name.
            if binary.key != b"lc"[..] || !value.is_empty() {
                self.of_endpoint(binary.endpoint.as_ref()).tags.push((binary.key.clone(), value));
            }
        }
    }

    /// The half of a service: the first unless it is the other's and not its own.
    fn of_endpoint(&mut self, endpoint: Option<&Endpoint>) -> &mut super::Span {
        let is_of = |half: &Half<'_>| {
            half.span.local_endpoint.as_ref().map(|local| &local.service_name)
                == endpoint.map(|endpoint| &endpoint.service_name)
        };
        match &mut self.second {
            Some(second) if endpoint.is_some() && is_of(second) && !is_of(&self.first) => &mut second.span,
            _ => &mut self.first.span,
        }
    }
}

impl super::Span {
    /// Those of a span that tells of no side.
    fn set_addresses(&mut self, client: Option<&Endpoint>, server: Option<&Endpoint>) {
        if let (Some(client), None) = (client, server) {
            self.kind = Some(Kind::Server);
            self.remote_endpoint = Some(client.clone());
        } else {
            // Whose address this is was called; that it was a call is not said.
            self.local_endpoint = client.or(self.local_endpoint.as_ref()).cloned();
            self.remote_endpoint = server.cloned();
        }
    }
}

impl Span {
    /// What both halves have alike.
    fn half(&self) -> super::Span {
        super::Span {
            trace_id: self.trace_id,
            id: self.id,
            parent_id: self.parent_id.filter(|parent| !parent.is_zero() && *parent != self.id),
            name: self.name.clone(),
            debug: self.debug,
            ..super::Span::default()
        }
    }

    /// That of who recorded a span within a service.
    fn first_endpoint(&self) -> Option<&Endpoint> {
        let values = self.binary_annotations.iter().filter(|binary| !binary.is_address());
        let of_events = self.annotations.iter().map(|annotation| annotation.endpoint.as_ref());
        of_events.chain(values.map(|binary| binary.endpoint.as_ref())).flatten().next()
    }

    /// The endpoint that is marked as the other side's by a key.
    fn address(&self, key: &[u8]) -> Option<&Endpoint> {
        let mut marks = self.binary_annotations.iter().filter(|binary| binary.is_address());
        marks.find(|binary| binary.key == key)?.endpoint.as_ref()
    }
}

impl BinaryAnnotation {
    fn is_address(&self) -> bool {
        let is_mark = matches!(&self.key[..], b"ca" | b"sa" | b"ma") && self.value == Value::Bool(true);
        is_mark && self.endpoint.is_some()
    }
}

impl Value {
    /// As a tag has it. Bytes become base64 of the alphabet for addresses, as Zipkin writes them.
    fn to_text(&self) -> Bytes {
        match self {
            Self::Bool(bit) => bit.to_string().into(),
            Self::Bytes(bytes) => URL_SAFE.encode(bytes).into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Double(number) => number.to_string().into(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Who called this server. Finagle writes the server's own name to the caller's address.
fn caller(client: &Endpoint, server: Option<&Endpoint>) -> Option<Endpoint> {
    match server {
        Some(server) if server == client => None,
        Some(server) if server.service_name == client.service_name => {
            Endpoint { service_name: Bytes::new(), ..client.clone() }.unless_silent()
        }
        _ => Some(client.clone()),
    }
}

/// A time or a duration as version 2 has it: neither zero nor less.
fn micros(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number != 0)
}
