//! Logs as a host of hashicorp/go-plugin reads them from a child's standard error: one JSON object to a line.
//!
//! Source: hashicorp/go-plugin `client.go` (`logStderr`, `parseJSON`), hashicorp/go-hclog `intlogger.go`.

use std::fmt::{self, Debug, Write as _};
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LevelError;
use super::forgiving::Forgiving;
use crate::app::SystemClock;
use crate::model::{Clock as _, Timestamp};

/// A host cuts longer lines into pieces that it cannot read; its buffer is twice as long.
const MAX_LINE_BYTES: usize = 32 << 10;

/// Of a line, what the message may take: its fields have the rest.
const MAX_MESSAGE_BYTES: usize = 24 << 10;

/// The end of a text that was cut.
const CUT: char = '…';

/// Sends logs to standard error, in lines for the host.
pub(in crate::app) fn start(level: &str) -> Result<(), LevelError> {
    let filter =
        EnvFilter::try_new(level).map_err(|source| LevelError { level: level.to_owned(), source })?;
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).event_format(Lines).with_writer(Forgiving::stderr);
    // Logs that were set up before, by a program that uses us as a library, stay as they are.
    let _already_set = logs.try_init();
    Ok(())
}

/// Sends what panics say the same way, past filter and subscriber: it may be one of them that panicked.
pub(in crate::app) fn start_panics() {
    std::panic::set_hook(Box::new(|panic| say(Level::ERROR, "panic", &panicked(panic))));
}

fn panicked(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let said = panic.payload_as_str().unwrap_or("a panic without words");
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    format!("thread '{}' panicked{place}: {said}", thread.name().unwrap_or("?"))
}

/// Says something before there are logs, or when they are filtered.
pub(in crate::app) fn say(level: Level, module: &str, message: &str) {
    let mut line = Line::new(level, module, SystemClock.now());
    line.message(message);
    let _never_fails = Forgiving::stderr().write_all(line.finish().as_bytes());
}

/// Writes an event as such a line.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Line::new(*metadata.level(), metadata.target(), SystemClock.now());
        let mut said = Said::default();
        event.record(&mut said);
        line.message(&said.message);
        for (name, value) in &said.fields {
            line.field(name, value, MAX_LINE_BYTES);
        }
        writer.write_str(&line.finish())
    }
}

/// What an event says, as texts.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    /// With everything that led to it, as the other formats have it.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _infallible = write!(text, ": {error}");
            cause = error.source();
        }
        self.put(field, text);
    }
}

impl Said {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            // Events of the `log` facade repeat there what the line says elsewhere.
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, value)),
        }
    }
}

/// One line while it is written; it never becomes longer than a host reads.
struct Line(String);

impl Line {
    fn new(level: Level, module: &str, now: Timestamp) -> Self {
        let mut line = Self(String::with_capacity(256));
        line.0.push('{');
        line.field("@level", &level.as_str().to_ascii_lowercase(), MAX_LINE_BYTES);
        line.field("@timestamp", &written(now), MAX_LINE_BYTES);
        line.field("@module", module, MAX_LINE_BYTES / 16);
        line
    }

    fn message(&mut self, message: &str) {
        self.field("@message", message, MAX_MESSAGE_BYTES);
    }

    /// Everything is a text: hosts end themselves over others. A value that does not fit into what is left of the line,
    /// or of `bytes`, is cut; a name that does not is left out.
    fn field(&mut self, name: &str, value: &str, bytes: usize) {
        // Quotes, colon, comma, and the end of the line.
        let around = name.len() + "\"\":\"\",}\n".len() + CUT.len_utf8();
        let Some(left) = MAX_LINE_BYTES.checked_sub(self.0.len() + around).filter(|left| *left > 0) else {
            return;
        };
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _infallible = write!(self.0, "\"{name}\":\"");
        let end = self.0.len() + left.min(bytes);
        for letter in value.chars() {
            let before = self.0.len();
            escape(&mut self.0, letter);
            if self.0.len() > end {
                self.0.truncate(before);
                self.0.push(CUT);
                break;
            }
        }
        self.0.push('"');
    }

    fn finish(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

/// RFC 8259, section 7.
fn escape(text: &mut String, letter: char) {
    match letter {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        letter if letter < ' ' => {
            let _infallible = write!(text, "\\u{:04x}", u32::from(letter));
        }
        letter => text.push(letter),
    }
}

/// In Go's layout `2006-01-02T15:04:05.000000Z07:00`: six digits, neither more nor fewer.
fn written(time: Timestamp) -> String {
    let micros = i64::try_from(Duration::from_nanos(time.nanos()).as_micros()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    format!("{moment:.6}")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    /// What a subscriber with this format writes while this runs.
    fn written_by(work: impl FnOnce()) -> Vec<String> {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let writer = kept.clone();
        let logs = tracing_subscriber::fmt().event_format(Lines).with_max_level(Level::TRACE);
        tracing::subscriber::with_default(logs.with_writer(move || writer.clone()).finish(), work);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_event_is_one_flat_object_of_texts() {
        let broken = io::Error::other("gone");
        let lines = written_by(|| {
            let error = &broken as &(dyn std::error::Error + 'static);
            tracing::warn!(spans = 3, whole = true, share = 0.5, error, why = %"a \"b\"\n\u{1}", "not\nall");
            tracing::trace!("quiet");
        });
        let read: Value = serde_json::from_str(&lines[0]).unwrap();
        for (key, value) in [
            ("@level", "warn"),
            ("@message", "not\nall"),
            ("@module", module_path!()),
            ("spans", "3"),
            ("whole", "true"),
            ("share", "0.5"),
            ("error", "gone"),
            ("why", "a \"b\"\n\u{1}"),
        ] {
            assert_eq!(read[key], value, "{key} in {}", lines[0]);
        }
        assert_eq!(serde_json::from_str::<Value>(&lines[1]).unwrap()["@level"], "trace");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_time_has_six_digits_after_its_point() {
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456Z"),
            (1_700_000_000_100_000_000, "2023-11-14T22:13:20.100000Z"),
        ] {
            assert_eq!(written(Timestamp(nanos)), expected);
        }
    }

    #[test]
    fn no_line_is_longer_than_a_host_reads() {
        for letter in ["x", "\u{1}", "…", "\"", "𝕏"] {
            let long = letter.repeat(40_000);
            let lines = written_by(|| tracing::info!(one = long, two = long, three = long, "{long}"));
            assert_eq!(lines.len(), 1);
            assert!(lines[0].len() < MAX_LINE_BYTES, "{} bytes", lines[0].len());
            let read: Value = serde_json::from_str(&lines[0]).unwrap();
            let said = |key: &str| read[key].as_str().unwrap().to_owned();
            assert!(said("@message").ends_with(CUT) && said("@message").len() > 2_000, "{letter:?}");
            assert!(said("one").ends_with(CUT) && said("one").len() > 900, "{letter:?}");
        }
    }
}
