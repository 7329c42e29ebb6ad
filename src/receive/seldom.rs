//! Warnings of what one sender can cause as often as it likes: the first is said at once, then how many there were, once a
//! minute at most.

use std::fmt::Display;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The least time between two warnings.
const PAUSE: Duration = Duration::from_secs(60);

/// As much of what a sender caused as a line of the log has, in bytes.
const MAX_BYTES: usize = 256;

/// What a sender may have had a part in writing, as one line for the log: control characters are escaped, what is too long
/// is cut off.
pub(super) fn loggable(text: &dyn Display) -> String {
    let mut line = String::new();
    for character in text.to_string().chars() {
        let before = line.len();
        match character {
            // These end lines for some who show logs, or turn them around.
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                line.extend(character.escape_unicode());
            }
            character if character.is_control() => line.extend(character.escape_default()),
            character => line.push(character),
        }
        if line.len() > MAX_BYTES {
            line.truncate(before);
            break;
        }
    }
    line
}

/// One kind of trouble.
#[derive(Debug)]
pub(crate) struct Seldom {
    /// What it is, in the plural: "spans were left out".
    trouble: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    /// Not yet said.
    count: u64,
}

impl Seldom {
    pub(crate) fn new(trouble: &'static str) -> Self {
        Self { trouble, state: Mutex::default() }
    }

    /// It happened so many times more, the last time because of this.
    pub(crate) fn happened(&self, count: u64, why: &dyn Display) {
        if let Some(count) = self.count(count, Instant::now()) {
            tracing::warn!("{count} {}, such as: {}", self.trouble, loggable(why));
        }
    }

    /// How many are to be said now, if any are.
    fn count(&self, count: u64, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        state.count = state.count.saturating_add(count);
        let is_due = state.said.is_none_or(|said| now.saturating_duration_since(said) >= PAUSE);
        (is_due && state.count > 0).then(|| {
            state.said = Some(now);
            std::mem::take(&mut state.count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sender_wrote_is_one_line_of_the_log() {
        let cases = [
            ("a service's name of 7 bytes, żółć \\ '\"", "a service's name of 7 bytes, żółć \\ '\""),
            ("x\n2026 WARN lost\r\t\0", "x\\n2026 WARN lost\\r\\t\\u{0}"),
            ("\u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}", "\\u{1b}[2J\\u{7f}\\u{85}\\u{2028}\\u{202e}"),
        ];
        for (text, expected) in cases {
            assert_eq!(loggable(&text), expected);
        }
        for character in ["a", "\n", "ż", "🚀", "\u{2028}"] {
            let line = loggable(&character.repeat(1_000));
            assert!((MAX_BYTES - 7..=MAX_BYTES).contains(&line.len()), "{} bytes", line.len());
        }
        assert!(loggable(&"\n".repeat(1_000)).ends_with("\\n"), "it ends with a whole character");
    }

    #[test]
    fn the_first_is_said_and_then_how_many_there_were() {
        let (seldom, start) = (Seldom::new("things"), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let happened = [(0, 0, None), (0, 2, Some(2)), (1, 3, None), (59, 4, None), (60, 1, Some(8))];
        for (seconds, count, said) in happened.into_iter().chain([(61, 1, None), (600, 0, Some(1))]) {
            assert_eq!(seldom.count(count, at(seconds)), said, "after {seconds} s");
        }
    }
}
