//! A file mapped here for a moment, to see what the kernel calls a mapping of it.
//!
//! On btrfs, and on overlays of more than one file system, /proc/PID/maps shows another device, or another inode, than
//! stat(2) does of the same file. Two mappings of one file look alike.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

/// One page of a file, readable; nothing touches it.
#[derive(Debug)]
pub struct MappedFile(*mut libc::c_void);

/// What is mapped, bytes.
const LENGTH: usize = super::memory::PAGE as usize;

impl MappedFile {
    /// Maps the beginning of a file, which may be empty.
    ///
    /// # Errors
    ///
    /// The kernel's, of mmap(2).
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice, of a descriptor that is open; it takes the place of
        // nothing, and no reference into it is ever made.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                LENGTH,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(address))
    }

    /// Where it is.
    pub fn address(&self) -> u64 {
        self.0.addr() as u64
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: address and length are those of `new`, whose mapping nobody else knows or has references into.
        unsafe { libc::munmap(self.0, LENGTH) };
    }
}
