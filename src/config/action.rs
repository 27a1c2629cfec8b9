//! What can be done with a faulting thread, by the names that the configuration and reports use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One action on one faulting thread. Its name is the variant in lower case, in files and in reports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The thread gets its signal, unchanged. `report` is another name for it.
    #[default]
    Deliver,
    /// The thread stays stopped for a bounded time; on a proven stall its signal is delivered.
    Hold,
    /// The fault becomes an error of the program's own language.
    Throw,
    /// The thread's stack is unwound by force, cleanup handlers run, the thread ends.
    Unwind,
    /// The thread returns to the dispatcher that called what faulted, with a chosen value.
    Rescue,
    /// The thread runs the `exit` system call; the others go on.
    Exit,
    /// The thread sleeps in the kernel for good.
    Park,
    /// The instruction is stepped over, its destination set to zero.
    Skip,
    /// The signal is swallowed; only for signals that another process sent.
    Suppress,
    /// The thread is isolated and the process asked to end by SIGTERM.
    Drain,
}

impl Action {
    /// Every action, in the order of the manual.
    pub const ALL: [Self; 10] = [
        Self::Deliver,
        Self::Hold,
        Self::Throw,
        Self::Unwind,
        Self::Rescue,
        Self::Exit,
        Self::Park,
        Self::Skip,
        Self::Suppress,
        Self::Drain,
    ];

    /// The name in files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Hold => "hold",
            Self::Throw => "throw",
            Self::Unwind => "unwind",
            Self::Rescue => "rescue",
            Self::Exit => "exit",
            Self::Park => "park",
            Self::Skip => "skip",
            Self::Suppress => "suppress",
            Self::Drain => "drain",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Actions to try in order. When none of them can be taken, the signal is delivered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ladder(pub Vec<Action>);

/// A name that is no action.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown action '{0}'; known are isolate, report, {known}", known = Action::ALL.map(Action::name).join(", "))]
pub struct UnknownAction(pub String);

impl Ladder {
    /// What the one word `isolate` stands for.
    pub const ISOLATE: [Action; 5] = [
        Action::Throw,
        Action::Unwind,
        Action::Exit,
        Action::Park,
        Action::Deliver,
    ];

    /// Every word that [`Ladder::from_word`] knows, for suggestions.
    pub fn words() -> impl Iterator<Item = &'static str> {
        ["report", "isolate"]
            .into_iter()
            .chain(Action::ALL.into_iter().map(Action::name))
    }

    /// The ladder that one word names: an action, `report` (deliver) or `isolate`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "report" => Some(Self(vec![Action::Deliver])),
            "isolate" => Some(Self(Self::ISOLATE.to_vec())),
            _ => Action::ALL
                .into_iter()
                .find(|action| action.name() == word)
                .map(|action| Self(vec![action])),
        }
    }
}

impl Default for Ladder {
    fn default() -> Self {
        Self(vec![Action::Deliver])
    }
}

impl FromStr for Ladder {
    type Err = UnknownAction;

    /// Words separated by commas, as the command line gives them: `exit,park` or `isolate`.
    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let mut actions = Vec::new();
        for word in text.split(',').map(str::trim) {
            actions.extend(
                Self::from_word(word)
                    .ok_or_else(|| UnknownAction(word.to_owned()))?
                    .0,
            );
        }
        Ok(Self(actions))
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, action) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{action}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_json_are_those_in_files() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{action}\""));
        }
    }

    #[test]
    fn every_word_names_a_ladder() {
        for word in Ladder::words() {
            assert!(Ladder::from_word(word).is_some(), "{word}");
        }
        assert_eq!(Ladder::from_word("report"), Some(Ladder::default()));
        assert_eq!("isolate".parse::<Ladder>().unwrap().0, Ladder::ISOLATE);
    }

    #[test]
    fn the_command_lines_ladder_is_separated_by_commas() {
        assert_eq!(
            "exit, park".parse::<Ladder>().unwrap(),
            Ladder(vec![Action::Exit, Action::Park])
        );
        assert_eq!("exit,prak".parse::<Ladder>(), Err(UnknownAction("prak".into())));
        assert!("".parse::<Ladder>().is_err());
    }
}
