//! SIGSEGV and SIGBUS without an address: what x86-64 calls general protection and stack segment faults.
//!
//! The kernel knows neither address nor reason (`SI_KERNEL`), so the instruction is asked what the processor may have
//! disliked about it. The same code is what is left of a fault whose handler could not be entered
//! (`force_sigsegv`), usually because the stack is used up.

use super::instruction::Class;
use super::sentence::doing;
use super::subject::Subject;
use super::{Access, Cause, Finding, stack};

/// Explains a SIGSEGV or SIGBUS without an address.
pub(super) fn explain(subject: &Subject<'_>) -> Finding {
    if let Some(pc) = subject.pc().filter(|pc| !is_canonical(*pc)) {
        let detail = format!(
            "jump to a non-canonical address: the program counter is {pc:#x}{}",
            subject.caller()
        );
        return Finding::new(Cause::NonCanonical, detail).at(Some(Access::Execute), pc);
    }
    let Some(instruction) = &subject.instruction else {
        return unexplained(subject);
    };
    if instruction.class == Class::Privileged {
        return Finding::new(
            Cause::PrivilegedInstruction,
            subject.with_instruction("privileged instruction"),
        );
    }
    if let Some(target) = instruction.target.filter(|target| !is_canonical(*target)) {
        let sentence = format!("the target is {target:#x}");
        let doing = "jump to a non-canonical address";
        return subject.finding(
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
            return subject.finding(
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
        return subject.finding(
            Cause::StackOverflow,
            "stack overflow",
            sentence,
            Some(access),
            address,
        );
    }
    unexplained(subject)
}

/// An access whose address is no multiple of its size; computed where the kernel does not give it.
pub(super) fn misaligned(subject: &Subject<'_>, address: Option<u64>) -> Finding {
    let computed = first_misaligned(subject);
    let address = address.or(computed.map(|(_, address, _)| address));
    let access = computed.map(|(access, ..)| access);
    let mut detail = subject.with_instruction(&format!("misaligned {}", doing(access)));
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

fn unexplained(subject: &Subject<'_>) -> Finding {
    Finding::new(
        Cause::GeneralProtection,
        subject.with_instruction("the processor refused the instruction"),
    )
}

/// Bits 47 to 63 are equal: what four-level paging can translate (Intel SDM volume 1, 3.3.7.1).
const fn is_canonical(address: u64) -> bool {
    ((address << 16) as i64 >> 16) as u64 == address
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use crate::diagnose::sample::{Case, LOAD, PUSH, segv};
    use crate::sys::SigNo;

    #[test]
    fn non_canonical_addresses_come_from_the_instruction() {
        const WILD: u64 = 0xdead_beef_0000_0000;
        let load = segv(0x80, 0).with("rdi", WILD).code(LOAD).told();
        assert_eq!((load.0, load.1), (Cause::NonCanonical, Some(Access::Read)));
        assert!(load.2.contains("rdi = 0xdeadbeef00000000"), "{}", load.2);
        let call = segv(0x80, 0).with("rax", WILD).code(&[0xff, 0xd0]).told();
        assert_eq!((call.0, call.1), (Cause::NonCanonical, Some(Access::Execute)));
        let ret = segv(0x80, 0).code(&[0xc3]).stack(&[WILD]).told();
        assert_eq!((ret.0, ret.1), (Cause::NonCanonical, Some(Access::Execute)));
        let pc = segv(0x80, 0).with("rip", WILD).told();
        assert_eq!((pc.0, pc.1), (Cause::NonCanonical, Some(Access::Execute)));
        let by_stack = Case::new(SigNo::BUS, 0x80, 0).with("rsp", WILD).code(PUSH).told();
        assert_eq!(
            (by_stack.0, by_stack.1),
            (Cause::NonCanonical, Some(Access::Write))
        );
    }

    #[test]
    fn general_protection_has_other_reasons_too() {
        assert_eq!(segv(0x80, 0).code(&[0xf4]).cause(), Cause::PrivilegedInstruction);
        let movaps = segv(0x80, 0)
            .with("rdi", 0x100_0001)
            .code(&[0x0f, 0x28, 0x07])
            .told();
        assert_eq!((movaps.0, movaps.1), (Cause::Misaligned, Some(Access::Read)));
        assert!(movaps.2.ends_with("no multiple of 16"), "{}", movaps.2);
        assert_eq!(segv(0x80, 0).code(&[0x90]).cause(), Cause::GeneralProtection);
        assert_eq!(segv(0x80, 0).cause(), Cause::GeneralProtection);
    }
}
