//! How many log records or data points a request holds: signals that are passed on or counted, never opened.

use super::damage::{Damage, Place, ScanError};
use super::wire::{Fields, Value};

/// The data of a `metrics.v1.Metric`: gauge, sum, histogram, exponential histogram, summary.
const METRIC_DATA: [u32; 5] = [5, 7, 9, 10, 11];

/// Counts the log records of an `ExportLogsServiceRequest` (`resource_logs.scope_logs.log_records`).
pub fn count_log_records(request: &[u8]) -> Result<u32, ScanError> {
    count(request, Place::request(&["resource_logs", "scope_logs", "log_records"]), |record| {
        well_formed(record)?;
        Ok(1)
    })
}

/// Counts the data points of every kind of an `ExportMetricsServiceRequest` (`resource_metrics.scope_metrics.metrics`).
pub fn count_data_points(request: &[u8]) -> Result<u32, ScanError> {
    count(request, Place::request(&["resource_metrics", "scope_metrics", "metrics"]), data_points)
}

/// A level of messages around the items.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// The field that holds the messages of the next level.
    children: u32,
    /// Fields with numbers up to this are known, and messages or text all of them.
    known: u32,
}

const REQUEST: Level = Level { children: 1, known: 1 };
/// 1 is the resource or the scope, 3 its schema.
const ENVELOPE: Level = Level { children: 2, known: 3 };

/// Adds up what `items` says of each message three levels down.
fn count(
    request: &[u8],
    place: Place,
    items: fn(Fields<'_>) -> Result<u32, Damage>,
) -> Result<u32, ScanError> {
    each(Fields::new(request), REQUEST, place, &mut |resource, place| {
        each(resource, ENVELOPE, place, &mut |scope, place| {
            each(scope, ENVELOPE, place, &mut |item, place| {
                items(item).map_err(|damage| ScanError::new(place, damage))
            })
        })
    })
}

/// Adds up what `inner` says of each child of a message of this level.
fn each(
    mut fields: Fields<'_>,
    level: Level,
    place: Place,
    inner: &mut dyn FnMut(Fields<'_>, Place) -> Result<u32, ScanError>,
) -> Result<u32, ScanError> {
    let (mut sum, mut index) = (0u32, 0);
    while let Some(field) = fields.next_field().map_err(|error| ScanError::new(place, error.into()))? {
        match field {
            (field, Value::Bytes(message)) if field == level.children => {
                sum = sum.saturating_add(inner(fields.embedded(message), place.entered(index))?);
                index += 1;
            }
            (field, value) if field <= level.known && !matches!(value, Value::Bytes(_)) => {
                return Err(ScanError::new(place, Damage::wrong_type("an envelope", field, &fields)));
            }
            _ => {}
        }
    }
    Ok(sum)
}

/// The data points of one metric. Of several kinds of data in one metric the last holds, as for any `oneof`.
fn data_points(mut metric: Fields<'_>) -> Result<u32, Damage> {
    let (mut kind, mut points) = (0, 0u32);
    while let Some((field, value)) = metric.next_field()? {
        if !METRIC_DATA.contains(&field) {
            continue;
        }
        let Value::Bytes(data) = value else { return Err(Damage::wrong_type("Metric", field, &metric)) };
        if field != kind {
            (kind, points) = (field, 0);
        }
        points = points.saturating_add(points_of(metric.embedded(data))?);
    }
    Ok(points)
}

fn points_of(mut data: Fields<'_>) -> Result<u32, Damage> {
    let mut points = 0;
    while let Some(field) = data.next_field()? {
        match field {
            (1, Value::Bytes(point)) => {
                well_formed(data.embedded(point))?;
                points += 1;
            }
            (1, _) => return Err(Damage::wrong_type("metric data", 1, &data)),
            _ => {}
        }
    }
    Ok(points)
}

/// Steps over every field of a message.
fn well_formed(mut message: Fields<'_>) -> Result<(), Damage> {
    while message.next_field()?.is_some() {}
    Ok(())
}
