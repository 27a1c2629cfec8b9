//! The unit itself: what the service manager says about it.

use crate::Machine;

/// The highest exposure that is accepted (systemd-analyze(1), `security`).
const MAX_EXPOSURE: f64 = 2.0;

#[test]
fn it_is_hardened_and_without_mistakes() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    machine.boot();
    let said = machine.must(&["systemd-analyze", "verify", "--man=no", "sickbay.service"]);
    assert_eq!(said, "");
    let exposure = machine.must(&["systemd-analyze", "security", "--no-pager", "sickbay.service"]);
    let total = exposure
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for sickbay.service: "));
    let total: f64 = total
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap();
    assert!(total <= MAX_EXPOSURE, "{exposure}");
}
