//! Memory of another process: many ranges in few system calls.
//!
//! `process_vm_readv(2)` takes up to 1,024 ranges at once but stops at the first page it may not read;
//! `/proc/PID/mem` reads what it refuses (pages without read permission), one range at a time. A range that
//! neither can read is cut at the first bad page: what came before is kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use super::Tid;

/// Ranges per call, the kernel's own limit (`UIO_MAXIOV`).
const BATCH: usize = 1024;
/// The smallest page, bytes: memory is readable or not in units of it.
pub const PAGE: u64 = 4096;

/// A range of addresses in the other process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First address.
    pub start: u64,
    /// Number of bytes.
    pub len: usize,
}

/// Another process's memory, addressed through any of its threads that is alive.
#[derive(Debug)]
pub struct Memory {
    tid: Tid,
    /// `/proc/TID/mem`, opened when the first page needs it.
    file: OnceLock<Option<File>>,
}

impl Memory {
    /// The memory that `tid` runs on. Without the right to open `/proc/TID/mem` only what
    /// `process_vm_readv(2)` grants is readable.
    pub fn of(tid: Tid) -> Self {
        Self {
            tid,
            file: OnceLock::new(),
        }
    }

    /// Reads ranges one behind another into `out`, and returns how many bytes of each were read: fewer than
    /// asked where a page is unmapped.
    pub fn read(&self, spans: &[Span], out: &mut Vec<u8>) -> Vec<usize> {
        let mut sizes = Vec::with_capacity(spans.len());
        while sizes.len() < spans.len() {
            let rest = &spans[sizes.len()..];
            let batch = &rest[..rest.len().min(BATCH)];
            let whole = self.read_batch(batch, out);
            sizes.extend(batch[..whole].iter().map(|span| span.len));
            if let Some(span) = batch.get(whole) {
                sizes.push(self.read_stubborn(*span, out));
            }
        }
        sizes
    }

    /// Reads one range.
    pub fn read_span(&self, start: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.read(&[Span { start, len }], &mut out);
        out
    }

    /// Reads one word.
    pub fn read_u64(&self, address: u64) -> Option<u64> {
        Some(u64::from_ne_bytes(self.read_span(address, 8).try_into().ok()?))
    }

    /// Replaces bytes that the process itself may write (`process_vm_writev(2)`); an error if not all were replaced.
    pub fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        let local = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let remote = libc::iovec {
            iov_base: address as *mut libc::c_void,
            iov_len: bytes.len(),
        };
        // SAFETY: `local` is `bytes`, alive and only read; the remote address is the kernel's to check.
        let written =
            unsafe { libc::process_vm_writev(self.tid.0, &raw const local, 1, &raw const remote, 1, 0) };
        match usize::try_from(written) {
            Ok(count) if count == bytes.len() => Ok(()),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    /// Reads as many whole ranges as one call gets; returns how many.
    fn read_batch(&self, spans: &[Span], out: &mut Vec<u8>) -> usize {
        let before = out.len();
        let total: usize = spans.iter().map(|span| span.len).sum();
        out.resize(before + total, 0);
        let remote: Vec<libc::iovec> = spans
            .iter()
            .map(|span| libc::iovec {
                iov_base: span.start as *mut libc::c_void,
                iov_len: span.len,
            })
            .collect();
        let local = libc::iovec {
            iov_base: out[before..].as_mut_ptr().cast(),
            iov_len: total,
        };
        // SAFETY: `local` is the part of `out` that was just made, of `total` bytes; the remote addresses are
        // the kernel's to check.
        let read = unsafe {
            libc::process_vm_readv(
                self.tid.0,
                &raw const local,
                1,
                remote.as_ptr(),
                remote.len() as u64,
                0,
            )
        };
        let mut left = usize::try_from(read).unwrap_or(0);
        let mut whole = 0;
        while spans.get(whole).is_some_and(|span| span.len <= left) {
            left -= spans[whole].len;
            whole += 1;
        }
        out.truncate(before + spans[..whole].iter().map(|span| span.len).sum::<usize>());
        whole
    }

    /// Reads a range that the batch stopped at, page by page; returns how many bytes came.
    fn read_stubborn(&self, span: Span, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        let mut address = span.start;
        let end = span.start.saturating_add(span.len as u64);
        while address < end {
            let page_end = (address / PAGE + 1).saturating_mul(PAGE).min(end);
            let at = out.len();
            out.resize(at + (page_end - address) as usize, 0);
            if self.read_page(address, &mut out[at..]).is_err() {
                out.truncate(at);
                break;
            }
            address = page_end;
        }
        out.len() - before
    }

    fn read_page(&self, address: u64, page: &mut [u8]) -> io::Result<()> {
        let local = libc::iovec {
            iov_base: page.as_mut_ptr().cast(),
            iov_len: page.len(),
        };
        let remote = libc::iovec {
            iov_base: address as *mut libc::c_void,
            iov_len: page.len(),
        };
        // SAFETY: `local` is `page`, alive and writable; the remote address is the kernel's to check.
        let read =
            unsafe { libc::process_vm_readv(self.tid.0, &raw const local, 1, &raw const remote, 1, 0) };
        if read == page.len() as isize {
            return Ok(());
        }
        let refused = io::Error::last_os_error();
        let open = || File::open(format!("/proc/{}/mem", self.tid)).ok();
        match self.file.get_or_init(open) {
            Some(file) => file.read_exact_at(page, address),
            None => Err(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Memory {
        Memory::of(Tid(std::process::id() as i32))
    }

    #[test]
    fn many_ranges_arrive_in_order() {
        let words: Vec<u64> = (0..3000).map(|n| 0x5151_0000 + n).collect();
        let spans: Vec<Span> = words
            .iter()
            .map(|word| Span {
                start: std::ptr::from_ref(word) as u64,
                len: 8,
            })
            .collect();
        let mut out = Vec::new();
        assert!(own().read(&spans, &mut out).iter().all(|size| *size == 8));
        assert!(
            out.chunks_exact(8)
                .zip(&words)
                .all(|(bytes, word)| bytes == word.to_ne_bytes())
        );
    }

    /// Guard pages, and code that is only to be run: without the right to read them for the process itself.
    #[test]
    fn pages_that_the_process_may_not_read_are_read() {
        const LEN: usize = 2 * PAGE as usize;
        for protection in [libc::PROT_NONE, libc::PROT_EXEC, libc::PROT_WRITE] {
            let (access, private) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            );
            // SAFETY: a mapping of our own, where the kernel wants it.
            let pages = unsafe { libc::mmap(std::ptr::null_mut(), LEN, access, private, -1, 0) };
            assert_ne!(pages, libc::MAP_FAILED);
            // SAFETY: the mapping is that long and writable; nobody else knows it.
            unsafe { pages.cast::<u8>().write_bytes(0x5a, LEN) };
            // SAFETY: as above.
            assert_eq!(unsafe { libc::mprotect(pages, LEN, protection) }, 0);
            let read = own().read_span(pages as u64 + 8, LEN - 16);
            // SAFETY: nobody uses the mapping any more.
            unsafe { libc::munmap(pages, LEN) };
            assert_eq!(read, [0x5a; LEN - 16], "protection {protection}");
        }
    }

    #[test]
    fn a_bad_range_is_cut_and_the_next_one_still_read() {
        let word = 0x1122_3344_5566_7788_u64;
        let good = Span {
            start: std::ptr::from_ref(&word) as u64,
            len: 8,
        };
        let bad = Span { start: 0x10, len: 64 };
        let mut out = Vec::new();
        assert_eq!(own().read(&[good, bad, good], &mut out), [8, 0, 8]);
        assert_eq!(out, [word.to_ne_bytes(), word.to_ne_bytes()].concat());
    }
}
