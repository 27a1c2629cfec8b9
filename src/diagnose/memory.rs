//! SIGSEGV that an instruction raised at an address.
//!
//! The page fault's error code is not part of what ptrace hands out, so whether the thread read, wrote or fetched
//! instructions is worked out: from the instruction's own accesses, and from the program counter.

use super::sentence::doing;
use super::subject::Subject;
use super::{Access, Cause, Finding, stack};

/// Below this, a pointer was null and the rest is the offset of a member or an element.
const NULL_REGION: u64 = 64 << 10;
/// The longest instruction, bytes: a fetch may fail this far behind the program counter.
const MAX_INSTRUCTION: u64 = 15;

const SEGV_ACCERR: i32 = 2;
const SEGV_PKUERR: i32 = 4;
const SEGV_MTEAERR: i32 = 8;
const SEGV_MTESERR: i32 = 9;
const SEGV_CPERR: i32 = 10;

/// Explains a SIGSEGV with an address.
pub(super) fn explain(subject: &Subject<'_>, address: u64) -> Finding {
    let access = access(subject, address);
    if address < NULL_REGION {
        return null(subject, address, access);
    }
    if access == Some(Access::Execute) {
        return jump(subject, address);
    }
    if let Some(stack) = stack::overflowed(subject, address) {
        let sentence = format!("{address:#x} is below {}", stack::described(stack));
        return subject.finding(Cause::StackOverflow, "stack overflow", sentence, access, address);
    }
    let doing = doing(access);
    let place = subject.place(address);
    match subject.code() {
        SEGV_PKUERR => subject.finding(
            Cause::ProtectionKey,
            &format!("{doing} that a protection key forbids"),
            place,
            access,
            address,
        ),
        SEGV_MTEAERR | SEGV_MTESERR => subject.finding(
            Cause::TagMismatch,
            &format!("{doing} through a pointer with the wrong tag"),
            place,
            access,
            address,
        ),
        SEGV_CPERR => subject.finding(
            Cause::ControlFlow,
            "return or branch refused",
            place,
            access,
            address,
        ),
        SEGV_ACCERR => forbidden(subject, access, address),
        _ => subject.finding(
            Cause::UnmappedAccess,
            &format!("{doing} of unmapped memory"),
            place,
            access,
            address,
        ),
    }
}

/// What the thread did to the address of the signal.
pub(super) fn access(subject: &Subject<'_>, address: u64) -> Option<Access> {
    let pc = subject.pc();
    let fetched = pc.is_some_and(|pc| address.wrapping_sub(pc) < MAX_INSTRUCTION);
    let runs = match pc.and_then(|pc| subject.maps.find(pc)) {
        Some(mapping) => mapping.executable,
        None => subject.maps.is_empty() && !fetched,
    };
    let data = subject.instruction.as_ref().filter(|_| runs);
    data.and_then(|instruction| instruction.access_at(address))
        .or(fetched.then_some(Access::Execute))
}

fn null(subject: &Subject<'_>, address: u64, access: Option<Access>) -> Finding {
    match access {
        Some(Access::Execute) => {
            let from = subject.caller();
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
    let from = subject.caller();
    let (cause, detail) = match subject.maps.find(address) {
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
    let mapping = subject.maps.find(address);
    let read_only = mapping.is_some_and(|mapping| mapping.readable && !mapping.writable);
    // What may be read and still faulted was written.
    let access = access.or(read_only.then_some(Access::Write));
    let place = subject.place(address);
    if read_only && access == Some(Access::Write) {
        return subject.finding(
            Cause::WriteToReadOnly,
            "write to read-only memory",
            place,
            access,
            address,
        );
    }
    let doing = format!("{} of protected memory", doing(access));
    subject.finding(Cause::ProtectedAccess, &doing, place, access, address)
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use crate::diagnose::sample::{LOAD, PC, STORE, TID, segv};

    #[test]
    fn null_pointers_are_told_with_instruction_and_register() {
        let write = segv(1, 8).with("rdi", 0).code(STORE).diagnose();
        assert_eq!(
            write.detail,
            "null pointer write: `mov dword ptr [rdi+8], 2ah`, rdi = 0x0"
        );
        assert_eq!(
            (write.cause, write.access),
            (Cause::NullDereference, Some(Access::Write))
        );
        assert_eq!(
            (write.pc, write.address, write.subject_tid),
            (Some(PC), Some(8), Some(TID))
        );
        assert_eq!(write.instruction.unwrap().bytes, STORE);
        let read = segv(1, 0).with("rdi", 0).code(LOAD).told();
        assert_eq!(
            read,
            (
                Cause::NullDereference,
                Some(Access::Read),
                "null pointer read: `mov eax, [rdi]`, rdi = 0x0".into()
            )
        );
        let bare = segv(1, 0xffff).told();
        assert_eq!(
            (bare.0, bare.1),
            (Cause::NullDereference, None),
            "without code the access is unknown"
        );
    }

    #[test]
    fn jumps_are_told_by_where_they_end() {
        let null = segv(1, 0).with("rip", 0).stack(&[PC]).told();
        assert_eq!(
            null,
            (
                Cause::JumpToNull,
                Some(Access::Execute),
                format!("jump to null: the program counter is 0x0, called from before {PC:#x}")
            )
        );
        let unmapped = segv(1, 0x1234_5678).with("rip", 0x1234_5678).told();
        assert_eq!(
            (unmapped.0, unmapped.1),
            (Cause::JumpToUnmapped, Some(Access::Execute))
        );
        let data = segv(2, 0x100_0010)
            .with("rip", 0x100_0010)
            .code(&[0x90; 16])
            .told();
        assert_eq!(
            (data.0, data.1),
            (Cause::ExecuteNonExecutable, Some(Access::Execute))
        );
        assert!(data.2.contains("[heap] (rw-p)"), "{}", data.2);
        let falls_off = segv(1, 0x40_2000)
            .with("rip", 0x40_1ffe)
            .code(&[0x48, 0xb8])
            .told();
        assert_eq!(
            falls_off.1,
            Some(Access::Execute),
            "an instruction that crosses into the next page"
        );
    }

    #[test]
    fn wild_pointers_are_told_by_what_is_there() {
        let wild = |code, address| segv(code, address).with("rdi", address).code(LOAD).told();
        assert_eq!(wild(1, 0x5000_0000).0, Cause::UnmappedAccess);
        assert_eq!(wild(2, 0x7f00_0010_0000).0, Cause::ProtectedAccess);
        assert_eq!(wild(4, 0x100_0000).0, Cause::ProtectionKey);
        assert_eq!(wild(9, 0x100_0000).0, Cause::TagMismatch);
        assert_eq!(wild(10, 0x100_0000).0, Cause::ControlFlow);
        let constant = segv(2, 0x40_2010).with("rdi", 0x40_2008).code(STORE).told();
        assert_eq!(
            (constant.0, constant.1),
            (Cause::WriteToReadOnly, Some(Access::Write))
        );
        assert!(
            constant.2.ends_with("0x402010 is in /usr/bin/prog (r--p)"),
            "{}",
            constant.2
        );
        let own_code = segv(2, PC + 8).with("rdi", PC).code(STORE).told();
        assert_eq!(
            (own_code.0, own_code.1),
            (Cause::WriteToReadOnly, Some(Access::Write))
        );
        let undecoded = segv(2, 0x40_2010).told();
        assert_eq!(
            (undecoded.0, undecoded.1),
            (Cause::WriteToReadOnly, Some(Access::Write)),
            "what may be read was written"
        );
    }
}
