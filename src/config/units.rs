//! Sizes and times as people write them: `64KiB`, `5s`. A number without a unit is refused, not guessed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(pub u64);

/// A length of time, to the microsecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub Duration);

/// Why a text is no size or time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnitError {
    /// There is no number at the start.
    #[error("'{text}' does not start with a number; write for example \"{example}\"")]
    NoNumber {
        /// The text as written.
        text: String,
        /// A value that would do.
        example: &'static str,
    },
    /// A bare number.
    #[error("'{text}' has no unit; write for example \"{example}\"")]
    NoUnit {
        /// The text as written.
        text: String,
        /// A value that would do.
        example: &'static str,
    },
    /// A unit that does not exist.
    #[error("unknown unit '{unit}'; the units are {known}")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
        /// The units that exist.
        known: String,
    },
    /// The value does not fit.
    #[error("'{0}' is too large")]
    TooLarge(String),
}

/// Size units and their bytes; the first match from the end names a size when it is shown.
const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Time units and their microseconds, smallest first.
const SPANS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

impl Size {
    /// The names of the units.
    pub(super) fn units() -> impl Iterator<Item = &'static str> {
        SIZES.iter().map(|(name, _)| *name)
    }

    /// That many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// That many times 1024 * 1024 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// That many times 1024 * 1024 * 1024 bytes.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }
}

impl Span {
    /// The names of the units.
    pub(super) fn units() -> impl Iterator<Item = &'static str> {
        SPANS.iter().map(|(name, _)| *name)
    }

    /// That many milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// That many days of 24 hours.
    pub const fn days(count: u64) -> Self {
        Self(Duration::from_secs(count * 86_400))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        scaled(text, &SIZES, "64KiB").map(Self)
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        scaled(text, &SPANS, "5s").map(|micros| Self(Duration::from_micros(micros)))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, &SIZES)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX), &SPANS)
    }
}

/// `text` as a whole number of the smallest unit.
fn scaled(text: &str, units: &[(&str, u64)], example: &'static str) -> Result<u64, UnitError> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err(UnitError::NoNumber {
            text: text.to_owned(),
            example,
        });
    }
    if unit.is_empty() {
        return Err(UnitError::NoUnit {
            text: text.to_owned(),
            example,
        });
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let known: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        return Err(UnitError::UnknownUnit {
            unit: unit.to_owned(),
            known: known.join(", "),
        });
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(*factor))
        .ok_or_else(|| UnitError::TooLarge(text.to_owned()))
}

/// Writes `value` in the last unit of the table that divides it.
fn show(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let whole = |(_, factor): &&(&str, u64)| value != 0 && value.is_multiple_of(*factor);
    match units.iter().rev().find(whole).or(units.first()) {
        Some((name, factor)) => write!(f, "{}{name}", value / factor),
        None => write!(f, "{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("1 MiB", 1 << 20),
            ("10MB", 10_000_000),
            ("0B", 0),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn times_go_from_microseconds_to_days() {
        for (text, millis) in [
            ("100ms", 100),
            ("5s", 5_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(text.parse(), Ok(Span::millis(millis)), "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let message = |text: &str| text.parse::<Size>().unwrap_err().to_string();
        assert_eq!(message("64"), "'64' has no unit; write for example \"64KiB\"");
        assert!(message("KiB").starts_with("'KiB' does not start with a number"));
        assert!(message("1.5MiB").starts_with("unknown unit '.5MiB'"));
        assert!(message("-1KiB").starts_with("'-1KiB' does not start with a number"));
        assert!(message("64KIB").contains("the units are B, kB"));
        assert_eq!(message("99999999999999GiB"), "'99999999999999GiB' is too large");
        assert!(
            "5m".parse::<Span>().is_err(),
            "m could be minutes or milliseconds"
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_is_read_back(bytes: u64, micros in 0..u64::MAX / 2) {
            proptest::prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
            let span = Span(Duration::from_micros(micros));
            proptest::prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = text.parse::<Size>();
            let _ = text.parse::<Span>();
        }
    }
}
