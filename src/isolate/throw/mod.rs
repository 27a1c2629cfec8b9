//! `throw`: the fault becomes an error of the program's own language, in the thread that faulted.
//!
//! | file | language | what the program's handler gets |
//! |---|---|---|
//! | `cxx` | C++ | a std::runtime_error |
//! | `rust` | Rust | a panic with a `&'static str` |
//! | `python` | CPython | a RuntimeError |
//!
//! The language is that of the innermost frame that belongs to any: an error of one is never sent through the frames of
//! another, which would end the process. Everything is worked out before the thread is touched. It then goes on at the
//! entry of a function of its own runtime, with the registers of the frame that appears to call it. Nothing of the
//! program is changed but the stack below, and until the thread is let go on without its signal the signal is what it
//! takes.

mod by_file;
mod cxx;
mod python;
mod rust;

use std::fmt;

use crate::capture::maps::{Maps, is_c_library};
use crate::capture::{self, ModuleFile};
use crate::diagnose::ModuleSource;
use crate::diagnose::unwind::{MemorySource, OuterFrame, OuterFrames, Reading, cleans_up};
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;
use crate::sys::status::Status;
use crate::sys::{Pid, Tid};

use super::inject::Failure;
use super::sites::Finder;
use cxx::Cxx;
use python::Python;
use rust::Rust;

/// The most that is read of one function's data area, bytes.
const MAX_AREA: u64 = 32 << 10;
/// The longest text of an error, bytes.
const MAX_TEXT: usize = 512;

/// What is kept between faults.
#[derive(Debug, Default)]
pub struct Throwing {
    cxx: Cxx,
    rust: Rust,
    python: Python,
}

/// The program of a thread, and what it knows of its files.
#[derive(Clone, Copy)]
pub struct Program<'a> {
    /// The process.
    pub process: Pid,
    /// Its modules.
    pub modules: &'a [ModuleFile],
    /// Their files.
    pub source: &'a dyn ModuleSource,
}

/// A thread in front of its signal, and what its error is to say.
pub struct Scene<'a> {
    /// Its program.
    pub program: Program<'a>,
    /// The memory map of its process.
    pub maps: &'a Maps,
    /// The memory of its process.
    pub memory: &'a Memory,
    /// The same, to be looked at.
    pub live: &'a dyn MemorySource,
    /// What /proc says of the thread.
    pub status: &'a Status,
    /// What is known of the process's Python.
    pub python: Option<&'a capture::Python>,
    /// The thread's id for itself, in its own pid namespace.
    pub own_tid: Tid,
    /// Its frames.
    pub outer: &'a OuterFrames,
    /// The text of the error.
    pub text: &'a str,
    /// A lock that the thread holds, as a sentence about the thread.
    pub lock: Option<&'a str>,
}

/// What was raised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raised {
    /// In words: "a C++ exception".
    pub what: &'static str,
    /// The frame that appears to raise it.
    pub from: usize,
    /// The frame that gets it, where one is known.
    pub to: Option<usize>,
}

/// A thread in which nothing was raised.
#[derive(Debug)]
pub struct NotRaised {
    /// The thread in its stop as it was, if it still is.
    pub thread: Option<Stopped>,
    /// Why, as a clause of a sentence.
    pub why: String,
}

/// A language whose errors can be raised from outside.
trait Language {
    /// Looks ahead of faults at what it needs of a program's files.
    fn learn(&mut self, program: &Program<'_>);

    /// The innermost frame of the thread that belongs to the language.
    fn frame(&mut self, scene: &Scene<'_>) -> Option<usize>;

    /// Puts the thread in front of an error.
    fn raise(
        &mut self,
        thread: Stopped,
        scene: &Scene<'_>,
        finder: &mut Finder,
    ) -> Result<(Stopped, Raised), NotRaised>;
}

impl Throwing {
    /// Puts a thread that stands in front of its signal in front of an error of its own language instead.
    pub fn raise(
        &mut self,
        thread: Stopped,
        scene: &Scene<'_>,
        finder: &mut Finder,
    ) -> Result<(Stopped, Raised), NotRaised> {
        let claimed = self
            .languages()
            .into_iter()
            .filter_map(|language| Some((language.frame(scene)?, language)));
        match claimed.min_by_key(|(frame, _)| *frame) {
            Some((_, language)) => language.raise(thread, scene, finder),
            None => Err(NotRaised::of(thread, scene.without_language())),
        }
    }

    /// Looks ahead of faults at the files of a program.
    pub fn learn(&mut self, program: &Program<'_>) {
        for language in self.languages() {
            language.learn(program);
        }
        let of_cxx = self.cxx.personalities(program);
        self.rust.rule_out(program, &of_cxx);
    }

    /// Takes up what another one has found out about files.
    pub fn take_up(&mut self, other: Self) {
        self.cxx.take_up(other.cxx);
        self.rust.take_up(other.rust);
        self.python.take_up(other.python);
    }

    fn languages(&mut self) -> [&mut dyn Language; 3] {
        [&mut self.cxx, &mut self.rust, &mut self.python]
    }

    /// That process has ended, or runs another program.
    pub fn forget(&mut self, process: Pid) {
        self.rust.forget(process);
    }

    /// The addresses of the personality routines in the process whose frames an exception of C++ may pass.
    ///
    /// # Errors
    ///
    /// Why forced unwinding may not run them, as a clause of a sentence.
    pub fn cxx_personalities(&mut self, program: &Program<'_>) -> Result<Vec<u64>, String> {
        // The contexts of two unwinders differ: the process would die in the middle.
        if self.cxx.is_libcxx(program) {
            return Err("libc++ may have an unwinder of its own, and pthread_exit uses libgcc_s".to_owned());
        }
        Ok(self.cxx.personalities(program))
    }
}

impl Scene<'_> {
    /// Has `look` read the thread's frames.
    fn reading<T>(&self, look: impl FnOnce(Reading<'_>) -> T) -> T {
        let area = |address| read_area(self.memory, self.maps, address);
        look(Reading {
            memory: self.live,
            area: &area,
        })
    }

    /// Why no language's error can be raised, where no frame was found to be of any.
    fn without_language(&self) -> String {
        let has_personality = |outer: &OuterFrame| {
            outer
                .procedure
                .is_some_and(|procedure| procedure.personality.is_some())
        };
        match self.outer.frames.iter().position(has_personality) {
            Some(frame) => format!(
                "frame {frame} has a personality routine of no language that is known here, or the program was \
                 stripped of its symbols"
            ),
            None => "no frame belongs to a language whose errors can be raised".to_owned(),
        }
    }

    /// Whether a lock that the thread holds is released on the way from frame to frame.
    fn releases(&self, from: usize, to: usize) -> Result<(), String> {
        match self.lock {
            Some(lock) if !self.reading(|reading| cleans_up(self.outer, from, to, reading)) => {
                Err(format!("{lock}, and no destructor on the way would release it"))
            }
            _ => Ok(()),
        }
    }

    /// The innermost frame whose personality routine is one of these.
    fn frame_with(&self, personalities: &[u64]) -> Option<usize> {
        self.outer.frames.iter().position(|outer| {
            let routine = outer.procedure.and_then(|procedure| procedure.personality);
            let routine = routine.and_then(|routine| routine.resolve(self.live));
            routine.is_some_and(|routine| personalities.contains(&routine))
        })
    }

    /// The text without what would end it early, cut to what is taken of it.
    fn text(&self) -> String {
        let mut text = self.text.replace('\0', "");
        while text.len() >= MAX_TEXT {
            text.pop();
        }
        text
    }

    /// Raising an error allocates. Of the C library's functions only those that keep nothing on the stack are known not
    /// to be in the middle of an allocation: copying and comparing, where a bad pointer usually shows.
    fn allocates_safely(&self, popped: &[OuterFrame]) -> Result<(), String> {
        for (index, outer) in popped.iter().enumerate() {
            let in_library = self
                .maps
                .find(outer.frame.pc)
                .is_some_and(|mapping| is_c_library(&mapping.name) || mapping.name.contains("/ld-linux"));
            let is_leaf = index == 0 && outer.cfa == Some(outer.frame.sp.wrapping_add(8));
            if in_library && !is_leaf {
                return Err("it is inside the C library, which may hold a lock of its own".to_owned());
            }
        }
        Ok(())
    }
}

/// A function's data area, which says nothing of its own size: as much as there may be of it.
pub fn read_area(memory: &Memory, maps: &Maps, address: u64) -> Vec<u8> {
    let high = maps.find(address).map_or(address, |mapping| mapping.high);
    memory.read_span(address, (high - address).min(MAX_AREA) as usize)
}

impl NotRaised {
    fn of(thread: Stopped, why: impl fmt::Display) -> Self {
        Self {
            thread: Some(thread),
            why: why.to_string(),
        }
    }
}

impl From<Failure> for NotRaised {
    fn from(failure: Failure) -> Self {
        Self {
            thread: failure.thread,
            why: failure.reason.to_string(),
        }
    }
}
