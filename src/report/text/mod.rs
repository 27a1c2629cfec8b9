//! `report.txt`, and what `sickbay show` prints: a report for people.
//!
//! It begins with at most ten lines for somebody who was woken by it; details follow in the order in which one
//! asks for them, and what is missing comes last. Long lists are cut, and say by how much: `report.json` has all.
//!
//! Everything is written through one `Page`, which escapes whole lines: no field can reach a terminal unescaped,
//! whatever a section does.

mod faulting;
mod head;
mod locks;
mod memory;
mod others;
mod page;
mod process;
mod thread;

use super::model::Report;
use crate::sys::Tid;
use page::Page;

/// What of a report is shown, and how.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// Every thread by itself, and no list cut.
    pub all: bool,
    /// The registers of all threads that are shown, the vector registers included.
    pub registers: bool,
    /// The whole memory map.
    pub maps: bool,
    /// These threads only.
    pub threads: Option<Vec<Tid>>,
    /// Attributes of a terminal.
    pub colour: bool,
}

/// Renders a report as `report.txt`, ending in a line feed.
pub fn render(report: &Report) -> String {
    View::default().render(report)
}

impl View {
    /// Renders a report, ending in a line feed.
    pub fn render(&self, report: &Report) -> String {
        let mut page = Page::new(self.colour, self.all);
        head::write(&mut page, report);
        if let Some(chosen) = &self.threads {
            others::write_chosen(&mut page, report, self, chosen);
            if self.maps {
                memory::write_map(&mut page, report, true);
            }
            return page.finish();
        }
        faulting::write(&mut page, report, self);
        memory::write(&mut page, report);
        locks::write(&mut page, report);
        process::write_logs(&mut page, report);
        others::write(&mut page, report, self);
        memory::write_map(&mut page, report, self.maps);
        process::write(&mut page, report);
        page.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::escape::escaped;
    use crate::report::model::Address;
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
            // Memory that is not the program counter's is dumped, where the code is listed.
            if !pointer.starts_with("/memory/") {
                assert!(text.lines().count() <= lines + 1, "{pointer} adds lines");
            }
            let coloured = View {
                colour: true,
                ..View::default()
            };
            assert_eq!(without_attributes(&coloured.render(&hostile)), text, "{pointer}");
            attacked += 1;
        }
        assert!(attacked > 60, "only {attacked} strings");
    }

    /// A text without the attributes that were added to it.
    fn without_attributes(text: &str) -> String {
        let mut parts = text.split("\x1b[");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |plain, part| plain + part.split_once('m').unwrap().1)
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

    /// What colour adds is colour alone.
    #[test]
    fn a_coloured_report_says_the_same() {
        for report in sample::all() {
            let coloured = View {
                colour: true,
                ..View::default()
            };
            let text = coloured.render(&report);
            assert!(text.contains("\x1b[1m"), "{text}");
            assert_eq!(without_attributes(&text), render(&report));
        }
    }

    #[test]
    fn chosen_threads_are_shown_in_full() {
        let report = sample::null_write();
        let view = View {
            threads: Some(vec![report.threads[0].tid]),
            registers: true,
            ..View::default()
        };
        insta::assert_snapshot!(view.render(&report));
    }

    #[test]
    fn everything_means_every_thread_and_mapping() {
        let report = sample::null_write();
        let view = View {
            all: true,
            maps: true,
            ..View::default()
        };
        let text = view.render(&report);
        for thread in &report.threads {
            assert!(text.contains(&format!("{} ", thread.tid)), "{}", thread.tid);
        }
        assert!(!text.contains("like this") && !text.contains(" more"), "{text}");
        let mapping = |map: &&crate::report::model::Map| text.contains(&format!("{:016x}-", map.low.0));
        assert_eq!(report.maps.iter().filter(mapping).count(), report.maps.len());
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
