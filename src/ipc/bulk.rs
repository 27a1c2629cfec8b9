//! Captures as sealed memory files: written once, never changed under a reader.

use std::ffi::CStr;
use std::fs::File;
use std::io::{BufWriter, Seek};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::capture::{Capture, CaptureError};

const NAME: &CStr = c"sickbay-capture";

/// Writes a capture into a new memory file and seals it.
pub fn seal_capture(capture: &Capture) -> Result<OwnedFd, CaptureError> {
    let memory = memfd_create(NAME, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
        .map_err(std::io::Error::from)?;
    let mut file = File::from(memory);
    capture.write_to(BufWriter::new(&file))?;
    file.rewind()?;
    let seals =
        SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(std::io::Error::from)?;
    Ok(file.into())
}

/// Reads a capture from a memory file.
pub fn read_capture(memory: OwnedFd) -> Result<Capture, CaptureError> {
    let mut file = File::from(memory);
    file.rewind()?;
    Capture::read_from(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_sealed_is_read_back_and_cannot_be_changed() {
        let mut capture = Capture::default();
        capture.keep(b"bytes");
        let memory = seal_capture(&capture).unwrap();
        assert!(File::from(memory.try_clone().unwrap()).write_all(b"x").is_err());
        assert_eq!(read_capture(memory).unwrap(), capture);
    }
}
