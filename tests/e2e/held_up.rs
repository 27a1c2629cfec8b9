//! What could hold a tracer up for ever, and the service with it.

use crate::support::{Sickbay, fixture, skip};

/// The page that a register points to comes when a thread serves it which the tracer has stopped. Only the end of the
/// tracer ends that wait, and a signal that wakes it is pending by then.
#[test]
fn a_page_that_nobody_serves() {
    let sickbay = Sickbay::new();
    let outcome = sickbay.run(fixture("served_page"), &[""]);
    if outcome.stdout.starts_with("userfaultfd: ") {
        return skip("userfaultfd(2) is not allowed here");
    }
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    assert_eq!(sickbay.only_report().text("signal.name"), "SIGSEGV");
}
