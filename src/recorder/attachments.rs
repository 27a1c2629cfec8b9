//! The files that hold memory, beside `report.json` and listed in it.

use std::fs::File;
use std::io::{self, BufWriter};

use super::image::Image;
use super::{Format, Outcome, Outputs, guarded, size};
use crate::report::Report;
use crate::report::model::Attachment;

/// Writes the core file that every report has.
pub(super) fn write_memory(
    image: &Image<'_>,
    outputs: &Outputs,
    outcome: &mut Outcome,
) -> Option<Attachment> {
    attach(Format::Memory, outputs.memory.as_ref()?, outcome, |file| {
        image.write(file)
    })
}

/// Writes the dumps that were asked for: a compact core, and a minidump of the report.
pub(super) fn write_dumps(
    image: &Image<'_>,
    report: &Report,
    outputs: &Outputs,
    outcome: &mut Outcome,
) -> Vec<Attachment> {
    let core = outputs
        .core
        .as_ref()
        .and_then(|file| write_core(image, file, outcome));
    let minidump = write_minidump(image, report, outputs, outcome);
    core.into_iter().chain(minidump).collect()
}

/// Writes the minidump of a report.
fn write_minidump(
    image: &Image<'_>,
    report: &Report,
    outputs: &Outputs,
    outcome: &mut Outcome,
) -> Option<Attachment> {
    let file = outputs.minidump.as_ref()?;
    let mut left_out = 0;
    let attachment = attach(Format::Minidump, file, outcome, |file| {
        let minidump = image.minidump(report);
        left_out = minidump.left_out();
        minidump.write(image.pieces(), file)
    });
    if left_out > 0 {
        let reason = format!("{left_out} bytes of memory are more than its places can count");
        outcome.miss(Format::Minidump.file_name(), reason);
    }
    attachment
}

/// Writes a compact core.
pub(super) fn write_core(image: &Image<'_>, file: &File, outcome: &mut Outcome) -> Option<Attachment> {
    attach(Format::Core, file, outcome, |file| image.write(file))
}

/// Counts a file that was written already.
pub(super) fn complete(format: Format, file: &File, outcome: &mut Outcome) -> Option<Attachment> {
    attach(format, file, outcome, |_| Ok(()))
}

fn attach(
    format: Format,
    file: &File,
    outcome: &mut Outcome,
    write: impl FnOnce(BufWriter<&File>) -> io::Result<()>,
) -> Option<Attachment> {
    let step = || write(BufWriter::new(file)).and_then(|()| size(file));
    let written = guarded(step).and_then(|written| written.map_err(|error| error.to_string()));
    match written {
        Ok(bytes) => {
            outcome.wrote(format, bytes);
            Some(Attachment {
                kind: format.kind().to_owned(),
                file: format.file_name().to_owned(),
                bytes: Some(bytes),
            })
        }
        Err(reason) => {
            outcome.miss(format.file_name(), reason);
            None
        }
    }
}
