//! The result of one check, and how it is shown.

use std::fmt;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it stands in the way.
    pub verdict: Verdict,
    /// What is so, and what follows from it.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Whether something stands in the way of supervising processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does not.
    Ok,
    /// Part of it does not work, or not for everybody.
    Warn,
    /// Nothing works.
    Fail,
}

/// A check that found nothing in the way.
pub(super) fn ok(name: &'static str, found: String) -> Check {
    Check {
        name,
        verdict: Verdict::Ok,
        found,
        fix: None,
    }
}

/// A check that found something to know, and what can be done.
pub(super) fn warn(name: &'static str, found: String, fix: impl Into<String>) -> Check {
    Check {
        name,
        verdict: Verdict::Warn,
        found,
        fix: Some(fix.into()),
    }
}

/// A check that found why nothing works, and what is to be done.
pub(super) fn fail(name: &'static str, found: String, fix: impl Into<String>) -> Check {
    Check {
        name,
        verdict: Verdict::Fail,
        found,
        fix: Some(fix.into()),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {:<15}  {}", self.verdict, self.name, self.found)?;
        self.fix
            .as_ref()
            .map_or(Ok(()), |fix| write!(f, "\n{:23}fix: {fix}", ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_line_up() {
        let check = warn("kernel", "old".to_owned(), "newer");
        assert_eq!(
            check.to_string(),
            format!("warn  kernel           old\n{:23}fix: newer", "")
        );
    }
}
