//! For which system call a seccomp filter killed a process.
//!
//! No stop announces that kill, and the exit status says only SIGSYS. Where the kernel's audit is built in and no audit
//! daemon takes its records, the kernel's log has one (`kernel/auditsc.c`, `audit_seccomp`; seccomp(2),
//! `/proc/sys/kernel/seccomp/actions_logged`). Names in it that could be mistaken for a field are written in hexadecimal.

use std::time::Duration;

use super::kernel_log;
use crate::sys::Pid;
use crate::sys::signal::RefusedCall;

/// How long the record may take: a thread of the kernel's writes it.
const PATIENCE: Duration = Duration::from_millis(100);
/// How such a record begins: `AUDIT_SECCOMP`.
const KIND: &str = "audit: type=1326 ";

/// The call that the process was killed for just now.
pub(super) fn refused_call(process: Pid) -> Option<RefusedCall> {
    kernel_log::search(PATIENCE, |message| call_in(message, process))
}

fn call_in(message: &str, process: Pid) -> Option<RefusedCall> {
    let fields = message.strip_prefix(KIND)?;
    let field = |name: &str| {
        let mut words = fields.split(' ');
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    let killed = field("pid")?.parse() == Ok(process.0) && field("sig") == Some("31");
    Some(RefusedCall {
        number: field("syscall")?.parse().ok()?,
        architecture: u32::try_from(hexadecimal(field("arch")?)?).ok()?,
        from: hexadecimal(field("ip")?.strip_prefix("0x")?)?,
    })
    .filter(|_| killed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "audit: type=1326 audit(1795641753.433:2186): auid=4294967295 uid=0 gid=0 ses=4294967295 \
        pid=15503 comm=\"die\" exe=\"/srv/die\" sig=31 arch=c000003e syscall=110 compat=0 ip=0x7fa2069c5829 code=0x80000000";

    #[test]
    fn a_record_names_the_call() {
        let call = RefusedCall {
            number: 110,
            architecture: 0xc000_003e,
            from: 0x7fa2_069c_5829,
        };
        assert_eq!(call_in(RECORD, Pid(15503)), Some(call));
        assert_eq!(call_in(RECORD, Pid(1550)), None);
        // The action was another one: the process was told, or allowed.
        assert_eq!(call_in(&RECORD.replace("sig=31", "sig=0"), Pid(15503)), None);
        assert_eq!(call_in(&RECORD.replace("1326", "1327"), Pid(15503)), None);
        for cut in 0..RECORD.len() {
            let _ = call_in(&RECORD[..cut], Pid(15503));
        }
    }
}
