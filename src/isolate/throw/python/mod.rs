//! Python: a RuntimeError, set in the thread by the interpreter's own function before a native function returns NULL.
//!
//! Which one returns to which frame, [`crate::diagnose::unwind::caller_of_native`] says. The thread does it by itself
//! ([`super::super::chain`]): where it had let go of the interpreter lock (GIL), it takes that again first, which may
//! last, with the state that the interpreter keeps of it.

mod methods;

use std::cell::RefCell;

use crate::capture::maps::is_c_library;
use crate::capture::python::thread_states;
use crate::diagnose::unwind::{FrameModule, Interpreter, Procedure, caller_of_native};
use crate::diagnose::{Image, holds_interpreter_lock};
use crate::isolate::chain::{self, Step};
use crate::isolate::inject::Obstacle;
use crate::isolate::sites::Finder;
use crate::sys::ptrace::Stopped;
use crate::sys::regs::GeneralRegisters;

use super::by_file::ByFile;
use super::{Language, NotRaised, Program, Raised, Scene};
use methods::Methods;

/// What the interpreter offers to others: the state of the thread that holds the lock, to take the lock with a thread's
/// state, to set an exception from a text, the exception.
const HOLDER: &str = "_PyThreadState_UncheckedGet";
const TAKES_LOCK: &str = "PyEval_RestoreThread";
const SETS: &str = "PyErr_SetString";
const EXCEPTION: &str = "PyExc_RuntimeError";
/// Functions of it that call an object's own pointer and pass on what that returns.
const CALLERS: [&str; 4] = [
    "_PyObject_MakeTpCall",
    "_PyObject_Call",
    "PyObject_Call",
    "PyObject_Vectorcall",
];
/// Versions of which all this holds (`PY_VERSION_HEX`, the first two parts).
const KNOWN: [u32; 1] = [0x030b];
/// In place of the address of a function that there is not.
const NOWHERE: u64 = u64::MAX;
/// What a return address takes, bytes.
const RETURN_ADDRESS: u64 = 8;

/// What is kept between faults.
#[derive(Debug, Default)]
pub(super) struct Python {
    files: ByFile<Functions>,
    methods: Methods,
}

/// What an interpreter offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Functions {
    holder: u64,
    takes_lock: u64,
    sets: u64,
    exception: u64,
    callers: [u64; CALLERS.len()],
}

impl Language for Python {
    fn learn(&mut self, program: &Program<'_>) {
        for place in 0..program.modules.len() {
            self.of_module(program, place);
        }
    }

    fn frame(&mut self, scene: &Scene<'_>) -> Option<usize> {
        self.find(scene).map(|(frame, ..)| frame)
    }

    fn raise(
        &mut self,
        thread: Stopped,
        scene: &Scene<'_>,
        finder: &mut Finder,
    ) -> Result<(Stopped, Raised), NotRaised> {
        match self.prepare(&thread, scene, finder) {
            Ok(raised) => Ok((thread, raised)),
            Err(why) => Err(NotRaised::of(thread, why)),
        }
    }
}

impl Python {
    /// Takes up what another one has found out about files.
    pub(super) fn take_up(&mut self, other: Self) {
        self.files.take_up(other.files);
    }

    fn prepare(
        &mut self,
        thread: &Stopped,
        scene: &Scene<'_>,
        finder: &mut Finder,
    ) -> Result<Raised, String> {
        let (_, place, functions) = self.find(scene).ok_or("no frame is of Python")?;
        check_version(scene)?;
        let from = self.returns_to(scene, place, &functions)?;
        if let Some(lock) = scene.lock {
            return Err(format!(
                "{lock}, and nothing would release it when the function returns"
            ));
        }
        scene.allocates_safely(&scene.outer.frames[..from])?;
        let state = state_to_take_lock_with(thread, scene, &functions)?;
        let exception = scene.memory.read_u64(functions.exception);
        let exception = exception
            .filter(|object| *object != 0)
            .ok_or("the interpreter has no RuntimeError")?;
        let sites = finder.find(scene.memory, scene.maps);
        let way_back = sites
            .and_then(|sites| sites.way_back)
            .ok_or_else(|| Obstacle::NoSite.to_string())?;
        let steps = |text| {
            let takes_lock = state.map(|state| Step {
                function: functions.takes_lock,
                arguments: [state, 0],
            });
            let sets = Step {
                function: functions.sets,
                arguments: [exception, text],
            };
            takes_lock.into_iter().chain([sets]).collect()
        };
        let enter = || {
            let then = returned(thread, scene, from)?;
            let text = scene.text();
            chain::enter(thread, scene.memory, scene.maps, way_back, &text, steps, &then)
        };
        enter().map_err(|error: Obstacle| error.to_string())?;
        Ok(Raised {
            what: "a Python RuntimeError",
            from,
            to: None,
        })
    }

    /// The frame to which a native function is to return NULL.
    fn returns_to(
        &mut self,
        scene: &Scene<'_>,
        place: usize,
        functions: &Functions,
    ) -> Result<usize, String> {
        let methods = RefCell::new(&mut self.methods);
        let is_method = |procedure: &Procedure| {
            let FrameModule::File(place) = procedure.module else {
                return false;
            };
            let Some(module) = scene.program.modules.get(place) else {
                return false;
            };
            methods
                .borrow_mut()
                .has(procedure, module, scene.maps, scene.memory)
        };
        let is_c_library = |module: FrameModule| match module {
            FrameModule::File(place) => {
                let module = scene.program.modules.get(place);
                module.is_none_or(|module| is_c_library(&module.path))
            }
            FrameModule::Vdso => true,
        };
        caller_of_native(
            scene.outer,
            Interpreter {
                module: FrameModule::File(place),
                callers: &functions.callers,
                is_method: &is_method,
                is_c_library: &is_c_library,
            },
        )
    }

    /// The innermost frame of an interpreter, which module that is, and what it offers, at its addresses in the process.
    fn find(&mut self, scene: &Scene<'_>) -> Option<(usize, usize, Functions)> {
        let mut last = None;
        for (index, outer) in scene.outer.frames.iter().enumerate() {
            let Some(FrameModule::File(place)) = outer.frame.module else {
                continue;
            };
            if last.replace(place) == Some(place) {
                continue;
            }
            if let Some(functions) = self.of_module(&scene.program, place) {
                return Some((index, place, functions));
            }
        }
        None
    }

    fn of_module(&mut self, program: &Program<'_>, place: usize) -> Option<Functions> {
        let module = program.modules.get(place)?;
        let known = self.files.of(program, place, Functions::read);
        known.map(|functions| functions.moved(module.low))
    }
}

impl Functions {
    /// What a file offers, by the distances from its first mapped byte; none where that is not all.
    fn read(image: &Image<'_>, first: u64) -> Option<Self> {
        let names = [HOLDER, TAKES_LOCK, SETS, EXCEPTION];
        let found = image.exports(&[&names[..], &CALLERS[..]].concat()).ok()?;
        let distance = |name: &str| {
            let (_, address) = found.iter().find(|(known, _)| *known == name)?;
            Some(address.wrapping_sub(first))
        };
        Some(Self {
            holder: distance(HOLDER)?,
            takes_lock: distance(TAKES_LOCK)?,
            sets: distance(SETS)?,
            exception: distance(EXCEPTION)?,
            callers: CALLERS.map(|name| distance(name).unwrap_or(NOWHERE)),
        })
    }

    fn moved(self, low: u64) -> Self {
        let there = |distance: u64| low.wrapping_add(distance);
        Self {
            holder: there(self.holder),
            takes_lock: there(self.takes_lock),
            sets: there(self.sets),
            exception: there(self.exception),
            callers: self.callers.map(|distance| match distance {
                NOWHERE => NOWHERE,
                distance => there(distance),
            }),
        }
    }
}

fn check_version(scene: &Scene<'_>) -> Result<(), String> {
    let version = scene
        .python
        .ok_or("the version of its Python is not known")?
        .version;
    if KNOWN.contains(&(version >> 16)) {
        return Ok(());
    }
    let (major, minor) = (version >> 24, version >> 16 & 0xff);
    Err(format!(
        "exceptions are not raised in Python {major}.{minor} from outside; in 3.11 they are"
    ))
}

/// The state with which the thread has to take the lock first; none where it holds it.
fn state_to_take_lock_with(
    thread: &Stopped,
    scene: &Scene<'_>,
    functions: &Functions,
) -> Result<Option<u64>, String> {
    let registers = thread.registers().map_err(|error| error.to_string())?;
    match holds_interpreter_lock(functions.holder, &registers, scene.live) {
        Some(true) => Ok(None),
        Some(false) => {
            let python = scene.python.ok_or("the version of its Python is not known")?;
            let states = thread_states(scene.memory, python, scene.own_tid)?;
            match states.as_slice() {
                [state] => Ok(Some(*state)),
                _ => Err("the interpreter does not know with which state it takes its lock (GIL)".to_owned()),
            }
        }
        None => Err("whether it holds the interpreter lock (GIL) is not known".to_owned()),
    }
}

/// The registers of a frame to which its callee has returned NULL.
fn returned(thread: &Stopped, scene: &Scene<'_>, frame: usize) -> Result<GeneralRegisters, Obstacle> {
    let outer = &scene.outer.frames[frame];
    let mut registers = thread.registers()?;
    outer.registers.apply_to(&mut registers);
    let return_address = registers.sp().checked_sub(RETURN_ADDRESS);
    if return_address.and_then(|place| scene.memory.read_u64(place)) != Some(outer.frame.pc) {
        return Err(Obstacle::NoStack);
    }
    Ok(registers.after_return(0))
}
