//! A datagram, read and made an export request.

use bytes::Bytes;

use super::clients::Said;
use crate::proto::jaeger::api_v2::Process;
use crate::translate::agent::{self, Message};
use crate::translate::jaeger::thrift::Emitted;
use crate::translate::thrift::{Error, Protocol};
use crate::translate::{jaeger, zipkin};

/// The tag of a process by which a client says who it is.
const CLIENT_ID: &[u8] = b"client-uuid";

/// What is in a datagram.
#[derive(Debug)]
pub(super) struct Read {
    /// An export request with the spans that can be kept.
    pub(super) request: Vec<u8>,
    pub(super) spans: u32,
    /// How many cannot be kept.
    pub(super) left_out: u32,
    /// Why the first of those cannot.
    pub(super) first: Option<String>,
    pub(super) said: Said,
}

/// Reads a datagram, whichever method it calls.
pub(super) fn read(protocol: Protocol, datagram: &Bytes) -> Result<Read, Error> {
    Ok(match agent::message(protocol, datagram)? {
        Message::Jaeger(emitted) => of_jaeger(&emitted),
        Message::Zipkin(read) => of_zipkin(&read),
    })
}

fn of_jaeger(emitted: &Emitted) -> Read {
    let batched = jaeger::batch(&emitted.batch);
    let (spans, left_out) = (batched.spans, batched.left_out + emitted.left_out);
    let lacking = (emitted.left_out > 0).then(|| "it lacks a field that it must have".to_owned());
    let process = emitted.batch.process.as_ref();
    let said = Said {
        service: process.map(|process| process.service_name.clone()).unwrap_or_default(),
        client: process.and_then(client_id),
        spans: spans + left_out,
        sequence: emitted.sequence,
        losses: emitted.losses,
    };
    let first = batched.first.map(|error| error.to_string()).or(lacking);
    Read { request: batched.request, spans, left_out, first, said }
}

fn client_id(process: &Process) -> Option<Bytes> {
    let id = process.tags.iter().find(|tag| tag.key == CLIENT_ID)?.v_str.clone();
    (!id.is_empty()).then_some(id)
}

/// Counted for the service of its first span; clients send their own.
fn of_zipkin(read: &zipkin::Read) -> Read {
    let spans = read.spans.len() as u32;
    let service = read.spans.iter().find_map(|span| Some(span.local_endpoint.as_ref()?.service_name.clone()));
    let said = Said { service: service.unwrap_or_default(), spans: spans + read.left_out, ..Said::default() };
    Read {
        request: zipkin::request(&read.spans),
        spans,
        left_out: read.left_out,
        first: read.first.as_ref().map(ToString::to_string),
        said,
    }
}
