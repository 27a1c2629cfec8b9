//! A watch that is for one capture: take up, copy, let go, wait for the report.

use std::path::PathBuf;

use crate::report::model::Kind;
use crate::supervisor::recording::Concluded;
use crate::supervisor::watch::Refusal;
use crate::sys::Pid;

use super::{Front, FrontError, Options, Outcome};

/// A report of a live process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Captured {
    /// Its directory.
    pub path: PathBuf,
    /// Whether everything is in it: all threads stopped, and the recorder finished.
    pub whole: bool,
}

/// The capture that a watch is for.
#[derive(Debug)]
pub(super) struct OnDemand {
    process: Pid,
    /// Whether some threads did not stop; none as long as the tracer has not answered.
    partial: Option<bool>,
    captured: Option<Captured>,
}

impl Front {
    /// Copies one process while it runs, and lets it go. None: nobody wanted to wait for the report.
    pub fn capture(mut options: Options, process: Pid) -> Result<Option<Captured>, FrontError> {
        options.service.children = false;
        let mut front = Self::new(options.with_reports()?, None)?;
        front.on_demand = Some(OnDemand {
            process,
            partial: None,
            captured: None,
        });
        front.take_up(&[process])?;
        let outcome = front.serve()?;
        let captured = front.on_demand.and_then(|wish| wish.captured);
        match (outcome, captured) {
            (Outcome::Gone, None) => Err(FrontError::Refused(Refusal {
                process,
                reason: "it ended before it could be captured".to_owned(),
                permission: false,
                absent: true,
            })),
            (_, captured) => Ok(captured),
        }
    }

    /// Asks for the copy that this watch is for; false if it is for none.
    pub(super) fn ask_for_capture(&mut self) -> Result<bool, FrontError> {
        let Some(wish) = &self.on_demand else {
            return Ok(false);
        };
        self.followed.watch.capture(wish.process)?;
        Ok(true)
    }

    /// The process runs on already: what is left is the recorder's work.
    pub(super) fn capture_taken(&mut self, partial: bool) {
        if let Some(wish) = &mut self.on_demand {
            wish.partial = Some(partial);
        }
        self.let_go(Outcome::Released);
    }

    /// Tells of a record that is in the store.
    pub(super) fn conclude(&mut self, concluded: Concluded) {
        self.say(&concluded.line);
        if let Some(wish) = self
            .on_demand
            .as_mut()
            .filter(|_| concluded.brief.kind == Kind::Capture)
        {
            wish.captured = Some(Captured {
                path: concluded.path,
                whole: concluded.whole && wish.partial == Some(false),
            });
        }
    }
}
