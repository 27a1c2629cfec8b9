//! Minidumps: what lldb, minidump-processor, Sentry and other crash services read.
//!
//! A minidump repeats the report's model (threads and their names, modules with build ids, maps, the signal, what was
//! done about it) around the register sets and the memory that the report's core file holds. Left out is what may hold
//! secrets: environment, command line, open files.
//!
//! | file | subject |
//! |---|---|
//! | `streams` | the streams, one function each |
//! | `context` | the registers of a thread as minidumps write them |
//! | `buffer` | records, texts and their places in the file |
//!
//! Places are 32 bits wide, so memory beyond [`MAX_MEMORY`] is left out. It lies between the directory and
//! the streams: all sizes are known before the first byte is written, and the file goes through a pipe.

mod buffer;
mod context;
mod streams;

use std::io::{self, Write};

use minidump_common::format::{
    MINIDUMP_DIRECTORY, MINIDUMP_HEADER, MINIDUMP_LOCATION_DESCRIPTOR, MINIDUMP_MEMORY_DESCRIPTOR,
    MINIDUMP_SIGNATURE, MINIDUMP_VERSION,
};

use super::Report;
use super::core::{Contents, Core};
use buffer::Buffer;

/// The most memory that goes into one file, bytes.
pub const MAX_MEMORY: u64 = 1 << 30;
/// How much memory is copied at once, bytes.
const CHUNK: usize = 1 << 20;
const HEADER: usize = 32;
const ENTRY: usize = 12;

/// A minidump of a report, ready to be written.
#[derive(Clone, Debug)]
pub struct Minidump {
    head: Vec<u8>,
    memory: Vec<MINIDUMP_MEMORY_DESCRIPTOR>,
    streams: Vec<u8>,
    left_out: u64,
}

impl Minidump {
    /// Puts a report and its core together.
    pub fn of(report: &Report, core: &Core<'_>) -> Self {
        let begin = HEADER + streams::ALL.len() * ENTRY;
        let (memory, left_out) = place_memory(core, begin as u32);
        let size: usize = memory.iter().map(|range| range.memory.data_size as usize).sum();
        let mut buffer = Buffer::starting_at((begin + size) as u32);
        let subject = streams::Subject {
            report,
            core,
            memory: &memory,
        };
        let mut directory = Buffer::starting_at(HEADER as u32);
        for (kind, stream) in streams::ALL {
            // A stream that there is nothing for is an unused entry of the directory.
            let location = stream(&subject, &mut buffer);
            directory.push(MINIDUMP_DIRECTORY {
                stream_type: location.map_or(0, |_| kind as u32),
                location: location.unwrap_or_default(),
            });
        }
        let mut head = Buffer::starting_at(0);
        head.push(MINIDUMP_HEADER {
            signature: MINIDUMP_SIGNATURE,
            version: MINIDUMP_VERSION,
            stream_count: streams::ALL.len() as u32,
            stream_directory_rva: HEADER as u32,
            checksum: 0,
            time_date_stamp: u32::try_from(report.time.as_second()).unwrap_or(0),
            flags: 0,
        });
        let mut head = head.into_bytes();
        head.extend(directory.into_bytes());
        Self {
            head,
            memory,
            streams: buffer.into_bytes(),
            left_out,
        }
    }

    /// How many bytes of memory did not fit.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Writes the file.
    pub fn write(&self, contents: &dyn Contents, mut out: impl Write) -> io::Result<()> {
        out.write_all(&self.head)?;
        let mut chunk = vec![0; CHUNK];
        for range in &self.memory {
            let mut address = range.start_of_memory_range;
            let mut left = range.memory.data_size as usize;
            while left > 0 {
                let part = &mut chunk[..left.min(CHUNK)];
                let read = contents.read(address, part)?.min(part.len());
                part[read..].fill(0);
                out.write_all(part)?;
                address += part.len() as u64;
                left -= part.len();
            }
        }
        out.write_all(&self.streams)?;
        out.flush()
    }
}

/// Places the memory that a core holds, from a position on; returns how much is left out.
fn place_memory(core: &Core<'_>, begin: u32) -> (Vec<MINIDUMP_MEMORY_DESCRIPTOR>, u64) {
    let mut placed = Vec::with_capacity(core.kept.len());
    let (mut size, mut left_out) = (0, 0);
    for range in &core.kept {
        let len = range.end - range.start;
        if size + len > MAX_MEMORY {
            left_out += len;
            continue;
        }
        placed.push(MINIDUMP_MEMORY_DESCRIPTOR {
            start_of_memory_range: range.start,
            memory: MINIDUMP_LOCATION_DESCRIPTOR {
                data_size: len as u32,
                rva: begin + size as u32,
            },
        });
        size += len;
    }
    (placed, left_out)
}
