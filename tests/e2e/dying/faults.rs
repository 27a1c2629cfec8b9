//! Faults that an instruction causes: the address, the access and the cause are named.

use libc::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};

use super::{NULL, ON_X86_64, die};

#[test]
fn null_read() {
    die(&["null-read"])
        .by(SIGSEGV)
        .code("SEGV_MAPERR")
        .address(8)
        .cause(&[NULL])
        .access("read")
        .in_program()
        .check();
}

#[test]
fn null_write() {
    die(&["null-write"])
        .by(SIGSEGV)
        .code("SEGV_MAPERR")
        .address(8)
        .cause(&[NULL])
        .access("write")
        .in_program()
        .check();
}

#[test]
fn null_execute() {
    let report = die(&["null-exec"])
        .by(SIGSEGV)
        .code("SEGV_MAPERR")
        .cause(&["jump to null"])
        .access("execute")
        .check();
    assert_eq!(report.address("fault.pc"), 0);
}

#[test]
fn wild_read() {
    let wild = die(&["wild-read"])
        .by(SIGSEGV)
        .code("SEGV_MAPERR")
        .address(0x1234_5678_9000);
    wild.cause(&["unmapped memory access"])
        .access("read")
        .in_program()
        .check();
}

#[test]
fn wild_execute() {
    die(&["wild-exec"])
        .by(SIGSEGV)
        .cause(&["jump to unmapped memory"])
        .access("execute")
        .check();
}

#[test]
fn non_canonical_address() {
    let far = die(&["non-canonical"]).by(SIGSEGV);
    if ON_X86_64 {
        far.code("SI_KERNEL")
            .cause(&["non-canonical address"])
            .in_program()
            .check();
    } else {
        far.in_program().check();
    }
}

#[test]
fn write_to_rodata() {
    let write = die(&["write-rodata"]).by(SIGSEGV).code("SEGV_ACCERR");
    write
        .cause(&["write to read-only memory"])
        .access("write")
        .in_program()
        .check();
}

#[test]
fn jump_to_data() {
    let jump = die(&["jump-data"]).by(SIGSEGV).code("SEGV_ACCERR");
    jump.cause(&["execution of non-executable memory"])
        .access("execute")
        .check();
}

#[test]
fn past_the_end_of_a_mapped_file() {
    let past = die(&["bus-mmap"]).by(SIGBUS).code("BUS_ADRERR");
    past.cause(&["access past the end of a mapped file"])
        .access("read")
        .in_program()
        .check();
}

#[test]
fn misaligned() {
    if ON_X86_64 {
        die(&["misaligned"])
            .by(SIGBUS)
            .code("BUS_ADRALN")
            .cause(&["misaligned access"])
            .in_program()
            .check();
    }
}

#[test]
fn division() {
    if ON_X86_64 {
        die(&["div-zero"])
            .by(SIGFPE)
            .code("FPE_INTDIV")
            .cause(&["divide by zero"])
            .in_program()
            .check();
        die(&["int-overflow-div"])
            .by(SIGFPE)
            .code("FPE_INTDIV")
            .cause(&["divide overflow"])
            .in_program()
            .check();
    }
}

#[test]
fn undefined_instruction() {
    if ON_X86_64 {
        die(&["ud2"])
            .by(SIGILL)
            .code("ILL_ILLOPN")
            .cause(&["illegal instruction"])
            .in_program()
            .check();
    }
}

#[test]
fn breakpoint() {
    die(&["int3"])
        .by(SIGTRAP)
        .cause(&["breakpoint"])
        .in_program()
        .check();
}

/// The kernel resets the disposition before the stop is seen, and kills.
#[test]
fn faults_that_are_blocked_or_ignored() {
    die(&["blocked-fault"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .access("write")
        .in_program()
        .check();
    die(&["ignored-fault"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .access("write")
        .in_program()
        .check();
}
