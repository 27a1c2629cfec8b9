//! A service that uses more memory than its unit may: the record says so, and what says it.

use crate::{Machine, await_that};

/// Takes 200 MB, where its unit allows 32.
const UNIT: &str = "\
[Service]
ExecStart=/usr/bin/sickbay enroll --service greedy -- python3 -c 'taken = bytearray(b\"x\") * 200_000_000'
MemoryMax=32M
MemorySwapMax=0
LimitCORE=0
";

#[test]
fn a_unit_that_runs_out_of_memory_is_recorded_as_that() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    machine.unit("greedy.service", UNIT);
    machine.boot();
    let controllers = machine.must(&["cat", "/sys/fs/cgroup/cgroup.controllers"]);
    if !controllers
        .split_whitespace()
        .any(|controller| controller == "memory")
    {
        eprintln!("skipped: the kernel gives the machine no memory controller, so MemoryMax= has no effect");
        return;
    }
    machine.start_sickbay("[[service]]\nname = \"greedy\"\nunit = \"greedy.service\"\n");
    machine.must(&["systemctl", "start", "greedy.service"]);
    let report = machine.await_reports(1).remove(0);
    assert_eq!(report["kind"], "exit");
    assert_eq!(report["fault"]["cause"], "out of memory");
    let detail = report["fault"]["detail"].as_str().unwrap();
    assert!(
        detail.contains("oom_kill in ") || detail.contains("Killed process "),
        "{detail}"
    );
    let result = || (machine.property("greedy.service", "Result") == "oom-kill").then_some(());
    await_that("the service manager to see the kill for memory", result);
}
