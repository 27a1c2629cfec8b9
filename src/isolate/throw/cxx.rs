//! C++: a std::runtime_error, thrown by the library's own function.
//!
//! From where, and whether a handler catches it, [`crate::diagnose::unwind::flight`] says.

use std::cell::RefCell;

use crate::capture::ModuleFile;
use crate::diagnose::Image;
use crate::diagnose::unwind::{FrameModule, OuterFrame, flight};
use crate::isolate::call::Call;
use crate::isolate::inject::Obstacle;
use crate::isolate::sites::Finder;
use crate::sys::ptrace::Stopped;

use super::by_file::ByFile;
use super::{Language, MAX_TEXT, NotRaised, Program, Raised, Scene};

/// The functions that throw a std::runtime_error with a text, exported by libstdc++ and by libc++ for their own headers.
const THROWS: [&str; 2] = [
    "_ZSt21__throw_runtime_errorPKc",
    "_ZNSt3__121__throw_runtime_errorEPKc",
];
/// The libraries that have it, and those that have the personality routine.
const LIBRARIES: [[&str; 2]; 2] = [["libstdc++.so", "libstdc++.so"], ["libc++.so", "libc++abi.so"]];
/// The personality routine of C++.
const OF_CXX: &str = "__gxx_personality_v0";
/// The personality routine of C, which runs cleanups and lets everything pass: what link-time optimisation gives to functions of
/// C++ that have nothing else. It is in the library of the compiler, or in the program itself.
const OF_C: &str = "__gcc_personality_v0";
const COMPILERS_LIBRARY: &str = "libgcc_s.so";
/// What CPython offers to its extensions.
const PYTHON: &str = "PyErr_SetString";
/// How far below the stack pointer the text lies: deeper than anything that runs before the exception has copied it.
const DEPTH: u64 = 64 << 10;

/// What is kept between faults.
#[derive(Debug, Default)]
pub(super) struct Cxx {
    interpreters: ByFile<()>,
    of_c: ByFile<u64>,
    stand_ins: ByFile<StandIns>,
    found: ByFile<Found>,
}

/// Offsets in an executable of what it has in place of routines of libraries.
#[derive(Clone, Debug, Default)]
struct StandIns {
    of_cxx: Option<u64>,
    of_c: Option<u64>,
}

/// Distances from where a file begins in a process; none of what it does not have.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    throws: Option<u64>,
    is_libcxx: bool,
    personality: Option<u64>,
    of_c: Option<u64>,
}

/// Addresses in a process.
#[derive(Clone, Copy, Debug)]
struct Symbols {
    throws: u64,
    is_libcxx: bool,
    personality: u64,
    /// The personality routine of C, where it is in the same file.
    of_c: Option<u64>,
}

impl Language for Cxx {
    fn learn(&mut self, program: &Program<'_>) {
        if self.symbols(program).is_some() {
            self.personalities(program);
            for place in 0..program.modules.len() {
                offers_exceptions(&mut self.interpreters, program, place);
            }
        }
    }

    fn frame(&mut self, scene: &Scene<'_>) -> Option<usize> {
        let personalities = self.own_personalities(&scene.program);
        scene.frame_with(&personalities)
    }

    fn raise(
        &mut self,
        thread: Stopped,
        scene: &Scene<'_>,
        _: &mut Finder,
    ) -> Result<(Stopped, Raised), NotRaised> {
        match self.prepare(&thread, scene) {
            Ok(raised) => Ok((thread, raised)),
            Err(why) => Err(NotRaised::of(thread, why)),
        }
    }
}

impl Cxx {
    /// Takes up what another one has found out about files.
    pub(super) fn take_up(&mut self, other: Self) {
        self.interpreters.take_up(other.interpreters);
        self.of_c.take_up(other.of_c);
        self.stand_ins.take_up(other.stand_ins);
        self.found.take_up(other.found);
    }

    fn prepare(&mut self, thread: &Stopped, scene: &Scene<'_>) -> Result<Raised, String> {
        let symbols = self
            .symbols(&scene.program)
            .ok_or("the process has no C++ library that throws for others")?;
        let personalities = self.personalities(&scene.program);
        let flight = {
            let interpreters = RefCell::new(&mut self.interpreters);
            let is_boundary = |frame: usize| {
                let caller = scene.outer.frames.get(frame + 1);
                caller.is_some_and(|caller| {
                    is_interpreter(caller, &scene.program, &mut interpreters.borrow_mut())
                })
            };
            scene.reading(|reading| flight(scene.outer, &personalities, &is_boundary, reading))?
        };
        scene.releases(flight.from, flight.to)?;
        scene.allocates_safely(&scene.outer.frames[..flight.from])?;
        let enter = || {
            let frame = &scene.outer.frames[flight.from];
            let call = Call::from(thread, scene.status, frame, scene.memory)?;
            let place = write_text(scene, call.sp())?;
            call.enter(thread, symbols.throws, &[place])
        };
        enter().map_err(|error: Obstacle| error.to_string())?;
        Ok(Raised {
            what: "a C++ exception",
            from: flight.from,
            to: Some(flight.to),
        })
    }

    /// The addresses of C++'s personality routine in the process: where it is, and where its executable says.
    fn own_personalities(&mut self, program: &Program<'_>) -> Vec<u64> {
        let Some(symbols) = self.symbols(program) else {
            return Vec::new();
        };
        let stands_in = self.stand_ins(program).of_cxx;
        [symbols.personality].into_iter().chain(stands_in).collect()
    }

    /// The addresses of the personality routines whose frames an exception of C++ may pass.
    pub(super) fn personalities(&mut self, program: &Program<'_>) -> Vec<u64> {
        let mut all = self.own_personalities(program);
        let of_c = self.symbols(program).and_then(|symbols| symbols.of_c);
        all.extend(of_c.or_else(|| self.of_library(program)));
        all.extend(self.stand_ins(program).of_c);
        all
    }

    /// Whether the C++ library is libc++.
    pub(super) fn is_libcxx(&mut self, program: &Program<'_>) -> bool {
        self.symbols(program).is_some_and(|symbols| symbols.is_libcxx)
    }

    /// What the executable has in place of routines of libraries.
    fn stand_ins(&mut self, program: &Program<'_>) -> StandIns {
        let Some(module) = program.modules.first() else {
            return StandIns::default();
        };
        let read = |image: &Image<'_>, first: u64| {
            let found = image.stand_ins(&[OF_CXX, OF_C]).ok()?;
            Some(StandIns {
                of_cxx: distance(&found, OF_CXX, first),
                of_c: distance(&found, OF_C, first),
            })
        };
        let found = self.stand_ins.of(program, 0, read).unwrap_or_default();
        let here = |offset: Option<u64>| offset.map(|offset| module.low.wrapping_add(offset));
        StandIns {
            of_cxx: here(found.of_cxx),
            of_c: here(found.of_c),
        }
    }

    /// The personality routine of C in the compiler's library.
    fn of_library(&mut self, program: &Program<'_>) -> Option<u64> {
        let is_library = |module: &ModuleFile| module.file_name().starts_with(COMPILERS_LIBRARY);
        let place = program.modules.iter().position(is_library)?;
        let module = &program.modules[place];
        let found = self.of_c.of(program, place, |image, first| {
            distance(&image.exports(&[OF_C]).ok()?, OF_C, first)
        });
        found.map(|distance| module.low.wrapping_add(distance))
    }

    /// The functions' addresses in the process: in libraries, or else in the program itself.
    fn symbols(&mut self, program: &Program<'_>) -> Option<Symbols> {
        let place = |name: &str| {
            let mut modules = program.modules.iter();
            modules.position(|module| module.file_name().starts_with(name))
        };
        let libraries = LIBRARIES
            .iter()
            .find_map(|[throws, personality]| Some([place(throws)?, place(personality)?]));
        let [throws, personality] = libraries.unwrap_or([0, 0]);
        let has_throws = self.of_file(program, throws)?;
        let has_personality = self.of_file(program, personality)?;
        Some(Symbols {
            throws: has_throws.throws?,
            is_libcxx: has_throws.is_libcxx,
            personality: has_personality.personality?,
            of_c: has_throws.of_c,
        })
    }

    /// What a module has, at its addresses in the process.
    fn of_file(&mut self, program: &Program<'_>, place: usize) -> Option<Found> {
        let module = program.modules.get(place)?;
        let found = self.found.of(program, place, |image, first| {
            let names = [THROWS[0], THROWS[1], OF_CXX, OF_C];
            let mut found = image.exports(&names).ok()?;
            if place == 0 || found.is_empty() {
                // A program offers to others only what they ask for, and some files have no table for asking.
                found.extend(image.functions_named(&names).ok()?);
            }
            let throws = THROWS.map(|name| distance(&found, name, first));
            Some(Found {
                throws: throws[0].or(throws[1]),
                is_libcxx: throws[0].is_none() && throws[1].is_some(),
                personality: distance(&found, OF_CXX, first),
                of_c: distance(&found, OF_C, first),
            })
        })?;
        let here = |distance: Option<u64>| distance.map(|distance| module.low.wrapping_add(distance));
        Some(Found {
            throws: here(found.throws),
            is_libcxx: found.is_libcxx,
            personality: here(found.personality),
            of_c: here(found.of_c),
        })
    }
}

/// Whether a frame is of an interpreter written in C, to which no native function of an extension lets an exception out.
fn is_interpreter(outer: &OuterFrame, program: &Program<'_>, known: &mut ByFile<()>) -> bool {
    match outer.frame.module {
        Some(FrameModule::File(place)) => offers_exceptions(known, program, place),
        _ => false,
    }
}

fn offers_exceptions(known: &mut ByFile<()>, program: &Program<'_>, place: usize) -> bool {
    let offers = |image: &Image<'_>, _| {
        let found = image.exports(&[PYTHON]).ok()?;
        (!found.is_empty()).then_some(())
    };
    known.of(program, place, offers).is_some()
}

/// How far behind the first mapped byte a name of these is.
fn distance(found: &[(&str, u64)], wanted: &str, first: u64) -> Option<u64> {
    let (_, address) = found.iter().find(|(name, _)| *name == wanted)?;
    Some(address.wrapping_sub(first))
}

/// Writes the text deep below `sp`; where it lies.
fn write_text(scene: &Scene<'_>, sp: u64) -> Result<u64, Obstacle> {
    let place = sp.checked_sub(DEPTH).map(|place| place & !0xf);
    let within = place.filter(|place| {
        scene
            .maps
            .find(sp)
            .is_some_and(|stack| stack.low + (MAX_TEXT as u64) < *place)
    });
    let place = within.ok_or(Obstacle::NoStack)?;
    let mut bytes = scene.text().into_bytes();
    bytes.push(0);
    scene.memory.write(place, &bytes).map_err(|_| Obstacle::NoStack)?;
    Ok(place)
}
