//! How often operations ran, failed, and how long they took, as series over time: what a monitor draws.
//!
//! Minutes are counted when spans are stored, so a value looks back over whole minutes: those of the window that ends
//! with the minute in which its time lies. Steps below a minute so repeat values, and the last minute before now is
//! still being counted.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use crate::model::{SpanKind, Timestamp};
use crate::store::{Red, Stats, Store, Wanted, minute};

/// Values of one series, as many as Prometheus gives.
const MAX_POINTS: u64 = 11_000;

/// Values of one answer.
const MAX_VALUES: usize = 1_000_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The times are too many.
    #[error(
        "a series would have {points} points, {MAX_POINTS} are allowed; ask for a longer step or a shorter time"
    )]
    Points {
        /// How many.
        points: u64,
    },
    /// The operations are too many for so many times.
    #[error(
        "{series} series would have {points} points each, {MAX_VALUES} are allowed together; ask for a longer step, \
         a shorter time or fewer services"
    )]
    Values {
        /// How many operations or services.
        series: usize,
        /// How many times.
        points: usize,
    },
    /// The operations are too many for so long a time.
    #[error("there is more than one answer is made of; ask for a shorter time or fewer services")]
    Rows,
    /// The store could not tell.
    #[error(transparent)]
    Query(#[from] super::Error),
}

/// The times of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    start: Timestamp,
    step: Duration,
    points: usize,
}

impl Grid {
    /// From `lookback` before `end` on, one every `step`, none after `end`; never none at all.
    pub fn new(end: Timestamp, lookback: Duration, step: Duration) -> Result<Self, Error> {
        let start = end.minus(lookback);
        // Without a step there is no end of them.
        let steps = end.since(start).as_nanos().checked_div(step.as_nanos()).unwrap_or(u128::MAX);
        let points = u64::try_from(steps).unwrap_or(u64::MAX).saturating_add(1);
        if points > MAX_POINTS {
            return Err(Error::Points { points });
        }
        Ok(Self { start, step, points: points as usize })
    }

    /// The times, earliest first.
    pub fn times(&self) -> impl Iterator<Item = Timestamp> {
        (0..self.points as u32).map(|place| self.start.plus(self.step.saturating_mul(place)))
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Question {
    /// Services as they are stored, and how each is called in the answer; those called alike are counted together.
    pub services: BTreeMap<String, String>,
    /// Spans of which kinds.
    pub kinds: Vec<SpanKind>,
    /// Whether each operation has a series of its own, rather than each service.
    pub by_operation: bool,
    /// The times.
    pub grid: Grid,
    /// How far each value looks back; brought up to whole minutes, at least one.
    pub window: Duration,
}

/// What is computed of the spans of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// How many there were a second.
    Calls,
    /// How many of them failed, from 0 to 1; not a number when there were none.
    Errors,
    /// The milliseconds that this share of them, 0 to 1, did not exceed, to a sixteenth; not a number when there were
    /// none.
    Duration(f64),
}

/// The values of a service or an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The service.
    pub service: String,
    /// The operation; empty where they are not told apart.
    pub operation: String,
    /// One for each time of the grid.
    pub values: Vec<f64>,
}

/// Every series that has any span in the time that is looked at, by name.
pub(super) fn answer(store: &Store, question: &Question, measure: Measure) -> Result<Vec<Series>, Error> {
    let services: Vec<&str> = question.services.keys().map(String::as_str).collect();
    let wanted = Wanted {
        services: &services,
        kinds: &question.kinds,
        minutes: question.minutes(),
        by_operation: question.by_operation,
    };
    let red = rows(store, &wanted).map_err(super::Error::from)?;
    if red.is_cut {
        return Err(Error::Rows);
    }
    question.series(red, measure)
}

/// What the store counted.
fn rows(store: &Store, wanted: &Wanted<'_>) -> Result<Red, crate::store::Error> {
    store.ask(|snapshot| snapshot.red(wanted))
}

impl Question {
    /// Every minute that any value looks at.
    fn minutes(&self) -> RangeInclusive<u32> {
        let last = self.grid.times().last().unwrap_or(self.grid.start);
        *self.minutes_before(self.grid.start).start()..=*self.minutes_before(last).end()
    }

    /// The minutes that the value of a time looks at. The one that begins at that time is none of them.
    fn minutes_before(&self, time: Timestamp) -> RangeInclusive<u32> {
        let last = minute(time.minus(Duration::from_nanos(1)));
        last.saturating_sub(self.window_minutes() - 1)..=last
    }

    fn window_minutes(&self) -> u32 {
        u32::try_from(self.window.as_nanos().div_ceil(60_000_000_000)).unwrap_or(u32::MAX).max(1)
    }

    fn series(&self, red: Red, measure: Measure) -> Result<Vec<Series>, Error> {
        let mut named: BTreeMap<(String, String), BTreeMap<u32, Stats>> = BTreeMap::new();
        for ((service, operation), minutes) in red.series {
            let Some(shown) = self.services.get(&service) else { continue };
            let together = named.entry((shown.clone(), operation)).or_default();
            for (minute, stats) in minutes {
                together.entry(minute).or_default().merge(&stats);
            }
        }
        if named.len().saturating_mul(self.grid.points) > MAX_VALUES {
            return Err(Error::Values { series: named.len(), points: self.grid.points });
        }
        let of = |((service, operation), minutes): (_, BTreeMap<u32, Stats>)| Series {
            service,
            operation,
            values: self.values(minutes.into_iter().collect(), measure),
        };
        Ok(named.into_iter().map(of).collect())
    }

    fn values(&self, minutes: Vec<(u32, Stats)>, measure: Measure) -> Vec<f64> {
        let seconds = f64::from(self.window_minutes()) * 60.0;
        let (mut window, mut value) = (Window { minutes, inside: 0..0, sum: Stats::default() }, None);
        let values = self.grid.times().map(|time| {
            if window.move_to(&self.minutes_before(time)) {
                value = None;
            }
            *value.get_or_insert_with(|| measure.of(&window.sum, seconds))
        });
        values.collect()
    }
}

impl Measure {
    fn of(self, stats: &Stats, seconds: f64) -> f64 {
        match self {
            Self::Calls => stats.calls as f64 / seconds,
            // Nothing of nothing is not a number.
            Self::Errors => stats.errors as f64 / stats.calls as f64,
            Self::Duration(share) => {
                stats.durations.quantile(share).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
            }
        }
    }
}

/// Some minutes in a row, added up; moves forward only, so that each is added and taken back once.
struct Window {
    minutes: Vec<(u32, Stats)>,
    /// The places of those that are added up.
    inside: Range<usize>,
    sum: Stats,
}

impl Window {
    /// Whether anything changed.
    fn move_to(&mut self, wanted: &RangeInclusive<u32>) -> bool {
        let before = self.inside.clone();
        while let Some((_, stats)) = self.minutes.get(self.inside.end).filter(|(at, _)| at <= wanted.end()) {
            self.sum.merge(stats);
            self.inside.end += 1;
        }
        while let Some((_, stats)) =
            self.minutes[self.inside.clone()].first().filter(|(at, _)| at < wanted.start())
        {
            self.sum.remove(stats);
            self.inside.start += 1;
        }
        self.inside != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first minute of the tests; a time in it is given in seconds after its beginning.
    const FIRST: u32 = 28_333_334;

    fn time(seconds: u64) -> Timestamp {
        Timestamp((u64::from(FIRST) * 60 + seconds) * 1_000_000_000)
    }

    fn stats(millis: &[u64], errors: u64) -> Stats {
        let mut stats = Stats { calls: millis.len() as u64, errors, ..Stats::default() };
        millis.iter().for_each(|millis| stats.durations.add(millis * 1_000_000));
        stats
    }

    /// Of the service `shop` and its twin, by operation and minutes after the first.
    fn red(rows: &[(&str, &str, u32, Stats)]) -> Red {
        let mut red = Red::default();
        rows.iter().for_each(|(service, operation, minute, stats)| {
            red.add(service, operation, FIRST + minute, stats)
        });
        red
    }

    /// From the first minute's begin to its end, and so on: `seconds` long, one value each `step`, over `window`.
    fn question(seconds: u64, step: u64, window: u64) -> Question {
        let grid = Grid::new(time(seconds), Duration::from_secs(seconds), Duration::from_secs(step)).unwrap();
        let services = [("shop", "shop"), ("", "nobody"), ("nobody", "nobody")];
        Question {
            services: services.map(|(stored, shown)| (stored.to_owned(), shown.to_owned())).into(),
            kinds: vec![SpanKind::Server],
            by_operation: true,
            grid,
            window: Duration::from_secs(window),
        }
    }

    fn text(series: &[Series]) -> Vec<String> {
        let text = |series: &Series| {
            let values: Vec<_> = series.values.iter().map(|value| format!("{value:.2}")).collect();
            format!("{}/{} {}", series.service, series.operation, values.join(" "))
        };
        series.iter().map(text).collect()
    }

    #[test]
    fn each_measure_is_of_the_window_that_ends_at_its_time() {
        let rows = [("shop", "GET", 1, stats(&[100; 60], 15)), ("shop", "GET", 2, stats(&[1_000; 20], 0))];
        let cases = [
            (Measure::Calls, "shop/GET 0.00 0.00 0.50 0.67 0.17 0.00"),
            (Measure::Errors, "shop/GET NaN NaN 0.25 0.19 0.00 NaN"),
            (Measure::Duration(0.5), "shop/GET NaN NaN 96.47 96.47 973.08 NaN"),
            (Measure::Duration(0.95), "shop/GET NaN NaN 96.47 973.08 973.08 NaN"),
        ];
        for (measure, expected) in cases {
            let series = question(300, 60, 120).series(red(&rows), measure).unwrap();
            assert_eq!(text(&series), [expected], "{measure:?}");
        }
    }

    #[test]
    fn steps_below_a_minute_repeat_and_windows_are_whole_minutes() {
        let rows = [("shop", "GET", 1, stats(&[100; 60], 0))];
        let cases = [
            (question(150, 15, 60), "0 0 0 0 0 1 1 1 1 0 0"),
            (question(150, 15, 1), "0 0 0 0 0 1 1 1 1 0 0"),
            (question(150, 50, 61), "0 0 0.5 0.5"),
            (question(0, 60, 60), "0"),
        ];
        for (question, expected) in cases {
            let series = question.series(red(&rows), Measure::Calls).unwrap();
            let values: Vec<_> = series[0].values.iter().map(ToString::to_string).collect();
            assert_eq!(values.join(" "), expected, "{question:?}");
        }
    }

    #[test]
    fn all_minutes_that_any_value_looks_at_are_asked_for() {
        let minutes = |question: &Question| {
            let minutes = question.minutes();
            (i64::from(*minutes.start()) - i64::from(FIRST), i64::from(*minutes.end()) - i64::from(FIRST))
        };
        assert_eq!(minutes(&question(300, 60, 600)), (-10, 4));
        assert_eq!(minutes(&question(301, 1, 60)), (-1, 5));
        assert_eq!(minutes(&question(350, 300, 60)), (-1, 4));
        let ever = Question {
            grid: Grid::new(Timestamp::ZERO, Duration::MAX, Duration::MAX).unwrap(),
            window: Duration::MAX,
            ..question(0, 1, 1)
        };
        assert_eq!(ever.minutes(), 0..=0);
    }

    #[test]
    fn services_that_are_called_alike_are_counted_together() {
        let one = stats(&[100; 30], 3);
        let rows = [("", "", 0, one.clone()), ("nobody", "", 0, one.clone()), ("other", "", 0, one)];
        let series = question(60, 60, 60).series(red(&rows), Measure::Calls).unwrap();
        assert_eq!(text(&series), ["nobody/ 0.00 1.00"]);
    }

    #[test]
    fn too_many_points_are_refused_and_told() {
        let grid =
            |lookback, step| Grid::new(time(0), Duration::from_secs(lookback), Duration::from_millis(step));
        assert_eq!(grid(10_999, 1_000).unwrap().times().count(), 11_000);
        assert_eq!(
            grid(11_000, 1_000).unwrap_err().to_string(),
            "a series would have 11001 points, 11000 are allowed; ask for a longer step or a shorter time"
        );
        assert!(matches!(grid(1, 0), Err(Error::Points { .. })));
        let mut rows = Red::default();
        (0..91).for_each(|number| rows.add("shop", &format!("GET /{number}"), FIRST, &stats(&[1], 0)));
        let question = Question { grid: grid(10_999, 1_000).unwrap(), ..question(0, 1, 60) };
        let refused = question.series(rows, Measure::Calls).unwrap_err().to_string();
        assert!(
            refused.starts_with("91 series would have 11000 points each, 1000000 are allowed"),
            "{refused}"
        );
    }
}
