//! SIGBUS that an instruction raised at an address.

use super::sentence::doing;
use super::subject::Subject;
use super::{Cause, Finding, memory, protection};

const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const BUS_MCEERR_AR: i32 = 4;
const BUS_MCEERR_AO: i32 = 5;

/// Explains a SIGBUS with an address.
pub(super) fn explain(subject: &Subject<'_>, address: u64) -> Finding {
    let access = memory::access(subject, address);
    let place = subject.place(address);
    match subject.code() {
        // x86-64 gives no address with it (exc_alignment_check).
        BUS_ADRALN => protection::misaligned(subject, Some(address).filter(|address| *address != 0)),
        BUS_ADRERR => match subject.maps.file_offset(address) {
            Some((mapping, offset)) => {
                let doing = format!("{} past the end of a mapped file", doing(access));
                let place = format!("offset {offset:#x} in {}, which is shorter", mapping.described());
                subject.finding(Cause::PastEndOfFile, &doing, place, access, address)
            }
            None => subject.finding(
                Cause::BusError,
                "memory that could not be provided",
                place,
                access,
                address,
            ),
        },
        BUS_MCEERR_AR | BUS_MCEERR_AO => subject.finding(
            Cause::MemoryError,
            "memory hardware failed",
            place,
            access,
            address,
        ),
        _ => subject.finding(Cause::BusError, "bus error", place, access, address),
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use crate::diagnose::Access;
    use crate::diagnose::sample::{Case, LOAD};
    use crate::sys::SigNo;

    #[test]
    fn bus_errors_are_told_apart() {
        let bus = |code, address| {
            Case::new(SigNo::BUS, code, address)
                .with("rdi", address)
                .code(LOAD)
        };
        let past = bus(2, 0x7f10_0000_2010).told();
        assert_eq!((past.0, past.1), (Cause::PastEndOfFile, Some(Access::Read)));
        assert!(
            past.2
                .ends_with("offset 0x6010 in /var/lib/data, which is shorter"),
            "{}",
            past.2
        );
        assert_eq!(bus(2, 0x100_0000).cause(), Cause::BusError);
        assert_eq!(bus(4, 0x100_0000).cause(), Cause::MemoryError);
        assert_eq!(bus(5, 0x100_0000).cause(), Cause::MemoryError);
        assert_eq!(bus(3, 0x100_0000).cause(), Cause::BusError);
        let unaligned = Case::new(SigNo::BUS, 1, 0)
            .with("rdi", 0x100_0001)
            .code(LOAD)
            .diagnose();
        assert_eq!(
            (unaligned.cause, unaligned.address),
            (Cause::Misaligned, Some(0x100_0001))
        );
    }
}
