//! The messages OTLP answers with: export responses and `google.rpc.Status`, as protobuf and as JSON.
//!
//! Source: `collector/trace/v1/trace_service.proto` (logs and metrics have the same shape),
//! googleapis `google/rpc/status.proto`, `error_details.proto`.

use std::time::Duration;

use serde_json::json;

use crate::ingest::{Accepted, Refused, Signal};
use crate::otlp::write;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// What `google.rpc.Status` carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    /// A `google.rpc.Code`.
    pub(super) code: Code,
    /// For a developer, in English.
    pub(super) message: String,
    /// When to send again.
    pub(super) retry_after: Option<Duration>,
}

/// The `google.rpc.Code`s that are answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

impl From<&Refused> for Status {
    fn from(refused: &Refused) -> Self {
        let (code, retry_after) = match refused {
            Refused::Malformed(_) => (Code::InvalidArgument, None),
            Refused::TooLarge { .. } | Refused::Full { .. } => (Code::ResourceExhausted, None),
            Refused::Later { retry_after, .. } => (Code::Unavailable, Some(*retry_after)),
            Refused::Defect => (Code::Internal, None),
        };
        Self { code, message: refused.to_string(), retry_after }
    }
}

impl Encoding {
    /// The media type to answer with.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// An `Export…ServiceResponse`. A full success leaves `partial_success` unset, as the specification asks.
    pub(super) fn response(self, signal: Signal, accepted: &Accepted) -> Vec<u8> {
        let message = accepted.message.as_deref().unwrap_or_default();
        if accepted.rejected == 0 && message.is_empty() {
            return match self {
                Self::Protobuf => Vec::new(),
                Self::Json => b"{}".to_vec(),
            };
        }
        match self {
            Self::Protobuf => {
                let mut response = Vec::new();
                write::message(&mut response, 1, |partial| {
                    write::uint(partial, 1, accepted.rejected.into());
                    write::string(partial, 2, message);
                });
                response
            }
            Self::Json => {
                let rejected = accepted.rejected.to_string();
                json!({"partialSuccess": {rejected_name(signal): rejected, "errorMessage": message}})
                    .to_string()
                    .into_bytes()
            }
        }
    }

    /// A `google.rpc.Status`.
    pub(super) fn status(self, status: &Status) -> Vec<u8> {
        match self {
            Self::Protobuf => status.to_protobuf(),
            Self::Json => status.to_json(),
        }
    }
}

fn rejected_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    }
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl Status {
    fn to_protobuf(&self) -> Vec<u8> {
        let mut status = Vec::new();
        write::uint(&mut status, 1, self.code as u64);
        write::string(&mut status, 2, &self.message);
        if let Some(retry_after) = self.retry_after {
            write::message(&mut status, 3, |detail| {
                write::string(detail, 1, RETRY_INFO);
                write::message(detail, 2, |retry_info| {
                    write::message(retry_info, 1, |delay| write::uint(delay, 1, retry_after.as_secs()));
                });
            });
        }
        status
    }

    fn to_json(&self) -> Vec<u8> {
        let mut status = json!({"code": self.code as u8, "message": self.message});
        if let Some(retry_after) = self.retry_after {
            let delay = format!("{}s", retry_after.as_secs());
            status["details"] = json!([{"@type": RETRY_INFO, "retryDelay": delay}]);
        }
        status.to_string().into_bytes()
    }
}
