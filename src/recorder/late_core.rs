//! The core of a copied process, which is written when the report is in place.
//!
//! A large core takes minutes and may fail in many ways: the disk fills up, a service manager ends the copy, time is up.
//! The report does not wait for it. It says at first that the core is being written, and is written once more when that
//! is done. What cannot be written as it was asked for becomes a compact core.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::ops::Range;

use super::copied::{self, CopiedProcess};
use super::extent::{self, DEFAULT_FILTER};
use super::image::{FirstPages, Image};
use super::{CoreJob, Format, Host, Outcome, Outputs, attachments, guarded, note, write_report};
use crate::capture::Capture;
use crate::capture::maps::Maps;
use crate::report::Report;

/// The most text of smaps that is read, bytes: 65,530 mappings take some 48 MiB.
const MAX_SMAPS: u64 = 128 << 20;
/// Three times as fast as zstd's own default, and nearly as small.
const LEVEL: i32 = 1;
/// What the report says meanwhile.
const BEING_WRITTEN: &str = "it is being written; without it, memory.zst holds a compact one";

/// The /proc files of a copied process.
#[derive(Debug)]
pub struct CopyFiles {
    /// `/proc/PID/mem`.
    pub memory: File,
    /// `/proc/PID/smaps`.
    pub smaps: File,
    /// `/proc/PID/pagemap`.
    pub pagemap: File,
    /// The copy exists for as long as this is open.
    pub lease: File,
}

/// A report in place, and what its core will be made of.
#[derive(Debug)]
pub struct Unfinished {
    pub(super) report: Report,
    pub(super) capture: Capture,
    pub(super) first_pages: FirstPages,
    pub(super) host: Host,
}

/// What is told of a core that is complete.
struct Told {
    unread: u64,
    left_out: u64,
    over_limit: u64,
}

/// Says in a report that its core is being written.
pub(super) fn announce(report: &mut Report) {
    report.missing(Format::Core.file_name(), BEING_WRITTEN);
}

impl Unfinished {
    /// Writes the core, then the report with it.
    pub fn finish(mut self, job: &CoreJob, copy: &CopyFiles, outputs: &Outputs) -> Outcome {
        let mut outcome = Outcome::default();
        let maps = Maps::of(&self.capture);
        let image = Image::of(&self.capture, &maps, &self.first_pages, &self.host);
        let attachment = outputs.core.as_ref().and_then(|file| {
            let written = guarded(|| write(&image, &self.capture, job, copy, file));
            match written.and_then(|written| written.map_err(|error| error.to_string())) {
                Ok(told) => told.tell(job, &mut outcome),
                Err(reason) => {
                    outcome.miss(Format::Core.file_name(), format!("{reason}; it is compact"));
                    if let Err(error) = begin_again(file) {
                        outcome.miss(Format::Core.file_name(), error);
                        return None;
                    }
                    return attachments::write_core(&image, file, &mut outcome);
                }
            }
            attachments::complete(Format::Core, file, &mut outcome)
        });
        self.report.attachments.extend(attachment);
        note(&mut self.report, &outcome.incomplete);
        write_report(&mut self.report, outputs, &mut outcome);
        outcome
    }
}

impl Told {
    fn tell(&self, job: &CoreJob, outcome: &mut Outcome) {
        for (bytes, reason) in [
            (self.unread, "could not be read and are zero".to_owned()),
            (
                self.left_out,
                "of mappings that are too large to look for their pages are left out".to_owned(),
            ),
            (
                self.over_limit,
                format!("are beyond the limit of {} and left out", job.limit),
            ),
        ] {
            if bytes > 0 {
                outcome.miss(Format::Core.file_name(), format!("{bytes} bytes {reason}"));
            }
        }
    }
}

/// Writes the core of the copy.
fn write(
    image: &Image<'_>,
    capture: &Capture,
    job: &CoreJob,
    copy: &CopyFiles,
    file: &File,
) -> io::Result<Told> {
    let mut smaps = Vec::new();
    (&copy.smaps).take(MAX_SMAPS).read_to_end(&mut smaps)?;
    let filter = capture.facts.process.coredump_filter.unwrap_or(DEFAULT_FILTER);
    let wanted = extent::wanted(&smaps, filter, job.extent);
    let Some(contents) = CopiedProcess::new(&copy.memory, image.pieces(), &wanted) else {
        return Err(io::Error::other(
            "the copy of the process was ended before it was written",
        ));
    };
    let mut existing = copied::existing(&wanted, &copy.pagemap)?;
    let over_limit = keep_within(&mut existing.ranges, job.limit.0);
    let layout = image.layout_with(existing.ranges);
    let mut encoder = zstd::Encoder::new(BufWriter::new(file), LEVEL)?;
    encoder.include_checksum(true)?;
    layout.write(&contents, &mut encoder)?;
    encoder.finish()?.flush()?;
    // Here and not in the front, whose loop would stand still for as long as the disk takes.
    file.sync_all()?;
    Ok(Told {
        unread: contents.unread(),
        left_out: existing.left_out,
        over_limit,
    })
}

/// Drops the largest ranges until the rest is within the limit; returns how many bytes were dropped.
fn keep_within(ranges: &mut Vec<Range<u64>>, limit: u64) -> u64 {
    let size = |range: &Range<u64>| range.end - range.start;
    let mut total: u64 = ranges.iter().map(size).sum();
    let before = total;
    let mut sizes: Vec<u64> = ranges.iter().map(size).collect();
    sizes.sort_unstable();
    while let Some(largest) = sizes.pop().filter(|_| total > limit) {
        if let Some(place) = ranges.iter().position(|range| size(range) == largest) {
            ranges.remove(place);
            total -= largest;
        }
    }
    before - total
}

fn begin_again(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_go_first() {
        let mut ranges = vec![0..10, 20..120, 200..230];
        assert_eq!(keep_within(&mut ranges, 1000), 0);
        assert_eq!(keep_within(&mut ranges, 45), 100);
        assert_eq!(ranges, [0..10, 200..230]);
        assert_eq!(keep_within(&mut ranges, 0), 40);
        assert_eq!(ranges, []);
    }
}
