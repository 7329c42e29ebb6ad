//! Times and durations as protobuf says them, and as Go means them: "not set" is year 1, or nothing at all.

use std::time::Duration;

use crate::model::Timestamp;

/// 0001-01-01, Go's `time.Time{}`, and 9999-12-31, the last second that protobuf allows.
const YEAR_1: i64 = -62_135_596_800;
const YEAR_9999: i64 = 253_402_300_799;

/// Seconds of the longest duration that protobuf allows.
const MAX_SECONDS: i64 = 315_576_000_000;

const MAX_NANOS: i32 = 999_999_999;

/// What cannot be a time, or times that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("{field} is out of range: {seconds} s and {nanos} ns")]
    Range { field: &'static str, seconds: i64, nanos: i32 },
    #[error("{max} is less than {min}")]
    Order { min: &'static str, max: &'static str },
}

/// A field and what was said in it.
pub(super) type Said<'a, T> = (&'static str, &'a Option<T>);

/// A moment; `None` when it is not set. What lies before 1970 is the first moment there is, and what lies after 2554 the
/// last.
pub(super) fn moment((field, time): Said<'_, prost_types::Timestamp>) -> Result<Option<Timestamp>, Error> {
    let Some(prost_types::Timestamp { seconds, nanos }) = *time else { return Ok(None) };
    if !(0..=MAX_NANOS).contains(&nanos) || seconds > YEAR_9999 {
        return Err(Error::Range { field, seconds, nanos });
    }
    if seconds <= YEAR_1 || (seconds, nanos) == (0, 0) {
        return Ok(None);
    }
    let Ok(seconds) = u64::try_from(seconds) else { return Ok(Some(Timestamp::ZERO)) };
    Ok(Some(Timestamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos.unsigned_abs().into()))))
}

/// A duration; `None` when it is not set, and no time at all when it is negative.
pub(super) fn duration((field, said): Said<'_, prost_types::Duration>) -> Result<Option<Duration>, Error> {
    let Some(prost_types::Duration { seconds, nanos }) = *said else { return Ok(None) };
    let has_one_sign = seconds.signum() * i64::from(nanos.signum()) >= 0;
    let in_range =
        seconds.abs_diff(0) <= MAX_SECONDS.unsigned_abs() && nanos.abs_diff(0) <= MAX_NANOS.unsigned_abs();
    if !has_one_sign || !in_range {
        return Err(Error::Range { field, seconds, nanos });
    }
    if (seconds, nanos) == (0, 0) {
        return Ok(None);
    }
    let whole = |seconds| Duration::new(seconds, nanos.unsigned_abs());
    Ok(Some(u64::try_from(seconds).ok().filter(|_| nanos >= 0).map_or(Duration::ZERO, whole)))
}

/// From when to when, both inclusive; what is not set is open.
pub(super) fn bounds(
    start: Said<'_, prost_types::Timestamp>,
    end: Said<'_, prost_types::Timestamp>,
) -> Result<(Timestamp, Timestamp), Error> {
    let bounds = (moment(start)?.unwrap_or(Timestamp::ZERO), moment(end)?.unwrap_or(Timestamp::MAX));
    if bounds.0 > bounds.1 {
        return Err(Error::Order { min: start.0, max: end.0 });
    }
    Ok(bounds)
}

/// The shortest and the longest, both inclusive.
pub(super) fn durations(
    min: Said<'_, prost_types::Duration>,
    max: Said<'_, prost_types::Duration>,
) -> Result<(Option<Duration>, Option<Duration>), Error> {
    let bounds = (duration(min)?, duration(max)?);
    if let (Some(shortest), Some(longest)) = bounds
        && shortest > longest
    {
        return Err(Error::Order { min: min.0, max: max.0 });
    }
    Ok(bounds)
}

/// A moment as protobuf says it.
pub(super) fn said(moment: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (moment.nanos() / 1_000_000_000, moment.nanos() % 1_000_000_000);
    prost_types::Timestamp { seconds: seconds as i64, nanos: nanos as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: i32) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos })
    }

    fn lasting(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos })
    }

    #[test]
    fn a_moment_that_is_not_set_is_told_from_one_that_is() {
        let read = |time| moment(("start_time", &time));
        for unset in [None, at(YEAR_1, 0), at(YEAR_1, 5), at(i64::MIN, 0), at(0, 0)] {
            assert_eq!(read(unset), Ok(None), "{unset:?}");
        }
        for (time, nanos) in [
            (at(0, 1), 1),
            (at(1_700_000_000, 999_999_999), 1_700_000_000_999_999_999),
            (at(-1, 0), 0),
            (at(YEAR_1 + 1, 0), 0),
            (at(YEAR_9999, 0), u64::MAX),
        ] {
            assert_eq!(read(time), Ok(Some(Timestamp(nanos))), "{time:?}");
        }
        for wrong in [at(0, -1), at(0, 1_000_000_000), at(YEAR_9999 + 1, 0)] {
            assert!(read(wrong).unwrap_err().to_string().starts_with("start_time is out of range"));
        }
    }

    #[test]
    fn a_duration_that_is_not_set_is_told_from_one_that_is() {
        let read = |said| duration(("duration_min", &said));
        assert_eq!((read(None), read(lasting(0, 0))), (Ok(None), Ok(None)));
        assert_eq!(read(lasting(2, 5)), Ok(Some(Duration::new(2, 5))));
        assert_eq!(read(lasting(0, -5)), Ok(Some(Duration::ZERO)));
        assert_eq!(read(lasting(-1, 0)), Ok(Some(Duration::ZERO)));
        for wrong in [lasting(1, -1), lasting(-1, 1), lasting(0, 1_000_000_000), lasting(i64::MIN, 0)] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn bounds_that_cross_are_refused_by_name() {
        let crossed = bounds(("start_time", &at(5, 0)), ("end_time", &at(4, 0)));
        assert_eq!(crossed.unwrap_err().to_string(), "end_time is less than start_time");
        assert!(bounds(("start_time", &at(5, 0)), ("end_time", &at(5, 0))).is_ok());
        assert!(durations(("a", &lasting(2, 0)), ("b", &lasting(1, 0))).is_err());
        assert!(durations(("a", &lasting(2, 0)), ("b", &lasting(0, 0))).is_ok());
    }

    #[test]
    fn a_moment_is_said_as_it_was_read() {
        for nanos in [1, 1_700_000_000_999_999_999, u64::MAX] {
            assert_eq!(moment(("t", &Some(said(Timestamp(nanos))))), Ok(Some(Timestamp(nanos))));
        }
    }
}
