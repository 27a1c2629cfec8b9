//! SIGSEGV and SIGBUS that an instruction raised.
//!
//! The page fault's error code is not part of what ptrace hands out, so whether the thread read, wrote or fetched
//! instructions is worked out: from the instruction's own accesses, and from the program counter.

use super::subject::Subject;
use super::{Access, Cause, Finding, stack};
use crate::diagnose::instruction::Class;
use crate::sys::SigNo;
use crate::sys::signal::SI_KERNEL;

/// Below this, a pointer was null and the rest is the offset of a member or an element.
const NULL_REGION: u64 = 64 << 10;
/// The longest instruction, bytes: a fetch may fail this far behind the program counter.
const MAX_INSTRUCTION: u64 = 15;

const SEGV_ACCERR: i32 = 2;
const SEGV_PKUERR: i32 = 4;
const SEGV_MTEAERR: i32 = 8;
const SEGV_MTESERR: i32 = 9;
const SEGV_CPERR: i32 = 10;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const BUS_MCEERR_AR: i32 = 4;
const BUS_MCEERR_AO: i32 = 5;

/// Explains a SIGSEGV or SIGBUS that the kernel raised.
pub(super) fn explain(subject: &Subject<'_>) -> Finding {
    match (subject.code(), subject.address()) {
        (SI_KERNEL, _) => without_address(subject),
        (code, Some(address)) if subject.signal == SigNo::BUS => bus(subject, code, address),
        (code, Some(address)) => segmentation(subject, code, address),
        (_, None) => unexplained(subject),
    }
}

fn segmentation(subject: &Subject<'_>, code: i32, address: u64) -> Finding {
    let access = access(subject, address);
    if address < NULL_REGION {
        return null(subject, address, access);
    }
    if access == Some(Access::Execute) {
        return jump(subject, address);
    }
    if let Some(stack) = stack::overflowed(subject, address) {
        let sentence = format!("{address:#x} is below {}", stack::described(stack));
        return finding(
            subject,
            Cause::StackOverflow,
            "stack overflow",
            sentence,
            access,
            address,
        );
    }
    let doing = doing(access);
    let place = place(subject, address);
    match code {
        SEGV_PKUERR => finding(
            subject,
            Cause::ProtectionKey,
            &format!("{doing} that a protection key forbids"),
            place,
            access,
            address,
        ),
        SEGV_MTEAERR | SEGV_MTESERR => finding(
            subject,
            Cause::TagMismatch,
            &format!("{doing} through a pointer with the wrong tag"),
            place,
            access,
            address,
        ),
        SEGV_CPERR => finding(
            subject,
            Cause::ControlFlow,
            "return or branch refused",
            place,
            access,
            address,
        ),
        SEGV_ACCERR => forbidden(subject, access, address),
        _ => finding(
            subject,
            Cause::UnmappedAccess,
            &format!("{doing} of unmapped memory"),
            place,
            access,
            address,
        ),
    }
}

fn null(subject: &Subject<'_>, address: u64, access: Option<Access>) -> Finding {
    match access {
        Some(Access::Execute) => {
            let from = caller(subject);
            let detail = format!("jump to null: the program counter is {address:#x}{from}");
            Finding::new(Cause::JumpToNull, detail).at(access, address)
        }
        _ => {
            let doing = match access {
                Some(Access::Read) => "null pointer read",
                Some(Access::Write) => "null pointer write",
                _ => "null pointer dereference",
            };
            let what = subject
                .instruction_text()
                .unwrap_or_else(|| format!("address {address:#x}"));
            Finding::new(Cause::NullDereference, format!("{doing}: {what}")).at(access, address)
        }
    }
}

fn jump(subject: &Subject<'_>, address: u64) -> Finding {
    let from = caller(subject);
    let (cause, detail) = match subject.space.find(address) {
        Some(mapping) => (
            Cause::ExecuteNonExecutable,
            format!(
                "execution at {address:#x} in {} ({}), which is not executable{from}",
                mapping.described(),
                mapping.permissions()
            ),
        ),
        None => (
            Cause::JumpToUnmapped,
            format!("jump to {address:#x}, which is not mapped{from}"),
        ),
    };
    Finding::new(cause, detail).at(Some(Access::Execute), address)
}

fn forbidden(subject: &Subject<'_>, access: Option<Access>, address: u64) -> Finding {
    let mapping = subject.space.find(address);
    let read_only = mapping.is_some_and(|mapping| mapping.read && !mapping.write);
    // What may be read and still faulted was written.
    let access = access.or(read_only.then_some(Access::Write));
    let place = place(subject, address);
    if read_only && access == Some(Access::Write) {
        return finding(
            subject,
            Cause::WriteToReadOnly,
            "write to read-only memory",
            place,
            access,
            address,
        );
    }
    let doing = format!("{} of protected memory", doing(access));
    finding(subject, Cause::ProtectedAccess, &doing, place, access, address)
}

fn bus(subject: &Subject<'_>, code: i32, address: u64) -> Finding {
    let access = access(subject, address);
    let place = place(subject, address);
    match code {
        // x86-64 gives no address with it (exc_alignment_check).
        BUS_ADRALN => misaligned(subject, Some(address).filter(|address| *address != 0)),
        BUS_ADRERR => match subject.space.file_offset(address) {
            Some((mapping, offset)) => {
                let doing = format!("{} past the end of a mapped file", doing(access));
                let place = format!("offset {offset:#x} in {}, which is shorter", mapping.described());
                finding(subject, Cause::PastEndOfFile, &doing, place, access, address)
            }
            None => finding(
                subject,
                Cause::BusError,
                "memory that could not be provided",
                place,
                access,
                address,
            ),
        },
        BUS_MCEERR_AR | BUS_MCEERR_AO => finding(
            subject,
            Cause::MemoryError,
            "memory hardware failed",
            place,
            access,
            address,
        ),
        _ => finding(subject, Cause::BusError, "bus error", place, access, address),
    }
}

/// A general protection or stack segment fault of x86-64: the kernel knows no address. Also what is left of a
/// fault whose handler could not be entered (`force_sigsegv`).
fn without_address(subject: &Subject<'_>) -> Finding {
    if let Some(pc) = subject.pc().filter(|pc| !is_canonical(*pc)) {
        let detail = format!(
            "jump to a non-canonical address: the program counter is {pc:#x}{}",
            caller(subject)
        );
        return Finding::new(Cause::NonCanonical, detail).at(Some(Access::Execute), pc);
    }
    let Some(instruction) = &subject.instruction else {
        return unexplained(subject);
    };
    if instruction.class == Class::Privileged {
        return Finding::new(
            Cause::PrivilegedInstruction,
            with_instruction(subject, "privileged instruction"),
        );
    }
    if let Some(target) = instruction.target.filter(|target| !is_canonical(*target)) {
        let sentence = format!("the target is {target:#x}");
        let doing = "jump to a non-canonical address";
        return finding(
            subject,
            Cause::NonCanonical,
            doing,
            sentence,
            Some(Access::Execute),
            target,
        );
    }
    for access in &instruction.accesses {
        let Some(address) = access.address else { continue };
        if !is_canonical(address) || !is_canonical(address.wrapping_add(access.size.saturating_sub(1))) {
            let doing = format!("{} of a non-canonical address", doing(Some(access.access)));
            let sentence = format!("the address is {address:#x}");
            return finding(
                subject,
                Cause::NonCanonical,
                &doing,
                sentence,
                Some(access.access),
                address,
            );
        }
    }
    if instruction.class == Class::Aligned && first_misaligned(subject).is_some() {
        return misaligned(subject, None);
    }
    let mut placed = instruction
        .accesses
        .iter()
        .filter_map(|access| Some((access.access, access.address?)));
    let overflow =
        placed.find_map(|(access, address)| Some((access, address, stack::overflowed(subject, address)?)));
    if let Some((access, address, stack)) = overflow {
        let sentence = format!("{address:#x} is below {}", stack::described(stack));
        return finding(
            subject,
            Cause::StackOverflow,
            "stack overflow",
            sentence,
            Some(access),
            address,
        );
    }
    unexplained(subject)
}

fn unexplained(subject: &Subject<'_>) -> Finding {
    Finding::new(
        Cause::GeneralProtection,
        with_instruction(subject, "the processor refused the instruction"),
    )
}

fn misaligned(subject: &Subject<'_>, address: Option<u64>) -> Finding {
    let computed = first_misaligned(subject);
    let address = address.or(computed.map(|(_, address, _)| address));
    let access = computed.map(|(access, ..)| access);
    let mut detail = with_instruction(subject, &format!("misaligned {}", doing(access)));
    if let Some(address) = address {
        detail.push_str(&format!(", the address is {address:#x}"));
    }
    if let Some((.., size)) = computed {
        detail.push_str(&format!(", no multiple of {size}"));
    }
    let found = Finding::new(Cause::Misaligned, detail);
    match address {
        Some(address) => found.at(access, address),
        None => found,
    }
}

/// Kind, address and size of the first access whose address is no multiple of its size.
fn first_misaligned(subject: &Subject<'_>) -> Option<(Access, u64, u64)> {
    let accesses = &subject.instruction.as_ref()?.accesses;
    accesses.iter().find_map(|access| {
        let address = access.address?;
        (access.size > 1 && address % access.size != 0).then_some((access.access, address, access.size))
    })
}

/// What the thread did to the address of the signal.
fn access(subject: &Subject<'_>, address: u64) -> Option<Access> {
    let pc = subject.pc();
    let fetched = pc.is_some_and(|pc| address.wrapping_sub(pc) < MAX_INSTRUCTION);
    let runs = match pc.and_then(|pc| subject.space.find(pc)) {
        Some(mapping) => mapping.execute,
        None => subject.space.is_empty() && !fetched,
    };
    let data = subject.instruction.as_ref().filter(|_| runs);
    data.and_then(|instruction| instruction.access_at(address))
        .or(fetched.then_some(Access::Execute))
}

/// Bits 47 to 63 are equal: what four-level paging can translate (Intel SDM volume 1, 3.3.7.1).
const fn is_canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

fn finding(
    subject: &Subject<'_>,
    cause: Cause,
    doing: &str,
    sentence: String,
    access: Option<Access>,
    address: u64,
) -> Finding {
    Finding::new(cause, format!("{}, {sentence}", with_instruction(subject, doing))).at(access, address)
}

fn with_instruction(subject: &Subject<'_>, doing: &str) -> String {
    match subject.instruction_text() {
        Some(text) => format!("{doing}: {text}"),
        None => doing.to_owned(),
    }
}

fn doing(access: Option<Access>) -> &'static str {
    match access {
        Some(Access::Read) => "read",
        Some(Access::Write) => "write",
        Some(Access::Execute) => "execution",
        None => "access",
    }
}

/// Where an address is: "0x4010 is in /usr/lib/libc.so.6 (r--p)".
fn place(subject: &Subject<'_>, address: u64) -> String {
    match subject.space.find(address) {
        Some(mapping) => format!(
            "{address:#x} is in {} ({})",
            mapping.described(),
            mapping.permissions()
        ),
        None if subject.space.is_empty() => format!("the address is {address:#x}"),
        None => format!("{address:#x} is not mapped"),
    }
}

/// Who jumped there, if the call left its return address on top of the stack.
fn caller(subject: &Subject<'_>) -> String {
    let top = subject.top_of_stack;
    let is_code = |address: &u64| {
        subject
            .space
            .find(*address)
            .is_some_and(|mapping| mapping.execute)
    };
    match top.filter(is_code) {
        Some(address) => format!(", called from before {address:#x}"),
        None => String::new(),
    }
}
