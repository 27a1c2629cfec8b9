//! What a thread is in the middle of, and what it belongs to, worked out from its stack in place.
//!
//! All of it is bounded: so many frames, so many files, so much of each. What the files say is remembered.

use std::collections::HashSet;
use std::rc::Rc;

use crate::capture::fault::Copied;
use crate::config::Action;
use crate::diagnose::instruction;
use crate::diagnose::unwind::{FrameKind, OuterFrames, TableCache, Tables, Unwinder};
use crate::diagnose::{
    FileVersion, Functions, Inside, MAX_FRAMES, Runtimes, Tie, demangled, inside, short_name,
};
use crate::policy::Danger;
use crate::sys::ptrace::Stopped;

use super::source::{Files, Live};

/// What is kept between faults.
#[derive(Debug, Default)]
pub(super) struct Examiner {
    /// Unwind tables.
    tables: TableCache,
    functions: Functions,
    runtimes: Runtimes,
    is_prepared: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// The function that faulted, as reports write it.
    pub(super) function: Option<String>,
    /// The functions of its frames, innermost first, as their files name them.
    pub(super) names: Vec<Option<String>>,
    /// The same frames with their registers, as far as all of these can be restored.
    pub(super) outer: OuterFrames,
    /// What speaks against acting on the thread.
    pub(super) dangers: Vec<Danger>,
    /// What was looked at and speaks for nothing.
    pub(super) notes: Vec<String>,
}

impl Examiner {
    /// Does ahead of faults what the first of them would have to wait for, and no process is needed for.
    pub(super) fn prepare(&mut self) {
        if !self.is_prepared {
            instruction::prepare();
            self.is_prepared = true;
        }
    }

    /// The files whose unwind tables are known.
    pub(super) fn known(&self) -> HashSet<FileVersion> {
        self.tables.known().collect()
    }

    /// Takes up what was found out about files ahead of faults.
    pub(super) fn take_up(&mut self, tables: Vec<(FileVersion, Tables)>, runtimes: Runtimes) {
        for (version, tables) in tables {
            self.tables.keep(version, Rc::new(tables));
        }
        self.runtimes.take_up(runtimes);
    }

    /// Looks at a thread in its stop; `raised`: it sent its signal itself.
    pub(super) fn examine(
        &mut self,
        thread: &Stopped,
        copied: &Copied,
        live: &Live,
        raised: bool,
    ) -> Examined {
        let mut found = Examined::default();
        let Ok(registers) = thread.registers() else {
            // It has died; whatever is decided about it comes too late.
            return found;
        };
        let Copied { capture, maps, .. } = copied;
        let source = Files(&copied.modules);
        let modules = &capture.facts.modules;
        for runtime in self.runtimes.find(modules, &source) {
            let tie = runtime.tie(&registers, live);
            let what = runtime.sentence(tie);
            match allowed(tie) {
                Some(allows) => found.dangers.push(Danger { what, allows }),
                None => found.notes.push(what),
            }
        }
        let mut unwinder = Unwinder::new(maps, modules, None, &source, &mut self.tables);
        let stack = unwinder.walk(&registers, live, MAX_FRAMES);
        found.outer = unwinder.outer_frames(&registers, live, MAX_FRAMES);
        if stack.frames.iter().any(|frame| frame.kind == FrameKind::Signal) {
            found.dangers.push(Danger {
                what: "it is inside a signal handler, and what that interrupted is not known".to_owned(),
                allows: &[Action::Hold],
            });
        }
        let names = self.functions.names(&stack.frames, &source);
        let function = names.first().and_then(Option::as_deref);
        found.function = function.map(|name| short_name(&demangled(name.as_bytes())));
        found
            .dangers
            .extend(inside(&stack, &names, modules, raised).map(|inside| Danger {
                what: inside.sentence(),
                allows: allowed_inside(&inside),
            }));
        found.names = names;
        found
    }
}

impl Examined {
    /// What a sentence calls a frame: "frame 3 (`serve`)".
    pub(super) fn frame(&self, index: usize) -> String {
        match self.names.get(index) {
            Some(Some(name)) => format!("frame {index} (`{}`)", short_name(&demangled(name.as_bytes()))),
            _ => format!("frame {index}"),
        }
    }
}

/// What may be done with a thread that is tied to a runtime so; none where that forbids nothing.
fn allowed(tie: Tie) -> Option<&'static [Action]> {
    match tie {
        Tie::Managed => Some(&[]),
        Tie::Joined => Some(&[Action::Throw, Action::Exit]),
        Tie::HoldsLock => Some(&[Action::Throw]),
        Tie::Free => None,
    }
}

/// What may be done with a thread in the middle of that. An exception allocates, and ends nothing.
fn allowed_inside(inside: &Inside) -> &'static [Action] {
    match inside {
        Inside::Allocator(_) => &[],
        Inside::Loader(_) | Inside::Ending(_) | Inside::CLibrary(_) | Inside::Unknown(_) => &[Action::Throw],
    }
}
