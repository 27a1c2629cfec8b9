//! Whether a thread can return to the function that hands out its work, worked out from its stack in place.

use crate::capture::ModuleFile;
use crate::diagnose::unwind::{FoundBy, Frame, FrameKind, FrameModule, OuterFrame};
use crate::diagnose::{Called, callback_descriptor};
use crate::isolate::rescue::{self, Connection};
use crate::policy::{self, Return};
use crate::sys::Pid;
use crate::sys::ptrace::Stopped;
use crate::sys::status::Status;

use super::Tracer;
use super::decision::Looked;

/// A thread that is about to return.
pub(super) struct Rescued {
    /// In words.
    pub(super) how: String,
    /// The connection that it was serving, if that is to be shut down and is known; else why not.
    pub(super) connection: Option<Result<Connection, String>>,
}

impl Tracer {
    /// Puts a thread behind the call by which its dispatcher gave it its work.
    ///
    /// # Errors
    ///
    /// Why that is not possible, as a clause of a sentence.
    pub(super) fn rescue(
        &mut self,
        process: Pid,
        thread: &Stopped,
        status: &Status,
        looked: &Looked,
    ) -> Result<Rescued, String> {
        let modules = &looked.copied.capture.facts.modules;
        let outer = &looked.examined.outer.frames;
        let names = &looked.examined.names;
        let places: Vec<policy::Place<'_>> = outer
            .iter()
            .enumerate()
            .map(|(index, outer)| policy::Place {
                module: file_name(&outer.frame, modules),
                function: names.get(index).and_then(Option::as_deref),
            })
            .collect();
        let Return { frame, value, by } = policy::choose(&places, &self.service.rescues)?;
        check(&outer[..=frame])?;
        let connection = self.service.isolation.shutdown.then(|| {
            let module = places[frame].module.unwrap_or_default();
            let registers = &outer[frame].registers;
            let called = called(&outer[frame - 1], modules);
            let descriptor =
                called.and_then(|called| callback_descriptor(module, registers, &called, &looked.live));
            let descriptor = descriptor.ok_or("nothing tells which it is")?;
            Connection::of(process, descriptor)
                .map_err(|error| format!("descriptor {descriptor} is none: {error}"))
        });
        rescue::prepare(thread, status, &outer[frame], value as u64).map_err(|error| error.to_string())?;
        let place = places[frame]
            .function
            .or(places[frame].module)
            .unwrap_or_default();
        Ok(Rescued {
            how: format!("it returns {value} to frame {frame} (`{place}`), by {by}"),
            connection,
        })
    }
}

/// Whether nothing is lost on the way to the last of these frames but the request.
fn check(outer: &[OuterFrame]) -> Result<(), String> {
    for (index, pair) in outer.windows(2).enumerate() {
        let [passed, caller] = pair else { continue };
        if passed.frame.kind == FrameKind::Signal || caller.frame.kind == FrameKind::Signal {
            return Err("it is inside a signal handler".to_owned());
        }
        if passed.procedure.is_some_and(|procedure| procedure.lsda.is_some()) {
            return Err(format!(
                "frame {index} has destructors or handlers that would not run"
            ));
        }
        if caller.frame.found_by != FoundBy::Cfi {
            return Err(format!("the registers of frame {} are not all known", index + 1));
        }
    }
    Ok(())
}

/// The function of a frame, where a table tells where it begins.
fn called(outer: &OuterFrame, modules: &[ModuleFile]) -> Option<Called> {
    let procedure = outer.procedure?;
    let FrameModule::File(module) = procedure.module else {
        return None;
    };
    let module = modules.get(module)?;
    Some(Called {
        start: procedure.low,
        module: module.low..module.high,
    })
}

/// The file name of the module that a frame is in.
fn file_name<'m>(frame: &Frame, modules: &'m [ModuleFile]) -> Option<&'m str> {
    let Some(FrameModule::File(module)) = frame.module else {
        return None;
    };
    Some(modules.get(module)?.file_name())
}
