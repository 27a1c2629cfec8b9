//! `report.txt`, and what `sickbay show` prints: a report for people.
//!
//! It begins with at most ten lines for somebody who was woken by it; details follow in the order in which one
//! asks for them, and what is missing comes last. Long lists are cut, and say by how much: `report.json` has all.
//!
//! Everything is written through one `Page`, which escapes whole lines: no field can reach a terminal unescaped,
//! whatever a section does.

mod head;
mod memory;
mod page;
mod process;
mod stack;
mod threads;

use super::model::{Address, Report};
use page::Page;

/// Renders a report as text, ending in a line feed.
pub fn render(report: &Report) -> String {
    let mut page = Page::default();
    head::write(&mut page, report);
    stack::write(&mut page, report);
    memory::write(&mut page, report);
    threads::write_locks(&mut page, report);
    process::write_logs(&mut page, report);
    threads::write_others(&mut page, report);
    memory::write_map(&mut page, report);
    process::write(&mut page, report);
    page.finish()
}

/// `api-server+0x11b9`: where an address lies in the program or a library; the bare address if in neither.
fn in_module(report: &Report, address: Address) -> String {
    match report.module_at(address) {
        Some(module) => format!("{}+{:#x}", module.name(), address.0 - module.low.0),
        None => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::escape::escaped;
    use crate::report::sample;

    #[test]
    fn null_write_in_one_of_201_threads() {
        insta::assert_snapshot!(render(&sample::null_write()));
    }

    #[test]
    fn termination_request_from_another_process() {
        insta::assert_snapshot!(render(&sample::terminated()));
    }

    #[test]
    fn exit_record_of_a_killed_process() {
        insta::assert_snapshot!(render(&sample::killed()));
    }

    #[test]
    fn stack_overflow_in_the_guard_page() {
        insta::assert_snapshot!(render(&sample::stack_overflow()));
    }

    #[test]
    fn capture_on_demand() {
        insta::assert_snapshot!(render(&sample::captured()));
    }

    #[test]
    fn nearly_empty() {
        insta::assert_snapshot!(render(&sample::minimal()));
    }

    #[test]
    fn everything_at_once() {
        insta::assert_snapshot!(render(&sample::full()));
    }

    #[test]
    fn the_head_is_at_most_ten_lines() {
        for report in sample::all() {
            let text = render(&report);
            let head = text.split("\n\n").next().unwrap();
            assert!(head.lines().count() <= 10, "{head}");
        }
    }

    /// Every string of a report is replaced by an attack in turn; none of them may survive or add a line.
    #[test]
    fn no_string_reaches_the_terminal_unescaped() {
        const ATTACK: &str = "\x1b[2J\u{9b}31m\r\n\u{202e}\x07";
        let report = serde_json::to_value(sample::full()).unwrap();
        let lines = render(&sample::full()).lines().count();
        let mut pointers = Vec::new();
        strings(&report, String::new(), &mut pointers);
        let mut attacked = 0;
        for pointer in pointers {
            let mut hostile = report.clone();
            *hostile.pointer_mut(&pointer).unwrap() = ATTACK.into();
            let Ok(hostile) = serde_json::from_value::<Report>(hostile) else {
                continue;
            };
            let text = render(&hostile);
            for line in text.lines() {
                assert_eq!(escaped(line).to_string(), line, "{pointer}");
            }
            assert!(text.lines().count() <= lines + 1, "{pointer} adds lines");
            attacked += 1;
        }
        assert!(attacked > 60, "only {attacked} strings");
    }

    fn strings(value: &serde_json::Value, pointer: String, found: &mut Vec<String>) {
        match value {
            serde_json::Value::String(_) => found.push(pointer),
            serde_json::Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    strings(item, format!("{pointer}/{index}"), found);
                }
            }
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    strings(value, format!("{pointer}/{name}"), found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn any_report_can_be_rendered() {
        let mut report = sample::full();
        report.memory[0].address = Address(u64::MAX - 3);
        report.maps.reverse();
        report.modules[0].low = Address(u64::MAX);
        report.process.uptime_us = Some(u64::MAX);
        report.pause.faulting_us = Some(u64::MAX);
        report.fault.tid = None;
        report.threads[0].faulting = false;
        render(&report);
    }
}
