//! Is it a span that Jaeger itself would take? Ids by their length, times by what Go can hold.

use prost_types::{Duration, Timestamp};

use crate::model::{SpanId, TraceId};
use crate::otlp::{MAX_ENCLOSING_BYTES, MAX_VALUES};
use crate::proto::jaeger::api_v2;

/// Year 1 in seconds since 1970: what Go sends for a time that was not set, and the earliest that it takes.
pub(super) const YEAR_1: i64 = -62_135_596_800;
/// The last second of the year 9999.
const YEAR_9999: i64 = 253_402_300_799;
pub(super) const BILLION: i64 = 1_000_000_000;

/// Why a span cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An id is neither absent nor of a length that it can have.
    #[error("{name} of {length} bytes, an id of {right} bytes was expected")]
    IdLength {
        /// Which.
        name: &'static str,
        /// What was found.
        length: usize,
        /// What would have been right.
        right: &'static str,
    },
    /// Not a time of the years 1 to 9999.
    #[error(
        "{name} of {seconds} seconds and {nanos} nanoseconds since 1970, which is no time from the year 1 to 9999"
    )]
    Time {
        /// Which.
        name: &'static str,
        /// As sent.
        seconds: i64,
        /// As sent.
        nanos: i32,
    },
    /// Not a number of nanoseconds that 64 bits hold, or in two pieces of different sign.
    #[error("duration of {seconds} seconds and {nanos} nanoseconds, which is none of at most 292 years")]
    Duration {
        /// As sent.
        seconds: i64,
        /// As sent.
        nanos: i32,
    },
    /// A process that no resource can hold.
    #[error(
        "process of {tags} tags, {bytes} bytes as a resource, above the limit of {MAX_VALUES} or \
         {MAX_ENCLOSING_BYTES} bytes"
    )]
    Process {
        /// As sent.
        tags: usize,
        /// As it would be kept.
        bytes: usize,
    },
}

/// A point in time: nanoseconds since 1970, of any year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) seconds: i64,
    pub(super) nanos: i32,
}

impl Moment {
    /// One that Go takes; the year 1 when it is absent, as Go reads it.
    fn check(name: &'static str, time: Option<&Timestamp>) -> Result<Self, Error> {
        let &Timestamp { seconds, nanos } = time.unwrap_or(&Timestamp { seconds: YEAR_1, nanos: 0 });
        Self::new(seconds, nanos).ok_or(Error::Time { name, seconds, nanos })
    }

    /// `None` outside the years 1 to 9999.
    pub(super) fn new(seconds: i64, nanos: i32) -> Option<Self> {
        let is_time = (YEAR_1..=YEAR_9999).contains(&seconds) && (0..BILLION as i32).contains(&nanos);
        is_time.then_some(Self { seconds, nanos })
    }

    /// Nanoseconds since 1970.
    pub(super) fn unix_nanos(self) -> i128 {
        i128::from(self.seconds) * i128::from(BILLION) + i128::from(self.nanos)
    }

    /// The nearest time that OTLP can say.
    pub(super) fn nearest(self) -> u64 {
        self.unix_nanos().clamp(0, u64::MAX.into()) as u64
    }
}

/// The nearest to a time that OTLP can say.
pub(in crate::translate) fn nearest(time: &Timestamp) -> u64 {
    Moment { seconds: time.seconds, nanos: time.nanos }.nearest()
}

/// A reference with ids of the right length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) ref_type: i32,
}

/// A span that can be kept, and what was found out about it.
#[derive(Debug)]
pub(super) struct Span<'a> {
    pub(super) sent: &'a api_v2::Span,
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) references: Vec<Reference>,
    pub(super) start: Moment,
    pub(super) duration: i64,
    /// Of each log.
    pub(super) times: Vec<Moment>,
}

impl<'a> Span<'a> {
    pub(super) fn check(sent: &'a api_v2::Span) -> Result<Self, Error> {
        let references = sent.references.iter().map(|reference| {
            Ok(Reference {
                trace_id: trace_id("trace id of a reference", &reference.trace_id)?,
                span_id: span_id("span id of a reference", &reference.span_id)?,
                ref_type: reference.ref_type,
            })
        });
        let times = sent.logs.iter().map(|log| Moment::check("time of a log", log.timestamp.as_ref()));
        Ok(Self {
            sent,
            trace_id: trace_id("trace id", &sent.trace_id)?,
            span_id: span_id("span id", &sent.span_id)?,
            references: references.collect::<Result<_, _>>()?,
            start: Moment::check("start time", sent.start_time.as_ref())?,
            duration: duration(sent.duration.as_ref())?,
            times: times.collect::<Result<_, _>>()?,
        })
    }
}

/// Old clients send the low half only.
pub(super) fn trace_id(name: &'static str, id: &[u8]) -> Result<TraceId, Error> {
    let mut whole = [0; 16];
    match id.len() {
        0 => {}
        8 => whole[8..].copy_from_slice(id),
        16 => whole.copy_from_slice(id),
        length => return Err(Error::IdLength { name, length, right: "16 or 8" }),
    }
    Ok(TraceId(whole))
}

fn span_id(name: &'static str, id: &[u8]) -> Result<SpanId, Error> {
    match id {
        [] => Ok(SpanId::default()),
        _ => SpanId::from_slice(id).ok_or(Error::IdLength { name, length: id.len(), right: "8" }),
    }
}

fn duration(duration: Option<&Duration>) -> Result<i64, Error> {
    let &Duration { seconds, nanos } = duration.unwrap_or(&Duration { seconds: 0, nanos: 0 });
    let have_one_sign = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0);
    let whole = seconds.checked_mul(BILLION).and_then(|whole| whole.checked_add(nanos.into()));
    let is_duration = have_one_sign && i64::from(nanos.unsigned_abs()) < BILLION;
    whole.filter(|_| is_duration).ok_or(Error::Duration { seconds, nanos })
}
