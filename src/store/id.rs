//! What a report is called: `20261123T055612Z-api-4711-7f3a`.
//!
//! The time comes first, so that names sort by it; service and process tell people what it is; the random part
//! keeps two machines, or two faults in one second, apart. An id is also the name of a directory, hence the strict
//! parser: whatever is an [`Id`] is a plain file name.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::Serialize;
use thiserror::Error;

use crate::sys::Pid;

/// The longest part of a service's name that becomes part of an id, in bytes.
const MAX_SERVICE: usize = 32;
/// How the time is written.
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// The length of a time so written.
const TIME_LEN: usize = 16;
/// Stands in for a service's name without a usable character.
const NAMELESS: &str = "process";

/// The name of a report: a plain file name that sorts by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(String);

/// A text that is no report's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a report id: an id looks like 20261123T055612Z-api-4711-7f3a")]
pub struct ParseIdError;

impl Id {
    /// A new id with a random part from the kernel.
    ///
    /// Fails only where `getrandom(2)` does.
    pub fn new(time: Timestamp, service: &str, pid: Pid) -> std::io::Result<Self> {
        let mut random = [0; 2];
        getrandom::fill(&mut random)?;
        Ok(Self::from_parts(time, service, pid, u16::from_ne_bytes(random)))
    }

    /// An id of these parts. The service's name is reduced to lower-case letters, digits, `_` and `-`.
    pub fn from_parts(time: Timestamp, service: &str, pid: Pid, random: u16) -> Self {
        let service = sanitised(service);
        Self(format!(
            "{}-{service}-{}-{random:04x}",
            time.strftime(TIME),
            pid.0.max(0)
        ))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part that says of which service, as reduced by [`Id::from_parts`].
    pub fn service(&self) -> &str {
        let rest = self.0.get(TIME_LEN + 1..).unwrap_or_default();
        rest.rsplitn(3, '-').nth(2).unwrap_or_default()
    }

    /// When it was given, to the second.
    pub fn time(&self) -> Timestamp {
        let time = DateTime::strptime(TIME, self.second()).ok();
        let time = time.and_then(|time| Offset::UTC.to_timestamp(time).ok());
        time.unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The part that says when, to the second; equal for two ids means that names alone do not order them.
    pub(super) fn second(&self) -> &str {
        self.0.get(..TIME_LEN).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        is_id(text).then(|| Self(text.to_owned())).ok_or(ParseIdError)
    }
}

fn is_id(text: &str) -> bool {
    let Some((time, rest)) = text.split_once('-') else {
        return false;
    };
    // The service may itself contain hyphens: take the other parts off the end.
    let mut parts = rest.rsplitn(3, '-');
    let (Some(random), Some(pid), Some(service)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    is_time(time)
        && (1..=MAX_SERVICE).contains(&service.len())
        && service.bytes().all(is_service_byte)
        && (1..=10).contains(&pid.len())
        && pid.bytes().all(|byte| byte.is_ascii_digit())
        && random.len() == 4
        && random
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_time(text: &str) -> bool {
    let shaped = text.len() == TIME_LEN
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    shaped && DateTime::strptime(TIME, text).is_ok()
}

const fn is_service_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
}

/// A service's name as part of an id.
pub(super) fn sanitised(service: &str) -> String {
    let mut name = String::new();
    for character in service.chars().map(|character| character.to_ascii_lowercase()) {
        let usable = u8::try_from(character).is_ok_and(is_service_byte);
        match (usable, name.ends_with('-')) {
            (true, false) => name.push(character),
            (true, true) if character != '-' => name.push(character),
            (false, false) => name.push('-'),
            _ => {}
        }
        if name.len() > MAX_SERVICE {
            break;
        }
    }
    name.truncate(MAX_SERVICE);
    let name = name.trim_matches('-');
    if name.is_empty() {
        NAMELESS.to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time() -> Timestamp {
        "2026-11-23T05:56:12.9Z".parse().unwrap()
    }

    proptest! {
        #[test]
        fn whatever_is_made_can_be_parsed(service: String, pid in 0i32.., random: u16, second in 0i64..253_402_207_200) {
            let id = Id::from_parts(Timestamp::from_second(second).unwrap(), &service, Pid(pid), random);
            prop_assert_eq!(id.as_str().parse::<Id>(), Ok(id.clone()));
        }

        #[test]
        fn whatever_parses_is_a_plain_file_name(text in "(20261123T055612Z)?[-./a-z0-9_T\0]{0,40}") {
            if let Ok(id) = text.parse::<Id>() {
                prop_assert!(id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
                prop_assert!(id.as_str().len() <= 80);
            }
        }

        #[test]
        fn any_text_is_parsed_without_panic(text: String) {
            let _ = text.parse::<Id>();
        }

        #[test]
        fn ids_sort_by_time(a in 0i64..4_000_000_000, b in 0i64..4_000_000_000) {
            let id = |second| Id::from_parts(Timestamp::from_second(second).unwrap(), "api", Pid(1), 0);
            prop_assert_eq!(a.cmp(&b), id(a).cmp(&id(b)));
        }
    }

    #[test]
    fn an_id_tells_time_service_and_process() {
        let id = Id::from_parts(time(), "api", Pid(4711), 0x7f3a);
        assert_eq!(id.as_str(), "20261123T055612Z-api-4711-7f3a");
        assert_eq!(id.service(), "api");
        assert_eq!(id.time(), "2026-11-23T05:56:12Z".parse().unwrap());
        let id = Id::from_parts(time(), "a-b-1", Pid(2), 3);
        assert_eq!(id.service(), "a-b-1");
    }

    #[test]
    fn service_names_become_file_names() {
        for (service, expected) in [
            ("My Service@1.service", "my-service-1-service"),
            ("../../etc/passwd", "etc-passwd"),
            ("", "process"),
            ("日本", "process"),
            ("a_b-c", "a_b-c"),
            (&"x".repeat(100), &"x".repeat(32)),
        ] {
            assert_eq!(sanitised(service), expected);
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        for wrong in [
            "",
            ".",
            "..",
            "latest",
            "20261123T055612Z",
            "20261123T055612Z-api-4711",
            "20261123T055612Z--4711-7f3a",
            "20261123T055612Z-api--7f3a",
            "20261123T055612Z-api-4711-7F3A",
            "20261123T055612Z-api-4711-7f3a/",
            "20261123T055612Z-../x-4711-7f3a",
            "20261323T055612Z-api-4711-7f3a",
            "20261123T055612Z-api-47 1-7f3a",
            ".20261123T055612Z-api-4711-7f3a",
            "20261123T055612Z-api-4711-7f3a\n",
        ] {
            assert_eq!(wrong.parse::<Id>(), Err(ParseIdError), "{wrong}");
        }
    }

    #[test]
    fn two_ids_of_one_moment_differ() {
        let ids: std::collections::HashSet<_> =
            (0..64).map(|_| Id::new(time(), "api", Pid(1)).unwrap()).collect();
        assert!(ids.len() > 32, "{} different ids of 64", ids.len());
    }
}
