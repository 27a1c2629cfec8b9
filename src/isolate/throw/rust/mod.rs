//! Rust: a panic, begun by the function of core that every `panic!` with a plain text ends in.
//!
//! From where, and whether `catch_unwind` gets it, [`crate::diagnose::unwind::panic_flight`] says. The functions are found
//! by name, so a program that was stripped of its symbols cannot be told to panic.
//!
//! To the program the text is a `&'static str`, which a handler may keep for ever. So it lies in memory of its own,
//! mapped once for a process by a system call of the faulting thread, which is then in front of its signal again. Equal
//! texts are written once, and when the memory is full the text is the signal's name alone.

mod symbols;
mod texts;

use crate::diagnose::unwind::{RustRuntime, panic_flight};
use crate::isolate::call::Call;
use crate::isolate::sites::Finder;
use crate::sys::ptrace::Stopped;
use crate::sys::{Pid, fail};

use super::{Language, NotRaised, Program, Raised, Scene};
use symbols::{Found, Symbols};
use texts::Texts;

/// What is kept between faults.
#[derive(Debug, Default)]
pub(super) struct Rust {
    symbols: Symbols,
    texts: Texts,
}

impl Language for Rust {
    fn learn(&mut self, program: &Program<'_>) {
        self.symbols.learn(program);
    }

    fn frame(&mut self, scene: &Scene<'_>) -> Option<usize> {
        self.symbols.find(scene).map(|(frame, _)| frame)
    }

    fn raise(
        &mut self,
        thread: Stopped,
        scene: &Scene<'_>,
        finder: &mut Finder,
    ) -> Result<(Stopped, Raised), NotRaised> {
        let (panics, raised) = match self.plan(scene) {
            Ok(plan) => plan,
            Err(why) => return Err(NotRaised::of(thread, why)),
        };
        let (thread, text) = self.texts.place(thread, scene, finder)?;
        fail::point("isolate.throw.placed");
        let frame = &scene.outer.frames[raised.from];
        let arguments = [text.start, text.len, text.location];
        let call = Call::from(&thread, scene.status, frame, scene.memory);
        match call.and_then(|call| call.enter(&thread, panics, &arguments)) {
            Ok(()) => Ok((thread, raised)),
            Err(why) => Err(NotRaised::of(thread, why)),
        }
    }
}

impl Rust {
    /// The function that panics, and from where it is to seem called.
    fn plan(&mut self, scene: &Scene<'_>) -> Result<(u64, Raised), String> {
        let Some((
            _,
            Found {
                functions,
                personality,
            },
        )) = self.symbols.find(scene)
        else {
            return Err("no frame is of Rust".to_owned());
        };
        if !functions.unwinds {
            return Err("it was built with panic=abort".to_owned());
        }
        let panics = functions
            .panics
            .ok_or("the program has no symbol of the function that panics (core::panicking::panic)")?;
        let runtime = RustRuntime {
            personality,
            enders: &functions.enders,
            hooks: &functions.hooks,
        };
        let flight = scene.reading(|reading| panic_flight(scene.outer, runtime, reading))?;
        scene.releases(flight.from, flight.to)?;
        scene.allocates_safely(&scene.outer.frames[..flight.from])?;
        let raised = Raised {
            what: "a Rust panic",
            from: flight.from,
            to: Some(flight.to),
        };
        Ok((panics, raised))
    }

    /// Takes up what another one has found out about files.
    pub(super) fn take_up(&mut self, other: Self) {
        self.symbols.take_up(other.symbols);
    }

    /// Finds out ahead that these routines of another language are none of Rust.
    pub(super) fn rule_out(&mut self, program: &Program<'_>, routines: &[u64]) {
        for routine in routines {
            self.symbols.of_routine(program, *routine);
        }
    }

    /// That process has ended, or runs another program.
    pub(super) fn forget(&mut self, process: Pid) {
        self.texts.forget(process);
    }
}
