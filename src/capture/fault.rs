//! One fault, or one process on demand, copied whole: what is taken in which order while threads are held.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::ReportOptions;
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;
use crate::sys::regs::{EXTENDED_SET, FP_OF_EXTENDED_SET, GeneralRegisters, NT_PRFPREG, NT_PRSTATUS};
use crate::sys::signal::SigInfo;
use crate::sys::status::Status;
use crate::sys::wait::Stop;
use crate::sys::{Pid, SigNo, StartTime, Tid, tasks};

use super::freeze::Frozen;
use super::maps::Maps;
use super::withheld::Marks;
use super::{
    Blob, Capture, FaultFacts, Kind, ModuleFiles, Phase, Precursor, Purpose, ThreadFacts, abort_message,
};

/// What is copied.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The thread that took the signal; of a capture on demand, any that lives.
    pub tid: Tid,
    /// The same, stopped for its signal; none for a capture on demand.
    pub thread: Option<&'a Stopped>,
    /// Its process.
    pub process: Pid,
    /// When that started.
    pub start: StartTime,
    /// The signal; none for a capture on demand.
    pub signal: Option<SigNo>,
    /// Its `siginfo_t`.
    pub siginfo: Option<SigInfo>,
    /// A hardware fault that the program's own handler took before.
    pub handled: Option<Handled<'a>>,
    /// When the stop was seen.
    pub seen: Instant,
    /// What /proc said of the thread then.
    pub status: Option<&'a Status>,
}

impl Subject<'_> {
    /// The registers of the thread that took the signal, among those of all.
    fn registers<'r>(&self, of_all: &'r [(usize, GeneralRegisters)]) -> Option<&'r GeneralRegisters> {
        let first = of_all.first().filter(|(place, _)| *place == 0);
        first
            .filter(|_| self.thread.is_some())
            .map(|(_, general)| general)
    }
}

/// A hardware fault that the program's own handler took.
#[derive(Debug)]
pub struct Handled<'a> {
    /// The thread.
    pub tid: Tid,
    /// The signal.
    pub signal: SigNo,
    /// `siginfo_t`.
    pub siginfo: &'a SigInfo,
    /// The registers.
    pub registers: &'a GeneralRegisters,
    /// When.
    pub seen: Instant,
}

/// A copy, and what was opened for it.
#[derive(Debug, Default)]
pub struct Copied {
    /// The copy.
    pub capture: Capture,
    /// The files of its modules.
    pub modules: ModuleFiles,
    /// Directories of the process.
    directories: Vec<File>,
    /// The memory map of the process.
    pub maps: Maps,
    /// A copy of the whole process, where its core is to hold more.
    pub whole: Option<Whole>,
    /// What is still to be read, at the latest when the process is about to end.
    marks: Option<Marks>,
}

impl Copied {
    /// Reads what needs no stop and was left for later. A copy is not to be handed over before.
    pub fn complete(&mut self) {
        if let Some(marks) = self.marks.take() {
            self.capture.withhold_marked(marks);
        }
    }

    /// How many files and directories are open for it.
    pub fn open_files(&self) -> usize {
        self.modules.open() + self.directories.len()
    }

    /// The files and directories that are open for it, in the order of the descriptor numbers.
    pub fn into_files(self) -> impl Iterator<Item = File> {
        self.modules.into_open().chain(self.directories)
    }
}

/// A copy of a whole process, for whoever writes its core.
#[derive(Debug)]
pub struct Whole {
    /// The copy.
    pub pid: Pid,
    /// What is handed over of it.
    pub files: Vec<OwnedFd>,
}

/// Measures the parts of a pause.
struct Ledger(Instant);

impl Ledger {
    fn close(&mut self, capture: &mut Capture, name: &str) {
        let now = Instant::now();
        let us = micros(now - self.0);
        capture.facts.pause.phases.push(Phase {
            name: name.to_owned(),
            us,
        });
        self.0 = now;
    }
}

/// Copies a stopped thread, the frozen ones beside it, and what /proc says of their process. What needs no stop is left
/// for [`Copied::complete`]: read meanwhile where other threads wait, and afterwards where none does.
pub fn copy(subject: &Subject<'_>, frozen: &mut Frozen, options: &ReportOptions) -> Copied {
    let mut marks = Marks::later(subject.process, subject.tid, options.dontdump);
    if !frozen.threads.is_empty() {
        marks = marks.begin();
    }
    let mut copying = Copying::begin(subject, options);
    let registers = copying.copy_threads(&frozen.threads);
    copying.copy_status();
    copying.copy_locks(&registers);
    copying.open_modules();
    copying.copy_reason(&registers);
    copying.copy_process(frozen);
    copying.end(Some(marks))
}

/// Copies of a stopped thread what a decision about it needs: for a fault that is not recorded.
pub fn copy_for_decision(subject: &Subject<'_>, options: &ReportOptions) -> Copied {
    let mut copying = Copying::begin(subject, options);
    let registers = copying.copy_threads(&[]);
    copying.copy_locks(&registers);
    copying.copy_reason(&registers);
    copying.end(None)
}

/// A copy under way.
struct Copying<'a> {
    subject: &'a Subject<'a>,
    options: &'a ReportOptions,
    capture: Capture,
    memory: Memory,
    maps: Maps,
    modules: ModuleFiles,
    directories: Vec<File>,
    ledger: Ledger,
}

impl<'a> Copying<'a> {
    fn begin(subject: &'a Subject<'a>, options: &'a ReportOptions) -> Self {
        let mut capture = Capture::default();
        capture.facts.kind = if subject.signal.is_some() {
            Kind::Fault
        } else {
            Kind::Capture
        };
        capture.facts.time_us = wall_clock(subject.seen);
        capture.facts.process.pid = subject.process.0;
        capture.facts.process.start_time = subject.start.0;
        Self {
            subject,
            options,
            capture,
            memory: Memory::of(subject.tid),
            maps: Maps::default(),
            modules: ModuleFiles::default(),
            directories: Vec::new(),
            ledger: Ledger(Instant::now()),
        }
    }

    /// Registers, stacks, and the memory that they lead to. Returns the registers, those of the faulting thread first.
    fn copy_threads(&mut self, others: &[(Stopped, Stop)]) -> Vec<(usize, GeneralRegisters)> {
        let Self {
            subject,
            options,
            capture,
            memory,
            maps,
            modules,
            ledger,
            ..
        } = self;
        let (process, tid) = (subject.process, subject.tid);
        let mut registers = Vec::with_capacity(others.len() + 1);
        let others = others.iter().map(|(thread, _)| thread);
        for thread in subject.thread.into_iter().chain(others) {
            let place = capture.facts.threads.len();
            registers.extend(capture.copy_registers(thread).map(|general| (place, general)));
        }
        ledger.close(capture, "registers");

        capture.copy_maps(process, tid);
        *maps = Maps::of(capture);
        ledger.close(capture, "maps");

        capture.copy_stacks(memory, maps, &registers, options);
        capture.copy_interrupted_stacks(memory, maps, options);
        ledger.close(capture, "stacks");

        if let Some(general) = subject.registers(&registers) {
            capture.copy_around_registers(memory, maps, general);
        }
        ledger.close(capture, "memory");

        *modules = capture.list_modules(process, tid, maps);
        if let (Some(status), Some(thread)) = (subject.status, capture.facts.threads.first_mut()) {
            thread.inner_tid = status.inner_tid;
            capture.facts.process.thread_count = status.threads;
        }
        registers
    }

    /// What /proc says of the process, and by it of the ids of all threads.
    fn copy_status(&mut self) {
        let process = self.subject.process;
        self.capture.copy_vdso(&self.memory, &self.maps);
        self.capture.copy_status(process);
        self.capture.note_inner_ids();
        self.ledger.close(&mut self.capture, "status");
    }

    fn copy_locks(&mut self, registers: &[(usize, GeneralRegisters)]) {
        self.capture.note_restarted_calls(&self.memory, registers);
        self.capture.copy_locks(&self.memory, registers);
        if let Some(general) = self.subject.registers(registers) {
            self.capture.copy_held_locks(&self.memory, &self.maps, general);
        }
        self.ledger.close(&mut self.capture, "locks");
    }

    fn open_modules(&mut self) {
        self.capture.open_modules(&self.modules);
        self.ledger.close(&mut self.capture, "modules");
    }

    /// What the C library, the language and the interpreter know of the fault.
    fn copy_reason(&mut self, registers: &[(usize, GeneralRegisters)]) {
        let (subject, modules) = (self.subject, &self.modules);
        let faulting = subject.registers(registers);
        self.capture
            .copy_fault(subject, &self.memory, &self.maps, faulting, modules);
        self.ledger.close(&mut self.capture, "fault");

        self.capture.copy_python(&self.memory, modules);
        self.ledger.close(&mut self.capture, "interpreter");
    }

    /// What /proc says of the process, and what its loader knows.
    fn copy_process(&mut self, frozen: &mut Frozen) {
        let Self {
            subject,
            options,
            capture,
            memory,
            maps,
            modules,
            directories,
            ledger,
        } = self;
        let (process, tid) = (subject.process, subject.tid);
        *directories = capture.open_directories(tid, maps, modules.open());
        capture.copy_process(process, tid, options);
        ledger.close(capture, "process");

        capture.copy_loader(memory);
        capture.copy_thread_library(memory, maps);
        ledger.close(capture, "loader");

        capture.withhold(options);
        capture.copy_stats(process, frozen.stats.take());
        capture.describe_running(process, &frozen.left_out, memory);
        for tid in &frozen.left_out {
            capture.miss(format!("registers of thread {tid}"), "it did not stop in time");
        }
        ledger.close(capture, "names");
    }

    fn end(self, marks: Option<Marks>) -> Copied {
        Copied {
            capture: self.capture,
            modules: self.modules,
            directories: self.directories,
            maps: self.maps,
            whole: None,
            marks,
        }
    }
}

impl Capture {
    /// Copies the register sets of a thread and gives it a place.
    fn copy_registers(&mut self, thread: &Stopped) -> Option<GeneralRegisters> {
        let tid = thread.tid();
        let general = self.copy_set(thread, NT_PRSTATUS);
        let extended = EXTENDED_SET.and_then(|kind| self.copy_set(thread, kind));
        let fp = extended
            .and_then(|set| set.first(FP_OF_EXTENDED_SET))
            .or_else(|| self.copy_set(thread, NT_PRFPREG));
        self.facts.threads.push(ThreadFacts {
            general,
            fp,
            extended,
            ..ThreadFacts::new(tid)
        });
        match GeneralRegisters::from_bytes(self.get(general?)) {
            Ok(registers) => Some(registers),
            Err(error) => {
                self.miss(format!("registers of thread {tid}"), error);
                None
            }
        }
    }

    fn copy_set(&mut self, thread: &Stopped, kind: i32) -> Option<Blob> {
        let offset = self.bytes.len() as u64;
        match thread.register_set(kind, &mut self.bytes) {
            Ok(len) => Some(Blob {
                offset,
                len: len as u64,
            }),
            Err(error) => {
                self.miss(
                    format!("register set {kind:#x} of thread {}", thread.tid()),
                    error,
                );
                None
            }
        }
    }

    fn copy_fault(
        &mut self,
        subject: &Subject<'_>,
        memory: &Memory,
        maps: &Maps,
        registers: Option<&GeneralRegisters>,
        files: &ModuleFiles,
    ) {
        let Some(signal) = subject.signal else { return };
        let siginfo = subject.siginfo.map(|info| self.keep(info.as_bytes()));
        let precursor = subject.handled.as_ref().map(|handled| {
            self.copy_code(memory, maps, handled.registers.pc(), Purpose::PrecursorCode);
            Precursor {
                tid: handled.tid,
                signal: handled.signal,
                siginfo: self.keep(handled.siginfo.as_bytes()),
                general: self.keep(&handled.registers.to_bytes()),
                before_us: micros(subject.seen.saturating_duration_since(handled.seen)),
            }
        });
        let sender = subject.siginfo.and_then(|info| info.sender());
        let sender_comm = sender.and_then(|(pid, _)| tasks::name(pid.leader()));
        let abort_message = (signal == SigNo::ABRT)
            .then(|| self.abort_message(memory, files))
            .flatten();
        let exception = (signal == SigNo::ABRT)
            .then(|| self.copy_exception(memory, maps, registers?))
            .flatten();
        let panic = (signal == SigNo::ABRT)
            .then(|| self.copy_panic(memory, maps))
            .flatten();
        let tid = subject.tid;
        self.facts.fault = Some(FaultFacts {
            tid,
            signal,
            siginfo,
            precursor,
            sender_comm,
            abort_message,
            exception,
            panic,
        });
    }

    fn abort_message(&mut self, memory: &Memory, files: &ModuleFiles) -> Option<Blob> {
        // A static program carries its own.
        let (module, file) = self
            .opened(files, abort_message::defines)
            .or_else(|| self.opened(files, |_| true))?;
        let text = abort_message::read(memory, module, file)?;
        Some(self.keep(&text))
    }
}

/// Microseconds of a duration.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since 1970 UTC at a moment of the monotonic clock.
pub fn wall_clock(moment: Instant) -> i64 {
    let then = SystemTime::now()
        .checked_sub(moment.elapsed())
        .unwrap_or(UNIX_EPOCH);
    then.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as i64)
}
