//! Durations as Go writes them: `1.5s`, `300ms`, `1m30s`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a duration such as 300ms, 1.5s or 1m30s (units ns, us, µs, ms, s, m, h)")]
pub struct DurationError {
    /// What was given, shortened.
    pub text: String,
}

/// Nanoseconds of a unit; `µ` stands in Unicode twice, as a sign and as a Greek letter.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads numbers with units, one after the other, fractions allowed; a lone `0` needs no unit. What is finer
/// than a nanosecond is cut off. A duration cannot be negative here, nor longer than 584 years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError { text: text.chars().take(64).collect() };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos = 0u64;
    loop {
        let (part, after) = leading_part(rest).ok_or_else(wrong)?;
        nanos = nanos.checked_add(part).ok_or_else(wrong)?;
        rest = after;
        if rest.is_empty() {
            return Ok(Duration::from_nanos(nanos));
        }
    }
}

/// The nanoseconds of the first number with its unit, and what follows.
fn leading_part(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = leading_digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), leading_digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_end = rest.find(|letter: char| letter == '.' || letter.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    Some((whole.checked_mul(unit)?.checked_add(nanos_of_fraction(fraction, unit))?, rest))
}

fn leading_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()))
}

fn nanos_of_fraction(digits: &str, unit: u64) -> u64 {
    let (mut nanos, mut scale) = (0u128, 1u128);
    // An hour has fewer than 10^13 nanoseconds: later digits say less than one.
    for digit in digits.bytes().take(18) {
        nanos = nanos * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    // Below one unit, which fits.
    (nanos * u128::from(unit) / scale) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("0ns", 0),
            ("300ms", 300_000_000),
            ("1.2s", 1_200_000_000),
            ("1m30s", 90_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("7us", 7_000),
            ("7\u{b5}s", 7_000),
            ("7\u{3bc}s", 7_000),
            (".5ms", 500_000),
            ("5.s", 5_000_000_000),
            ("+1s", 1_000_000_000),
            ("0.0000000019s", 1),
            ("2562047h", 9_223_369_200_000_000_000),
            ("00001ns", 1),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_by_its_text() {
        let long = "9".repeat(400) + "s";
        for text in ["", "+", "5", "s", ".s", "1.2.3s", "-1s", "1 s", "1d", "1S", "99999999999999h", &long] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        let error = parse_duration("5").unwrap_err().to_string();
        assert!(error.starts_with("'5' is not a duration such as 300ms"), "{error}");
        assert!(parse_duration(&long).unwrap_err().text.len() <= 64);
    }
}
