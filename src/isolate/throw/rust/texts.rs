//! Texts in a process that stay where they are for as long as it lives.

use std::collections::HashMap;

use crate::isolate::inject::{self, Call, Obstacle};
use crate::isolate::sites::Finder;
use crate::isolate::throw::{NotRaised, Scene};
use crate::sys::Pid;
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;

/// The memory for texts in one process, bytes, and what of it is kept for texts that are short.
const SIZE: u64 = 64 << 10;
const KEPT: u64 = 1 << 10;
/// What a panic says in place of the file that it is in.
const FILE: &[u8] = b"sickbay\0";
/// The line and the column in that.
const LINE: u32 = 1;
/// Where the first text lies: behind a `core::panic::Location` and the file's name.
const FIRST: u64 = 32;

/// What is kept between faults.
#[derive(Debug, Default)]
pub(super) struct Texts {
    areas: HashMap<Pid, Area>,
}

/// A text in a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Text {
    pub(super) start: u64,
    /// Bytes.
    pub(super) len: u64,
    /// A `core::panic::Location`.
    pub(super) location: u64,
}

/// Memory in a process.
#[derive(Debug)]
struct Area {
    start: u64,
    used: u64,
    known: HashMap<String, u64>,
}

impl Texts {
    /// Puts the text of the scene into the process. The thread is then in the same stop as before.
    pub(super) fn place(
        &mut self,
        thread: Stopped,
        scene: &Scene<'_>,
        finder: &mut Finder,
    ) -> Result<(Stopped, Text), NotRaised> {
        let process = scene.program.process;
        let mut thread = thread;
        if !self
            .areas
            .get(&process)
            .is_some_and(|area| area.is_there(scene.memory))
        {
            let start;
            (thread, start) = map(thread, scene, finder)?;
            let area = Area {
                start,
                used: FIRST,
                known: HashMap::new(),
            };
            if scene.memory.write(start, &header(start)).is_err() {
                return Err(NotRaised::of(thread, "the memory for its text cannot be written"));
            }
            self.areas.insert(process, area);
        }
        let text = self
            .areas
            .get_mut(&process)
            .and_then(|area| area.write(&scene.text(), scene.memory));
        match text {
            Some(text) => Ok((thread, text)),
            None => Err(NotRaised::of(thread, "its text cannot be written")),
        }
    }

    pub(super) fn forget(&mut self, process: Pid) {
        self.areas.remove(&process);
    }
}

impl Area {
    /// Whether the memory is still what it was: the process may have unmapped it.
    fn is_there(&self, memory: &Memory) -> bool {
        memory.read_span(self.start, FIRST as usize) == header(self.start)
    }

    /// Where a text lies, which is written first where it is new.
    fn write(&mut self, text: &str, memory: &Memory) -> Option<Text> {
        let short = text.split(':').next().unwrap_or_default();
        let fits = |text: &str, room: u64| text.len() as u64 <= room.saturating_sub(self.used);
        let is_known = self.known.contains_key(text);
        let text = if is_known || fits(text, SIZE - KEPT) {
            text
        } else {
            short
        };
        if !self.known.contains_key(text) {
            if !fits(text, SIZE) {
                return None;
            }
            let start = self.start + self.used;
            memory.write(start, text.as_bytes()).ok()?;
            self.used += text.len() as u64;
            self.known.insert(text.to_owned(), start);
        }
        Some(Text {
            start: *self.known.get(text)?,
            len: text.len() as u64,
            location: self.start,
        })
    }
}

/// A `core::panic::Location` at `start`: address and length of the file's name, line, column; then the name.
fn header(start: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIRST as usize);
    bytes.extend((start + FIRST - FILE.len() as u64).to_le_bytes());
    bytes.extend((FILE.len() as u64 - 1).to_le_bytes());
    bytes.extend(LINE.to_le_bytes());
    bytes.extend(LINE.to_le_bytes());
    bytes.extend(FILE);
    bytes
}

/// Has the thread map memory, which stays.
fn map(thread: Stopped, scene: &Scene<'_>, finder: &mut Finder) -> Result<(Stopped, u64), NotRaised> {
    let Some(sites) = finder.find(scene.memory, scene.maps) else {
        return Err(NotRaised::of(thread, Obstacle::NoSite));
    };
    let call = Call {
        number: libc::SYS_mmap,
        args: [
            0,
            SIZE,
            (libc::PROT_READ | libc::PROT_WRITE) as u64,
            (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64,
            u64::MAX,
            0,
        ],
    };
    let (thread, result) = inject::run(thread, scene.program.process, &sites, call)?;
    match u64::try_from(result) {
        Ok(start) => Ok((thread, start)),
        Err(_) => {
            let error = std::io::Error::from_raw_os_error(-result as i32);
            Err(NotRaised::of(
                thread,
                format!("no memory for its text could be mapped: {error}"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Tid;

    #[test]
    fn equal_texts_lie_in_one_place_and_the_rest_of_the_memory_is_for_short_ones() {
        let memory = Memory::of(Tid(std::process::id() as i32));
        let mut room = vec![0_u8; SIZE as usize];
        let start = room.as_mut_ptr() as u64;
        let mut area = Area {
            start,
            used: FIRST,
            known: HashMap::new(),
        };
        memory.write(start, &header(start)).unwrap();
        assert!(area.is_there(&memory));
        let first = area.write("SIGSEGV: null", &memory).unwrap();
        assert_eq!(area.write("SIGSEGV: null", &memory), Some(first));
        assert_eq!(
            memory.read_span(first.start, first.len as usize),
            b"SIGSEGV: null"
        );
        for number in 0..SIZE {
            area.write(&format!("SIGSEGV: null at {number:#x}"), &memory)
                .unwrap();
        }
        let last = area.write("SIGSEGV: another", &memory).unwrap();
        assert_eq!(memory.read_span(last.start, last.len as usize), b"SIGSEGV");
        assert!(area.used <= SIZE && last.start + last.len <= start + SIZE);
        drop(room);
    }
}
