//! What Jaeger's clients send to an agent: one message in a datagram, of one of two methods.
//!
//! Source: jaeger-idl `thrift/agent.thrift`.

use bytes::Bytes;

use super::jaeger::thrift::{Emitted, emitted};
use super::thrift::{self, Binary, Compact, Error, Head, Kind, Protocol, Read};
use super::zipkin;

/// A datagram, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// `emitBatch`.
    Jaeger(Emitted),
    /// `emitZipkinBatch`.
    Zipkin(zipkin::Read),
}

/// What a message that calls is, and one that does not wait for an answer; clients differ in which they say.
const CALLS: [u8; 2] = [1, 4];

/// Reads a whole message: its name, type and number, and its arguments. Of the type only that it calls is asked.
pub fn message(protocol: Protocol, datagram: &Bytes) -> Result<Message, Error> {
    let message = match protocol {
        Protocol::Compact => read(&mut Compact::new(datagram)),
        Protocol::Binary => read(&mut Binary::new(datagram)),
    };
    message.map_err(|error| *error)
}

fn read<'a>(reader: &mut impl Read<'a>) -> thrift::Result<Message> {
    let Head { method, message_type } = reader.message()?;
    if !CALLS.contains(&message_type) {
        return Err(Error::new(format!("a message of type {message_type}, which does not call"), 0));
    }
    match method {
        b"emitBatch" => argument(reader, Kind::Struct, |reader| emitted(reader)).map(Message::Jaeger),
        b"emitZipkinBatch" => {
            argument(reader, Kind::List, |reader| zipkin::thrift::spans(reader)).map(Message::Zipkin)
        }
        other => {
            Err(Error::new(format!("a call of '{}', which an agent does not have", shortened(other)), 0))
        }
    }
}

/// The one argument of a method, which is a struct with one field.
fn argument<'a, R: Read<'a>, T>(
    reader: &mut R,
    expected: Kind,
    mut read: impl FnMut(&mut R) -> thrift::Result<T>,
) -> thrift::Result<T> {
    let mut argument = None;
    reader.fields(|reader, id, kind| {
        let is_it = (id, kind) == (1, expected);
        if is_it {
            argument = Some(read(reader)?);
        }
        Ok(is_it)
    })?;
    argument.ok_or_else(|| Error::new("a call without its argument", reader.input().at()))
}

/// A name for a person to read.
fn shortened(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(&name[..name.len().min(64)]);
    text.chars().flat_map(char::escape_default).take(64).collect()
}

#[cfg(test)]
mod tests {
    use ::thrift::protocol::TMessageType;

    use super::*;
    use crate::translate::thrift::written::{Form, Value};

    fn batch() -> Value {
        let process = Value::Struct(vec![(1, Value::text("cart"))]);
        Value::Struct(vec![(1, process), (2, Value::structs([])), (3, Value::I64(7))])
    }

    #[test]
    fn both_methods_are_read_however_they_are_called() {
        for form in Form::ALL {
            for message_type in [TMessageType::Call, TMessageType::OneWay] {
                for number in [0, 1, -1, i32::MAX] {
                    let datagram = form.message(("emitBatch", message_type), number, batch());
                    let Ok(Message::Jaeger(emitted)) = message(form.protocol(), &datagram) else {
                        panic!("{form:?} {message_type} {number}");
                    };
                    assert_eq!(emitted.sequence, Some(7));
                    assert_eq!(emitted.batch.process.unwrap().service_name, "cart");

                    let nameless = vec![(1, Value::I64(5)), (4, Value::I64(0))];
                    let spans = Value::structs([nameless]);
                    let datagram = form.message(("emitZipkinBatch", message_type), number, spans);
                    let Ok(Message::Zipkin(read)) = message(form.protocol(), &datagram) else {
                        panic!("{form:?} {message_type} {number}");
                    };
                    assert_eq!((read.spans.len(), read.left_out), (0, 1));
                }
            }
        }
    }

    #[test]
    fn datagrams_by_hand_are_read() {
        // A process without anything, and no spans: field 1 of field 1, field 2 of it.
        let compact = b"\x82\x81\x80\x01\x09emitBatch\x1c\x1c\x00\x19\x0c\x00\x00";
        let strict = b"\x80\x01\x00\x04\0\0\0\x09emitBatch\0\0\0\0\
            \x0c\0\x01\x0c\0\x01\0\x0f\0\x02\x0c\0\0\0\0\0\0";
        let lax = b"\0\0\0\x09emitBatch\x01\0\0\0\x05\
            \x0c\0\x01\x0c\0\x01\0\x0f\0\x02\x0c\0\0\0\0\0\0";
        let forms: [(Protocol, &'static [u8]); 3] =
            [(Protocol::Compact, compact), (Protocol::Binary, strict), (Protocol::Binary, lax)];
        for (protocol, datagram) in forms {
            let datagram = Bytes::from_static(datagram);
            let read = message(protocol, &datagram).unwrap();
            let Message::Jaeger(emitted) = read else { panic!("{protocol:?}") };
            assert_eq!((emitted.batch.process.is_some(), emitted.batch.spans.len()), (true, 0));
            for end in 0..datagram.len() {
                assert!(message(protocol, &datagram.slice(..end)).is_err(), "{protocol:?} up to {end}");
            }
        }
    }

    #[test]
    fn what_is_no_such_call_is_refused_with_what_it_is() {
        let long = "x\n".repeat(4_000);
        let calls = [
            (
                ("emitSpans", TMessageType::Call),
                "a call of 'emitSpans', which an agent does not have at byte 0",
            ),
            (("emitBatch", TMessageType::Reply), "a message of type 2, which does not call at byte 0"),
            (("emitBatch", TMessageType::Exception), "a message of type 3, which does not call at byte 0"),
            (("emitZipkinBatch", TMessageType::Call), "a call without its argument at byte "),
            ((&long, TMessageType::Call), "a call of 'x\\nx\\n"),
        ];
        for form in Form::ALL {
            for (call, expected) in calls {
                let error =
                    message(form.protocol(), &form.message(call, 1, batch())).unwrap_err().to_string();
                assert!(error.starts_with(expected) && error.len() < 150, "{form:?}: {error}");
            }
        }
    }

    #[test]
    fn the_other_protocol_is_called_by_its_name() {
        let call = ("emitBatch", TMessageType::OneWay);
        let error = message(Protocol::Binary, &Form::Compact.message(call, 1, batch())).unwrap_err();
        assert_eq!(error.what, "a message of the compact protocol instead of the binary one");
        let error = message(Protocol::Compact, &Form::Strict.message(call, 1, batch())).unwrap_err();
        assert_eq!(error.what, "a message of the binary protocol instead of the compact one");
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"{}", b"\x0c", b""] {
            for protocol in [Protocol::Compact, Protocol::Binary] {
                assert!(message(protocol, &Bytes::from_static(other)).is_err(), "{other:?} {protocol:?}");
            }
        }
    }
}
