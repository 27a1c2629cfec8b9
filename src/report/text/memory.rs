//! Memory around registers, code around the program counter, and the map around the fault.

use super::super::model::{Address, Map, Memory, Report};
use super::super::wording::place::{in_module, map_at, target};
use super::super::words::count;
use super::page::{Page, Style};

/// Bytes in a line of a dump.
const ROW: usize = 16;
/// Rows of one dump that are shown.
const MAX_ROWS: usize = 17;
/// Dumps that are shown.
const MAX_DUMPS: usize = 64;
/// Instructions that are shown.
const MAX_CODE: usize = 64;
/// Mappings that are shown on either side of the fault.
const NEIGHBOURS: usize = 8;
/// Names that architectures give to the program counter.
const PROGRAM_COUNTERS: [&str; 3] = ["rip", "pc", "eip"];

pub(super) fn write(page: &mut Page, report: &Report) {
    let (code, data): (Vec<_>, Vec<_>) = report
        .memory
        .iter()
        .partition(|memory| PROGRAM_COUNTERS.contains(&memory.register.as_str()));
    write_dumps(page, report, "Memory around registers", data);
    if report.code.is_empty() {
        write_dumps(page, report, "Code around the program counter", code);
    } else {
        write_code(page, report);
    }
}

fn write_dumps(page: &mut Page, report: &Report, heading: &str, dumps: Vec<&Memory>) {
    if !dumps.is_empty() {
        page.heading(format_args!("{heading}"));
        page.lines(dumps, MAX_DUMPS, |page, memory| write_dump(page, report, memory));
    }
}

fn write_code(page: &mut Page, report: &Report) {
    page.heading(format_args!("Code around the program counter"));
    let widest = report.code.iter().filter_map(|line| line.bytes.as_ref());
    let width = 2 * widest.map(|bytes| bytes.0.len()).max().unwrap_or(0);
    page.lines(&report.code, MAX_CODE, |page, line| {
        let is_at_fault = Some(line.address) == report.fault.pc;
        let (mark, style) = if is_at_fault {
            ('>', Style::Strong)
        } else {
            (' ', Style::Plain)
        };
        let bytes = line
            .bytes
            .as_ref()
            .map(|bytes| hex::encode(&bytes.0))
            .unwrap_or_default();
        page.styled(
            style,
            format_args!(
                "  {mark} {:016x}  {:<24} {bytes:<width$}  {}",
                line.address.0,
                in_module(report, line.address),
                line.text.as_deref().unwrap_or("(no instruction)")
            ),
        );
    });
}

fn write_dump(page: &mut Page, report: &Report, memory: &Memory) {
    let value = report
        .faulting_thread()
        .and_then(|thread| thread.registers.get(&memory.register).copied())
        .or_else(|| {
            report
                .fault
                .pc
                .filter(|_| PROGRAM_COUNTERS.contains(&memory.register.as_str()))
        });
    match value {
        Some(value) => page.styled(
            Style::Label,
            format_args!("  {} = {value}  {}", memory.register, described(report, value)),
        ),
        None => page.styled(Style::Label, format_args!("  {}", memory.register)),
    }
    let mut previous = None;
    let mut skipping = false;
    page.lines(
        memory.bytes.0.chunks(ROW).enumerate(),
        MAX_ROWS,
        |page, (number, row)| {
            let start = memory.address.0.wrapping_add((number * ROW) as u64);
            let marked = value.is_some_and(|value| value.0.wrapping_sub(start) < row.len() as u64);
            if previous == Some(row) && !marked {
                if !skipping {
                    page.line(format_args!("      *"));
                }
                skipping = true;
                return;
            }
            previous = Some(row);
            skipping = false;
            let (mark, style) = if marked {
                ('>', Style::Strong)
            } else {
                (' ', Style::Plain)
            };
            page.styled(
                style,
                format_args!(
                    "    {mark} {start:016x}  {:<49} {}",
                    hex_columns(row),
                    printable(row)
                ),
            );
        },
    );
}

/// `00 01 02 03 04 05 06 07  08 ...`
fn hex_columns(row: &[u8]) -> String {
    let halves: Vec<String> = row
        .chunks(ROW / 2)
        .map(|half| {
            half.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    halves.join("  ")
}

fn printable(row: &[u8]) -> String {
    row.iter()
        .map(|byte| {
            if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte)
            } else {
                '.'
            }
        })
        .collect()
}

/// Writes the mappings around the fault's address, or around the program counter when the fault has none; or all.
pub(super) fn write_map(page: &mut Page, report: &Report, whole: bool) {
    let subject = report
        .signal
        .address
        .map(|address| (address, "fault address"))
        .or(report.fault.pc.map(|pc| (pc, "program counter")));
    if report.maps.is_empty() || (subject.is_none() && !whole) {
        return;
    }
    let all = count(report.maps.len(), "mapping");
    let Some((address, what)) = subject else {
        page.heading(format_args!("Map, {all}"));
        let mut maps: Vec<&Map> = report.maps.iter().collect();
        maps.sort_by_key(|map| map.low);
        maps.into_iter().for_each(|map| write_mapping(page, map, false));
        return;
    };
    page.heading(format_args!("Map around {address} ({what}), {all} in all"));
    let mut maps: Vec<&Map> = report.maps.iter().collect();
    maps.sort_by_key(|map| map.low);
    let below = maps.partition_point(|map| map.high <= address);
    let hit = maps.get(below).is_some_and(|map| map.contains(address));
    let neighbours = if whole { maps.len() } else { NEIGHBOURS };
    let first = below.saturating_sub(neighbours);
    let last = (below + neighbours + usize::from(hit)).min(maps.len());
    let write_gap = |page: &mut Page| page.styled(Style::Alarm, format_args!("---> {address} is not mapped"));
    for (index, map) in maps.iter().enumerate().take(last).skip(first) {
        if index == below && !hit {
            write_gap(page);
        }
        write_mapping(page, map, index == below && hit);
    }
    if below == maps.len() {
        write_gap(page);
    }
}

fn write_mapping(page: &mut Page, map: &Map, marked: bool) {
    let (mark, style) = if marked {
        ("--->", Style::Alarm)
    } else {
        ("    ", Style::Plain)
    };
    page.styled(
        style,
        format_args!(
            "{mark} {:016x}-{:016x}  {}",
            map.low.0,
            map.high.0,
            describe_map(map)
        ),
    );
}

/// `its stack + 0x20, rw-p`
fn described(report: &Report, address: Address) -> String {
    let Some(map) = map_at(report, address) else {
        return String::new();
    };
    let target = target(report, address).map(|target| target.text);
    format!("{}, {}", target.unwrap_or_default(), map.perms)
}

fn describe_map(map: &Map) -> String {
    format!("{} {}", map.perms, map.path.as_deref().unwrap_or("(anonymous)"))
}
