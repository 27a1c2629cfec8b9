//! `--service`, `--since`, `--until`, `--signal`, `--action`: which reports are meant.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::tz::Offset;
use jiff::{Timestamp, civil};

use crate::config::{Action, Span};
use crate::store::Filter;
use crate::sys::SigNo;

/// Conditions that reports must meet.
#[derive(Clone, Debug, Default, Args)]
pub struct Narrow {
    /// Only reports of that service
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Only reports since then: a time ago (2h, 7d), a day or time in UTC (2026-11-24, '2026-11-24 10:30'), or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only reports until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only reports of that signal, by name or number
    #[arg(long, value_name = "SIGNAL", value_parser = signal)]
    signal: Option<SigNo>,
    /// Only reports where that was done to the thread
    #[arg(long, value_name = "ACTION", value_parser = action())]
    action: Option<Action>,
}

impl Narrow {
    /// The conditions for the store.
    pub(super) fn filter(self) -> Filter {
        let Self {
            service,
            since,
            until,
            signal,
            action,
        } = self;
        Filter {
            service,
            since,
            until,
            signal,
            action,
        }
    }
}

/// A time in one of the ways in which people say it.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(Span(ago)) = text.parse::<Span>() {
        let then = Timestamp::now().checked_sub(ago);
        return then.map_err(|_| format!("'{text}' ago is too long ago"));
    }
    let in_utc = |time: civil::DateTime| Offset::UTC.to_timestamp(time).ok();
    let unzoned = || text.parse::<civil::DateTime>().ok();
    let zoned = text.parse::<Timestamp>().ok();
    zoned.or_else(|| unzoned().and_then(in_utc)).ok_or_else(|| {
        "write for example 2h, 7d, 2026-11-24, '2026-11-24 10:30' or 2026-11-24T10:30:00Z".to_owned()
    })
}

fn signal(text: &str) -> Result<SigNo, String> {
    SigNo::from_name(text).ok_or_else(|| "write for example SIGSEGV, segv or 11".to_owned())
}

fn action() -> impl TypedValueParser<Value = Action> {
    let names = PossibleValuesParser::new(Action::ALL.map(Action::name));
    names.try_map(|name| {
        let named = Action::ALL.into_iter().find(|action| action.name() == name);
        named.ok_or(crate::config::UnknownAction(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("2026-11-24", "2026-11-24T00:00:00Z"),
            ("2026-11-24 10:30", "2026-11-24T10:30:00Z"),
            ("2026-11-24T10:30:05", "2026-11-24T10:30:05Z"),
            ("2026-11-24T10:30:05.25Z", "2026-11-24T10:30:05.25Z"),
            ("2026-11-24T10:30:05+01:00", "2026-11-24T09:30:05Z"),
        ] {
            assert_eq!(moment(text), Ok(expected.parse().unwrap()), "{text}");
        }
        let two_hours = jiff::SignedDuration::from_hours(2);
        let (before, ago, after) = (Timestamp::now(), moment("2h").unwrap(), Timestamp::now());
        assert!((before - two_hours..=after - two_hours).contains(&ago), "{ago}");
        for wrong in ["", "2", "soon", "2026-13-01", "999999999d"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn signals_are_known_by_name_and_number() {
        assert_eq!(signal("segv"), Ok(SigNo::SEGV));
        assert_eq!(signal("11"), Ok(SigNo::SEGV));
        assert!(signal("SIGSEV").is_err());
    }
}
