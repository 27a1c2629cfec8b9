//! The streams of a minidump, in the order of its directory.

use minidump_common::format::MINIDUMP_STREAM_TYPE as Kind;
use minidump_common::format::{
    CvSignature, MINIDUMP_CRASHPAD_INFO, MINIDUMP_EXCEPTION, MINIDUMP_EXCEPTION_STREAM,
    MINIDUMP_LOCATION_DESCRIPTOR, MINIDUMP_MEMORY_DESCRIPTOR, MINIDUMP_MEMORY_INFO,
    MINIDUMP_MEMORY_INFO_LIST, MINIDUMP_MISC_INFO, MINIDUMP_MODULE, MINIDUMP_SIMPLE_STRING_DICTIONARY_ENTRY,
    MINIDUMP_SYSTEM_INFO, MINIDUMP_THREAD, MINIDUMP_THREAD_NAME, MemoryProtection, MemoryState, MemoryType,
    MiscInfoFlags, PlatformId,
};

use super::buffer::Buffer;
use super::context;
use crate::report::Report;
use crate::report::core::{Core, Thread};
use crate::report::model::{Map, Module};
use crate::sys::regs::GeneralRegisters;

/// What a minidump is made of.
pub(super) struct Subject<'a> {
    pub(super) report: &'a Report,
    pub(super) core: &'a Core<'a>,
    pub(super) memory: &'a [MINIDUMP_MEMORY_DESCRIPTOR],
}

/// Appends a stream; none where there is nothing to say.
pub(super) type Stream = fn(&Subject<'_>, &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR>;

/// Every stream and what appends it.
pub(super) const ALL: [(Kind, Stream); 12] = [
    (Kind::ThreadListStream, threads),
    (Kind::ModuleListStream, modules),
    (Kind::MemoryListStream, memory),
    (Kind::ExceptionStream, exception),
    (Kind::SystemInfoStream, system),
    (Kind::MiscInfoStream, process),
    (Kind::MemoryInfoListStream, memory_info),
    (Kind::ThreadNamesStream, thread_names),
    (Kind::LinuxProcStatus, status),
    (Kind::LinuxAuxv, auxv),
    (Kind::LinuxMaps, maps),
    (Kind::CrashpadInfoStream, annotations),
];

fn threads(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let mut list = Vec::with_capacity(subject.core.threads.len());
    for thread in &subject.core.threads {
        list.push(MINIDUMP_THREAD {
            thread_id: thread.tid.0 as u32,
            suspend_count: 0,
            priority_class: 0,
            priority: 0,
            teb: 0,
            stack: stack(subject, thread).unwrap_or_default(),
            thread_context: context::push(thread, buffer).unwrap_or_default(),
        });
    }
    Some(buffer.push_list(list))
}

/// The memory that holds what a thread's stack pointer points to, from there on.
fn stack(subject: &Subject<'_>, thread: &Thread<'_>) -> Option<MINIDUMP_MEMORY_DESCRIPTOR> {
    let pointer = GeneralRegisters::from_bytes(thread.general).ok()?.sp();
    let range = subject.memory.iter().find(|range| {
        pointer.wrapping_sub(range.start_of_memory_range) < u64::from(range.memory.data_size)
    })?;
    let skipped = (pointer - range.start_of_memory_range) as u32;
    Some(MINIDUMP_MEMORY_DESCRIPTOR {
        start_of_memory_range: pointer,
        memory: MINIDUMP_LOCATION_DESCRIPTOR {
            data_size: range.memory.data_size - skipped,
            rva: range.memory.rva + skipped,
        },
    })
}

/// The program comes first, as readers expect.
fn modules(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let report = subject.report;
    let mut modules: Vec<&Module> = report.modules.iter().collect();
    modules.sort_by_key(|module| module.low);
    let ends: Vec<u64> = modules
        .iter()
        .skip(1)
        .map(|next| next.low.0)
        .chain([u64::MAX])
        .collect();
    let mut list: Vec<(bool, MINIDUMP_MODULE)> = Vec::with_capacity(modules.len());
    for (module, end) in modules.into_iter().zip(ends) {
        // A file that is mapped twice spans what lies in between, and no reader allows that.
        let size = module.high.0.min(end).saturating_sub(module.low.0);
        let name = if module.path == "[vdso]" {
            "linux-gate.so"
        } else {
            &module.path
        };
        let module_name_rva = buffer.push_text(name);
        let build_id = module.build_id.as_deref().and_then(|id| hex::decode(id).ok());
        let cv_record = build_id.map_or_else(MINIDUMP_LOCATION_DESCRIPTOR::default, |id| {
            let record = [&(CvSignature::Elf as u32).to_le_bytes(), id.as_slice()].concat();
            buffer.push_bytes(&record)
        });
        let is_program = Some(&module.path) == report.process.exe.as_ref();
        list.push((
            is_program,
            MINIDUMP_MODULE {
                base_of_image: module.low.0,
                size_of_image: u32::try_from(size).unwrap_or(u32::MAX),
                module_name_rva,
                cv_record,
                ..MINIDUMP_MODULE::default()
            },
        ));
    }
    list.sort_by_key(|(is_program, _)| !is_program);
    Some(buffer.push_list(list.into_iter().map(|(_, module)| module).collect()))
}

fn memory(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    Some(buffer.push_list(subject.memory.to_vec()))
}

/// Signal, code and address, as Breakpad writes them for Linux.
fn exception(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let Report { signal, fault, .. } = subject.report;
    let (number, tid) = (signal.number?, fault.tid?);
    let thread = subject.core.threads.iter().find(|thread| thread.tid == tid);
    let address = signal.address.or(fault.pc).unwrap_or_default();
    let record = MINIDUMP_EXCEPTION_STREAM {
        thread_id: tid.0 as u32,
        __align: 0,
        exception_record: MINIDUMP_EXCEPTION {
            exception_code: number.0 as u32,
            exception_flags: signal.code.unwrap_or(0) as u32,
            exception_address: address.0,
            ..MINIDUMP_EXCEPTION::default()
        },
        thread_context: thread
            .and_then(|thread| context::push(thread, buffer))
            .unwrap_or_default(),
    };
    Some(buffer.push(record))
}

fn system(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let host = &subject.report.host;
    let kernel = host.kernel.as_deref().unwrap_or_default();
    let mut numbers = kernel.split(['.', '-']).map_while(|part| part.parse().ok());
    let csd_version_rva = buffer.push_text(&format!("Linux {kernel}"));
    Some(buffer.push(MINIDUMP_SYSTEM_INFO {
        processor_architecture: context::architecture() as u16,
        processor_level: 0,
        processor_revision: 0,
        number_of_processors: 0,
        product_type: 0,
        major_version: numbers.next().unwrap_or(0),
        minor_version: numbers.next().unwrap_or(0),
        build_number: numbers.next().unwrap_or(0),
        platform_id: PlatformId::Linux as u32,
        csd_version_rva,
        suite_mask: 0,
        reserved2: 0,
        cpu: minidump_common::format::CPU_INFORMATION { data: [0; 24] },
    }))
}

fn process(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let process = &subject.report.process;
    let seconds = |time: fn(&Thread<'_>) -> u64| {
        let times = subject.core.threads.iter().map(time);
        let us = times.fold(0, u64::saturating_add);
        u32::try_from(us / 1_000_000).unwrap_or(u32::MAX)
    };
    let started = process.start_time.map(|time| time.as_second());
    Some(buffer.push(MINIDUMP_MISC_INFO {
        size_of_info: Buffer::size_of::<MINIDUMP_MISC_INFO>(),
        flags1:
            (MiscInfoFlags::MINIDUMP_MISC1_PROCESS_ID | MiscInfoFlags::MINIDUMP_MISC1_PROCESS_TIMES).bits(),
        process_id: process.pid.0 as u32,
        process_create_time: started.and_then(|time| u32::try_from(time).ok()).unwrap_or(0),
        process_user_time: seconds(|thread| thread.user_us),
        process_kernel_time: seconds(|thread| thread.system_us),
    }))
}

fn memory_info(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let maps = &subject.report.maps;
    let mut list = buffer.push(MINIDUMP_MEMORY_INFO_LIST {
        size_of_header: Buffer::size_of::<MINIDUMP_MEMORY_INFO_LIST>(),
        size_of_entry: Buffer::size_of::<MINIDUMP_MEMORY_INFO>(),
        number_of_entries: maps.len() as u64,
    });
    for map in maps {
        let protection = protection(map).bits();
        let entry = buffer.push(MINIDUMP_MEMORY_INFO {
            base_address: map.low.0,
            allocation_base: map.low.0,
            allocation_protection: protection,
            __alignment1: 0,
            region_size: map.high.0.saturating_sub(map.low.0),
            state: MemoryState::MEM_COMMIT.bits(),
            protection,
            _type: if map.perms.ends_with('p') {
                MemoryType::MEM_PRIVATE.bits()
            } else {
                MemoryType::MEM_MAPPED.bits()
            },
            __alignment2: 0,
        });
        list.data_size += entry.data_size;
    }
    Some(list)
}

fn protection(map: &Map) -> MemoryProtection {
    let has = |permission| map.perms.contains(permission);
    match (has('r'), has('w'), has('x')) {
        (_, true, true) => MemoryProtection::PAGE_EXECUTE_READWRITE,
        (true, false, true) => MemoryProtection::PAGE_EXECUTE_READ,
        (false, false, true) => MemoryProtection::PAGE_EXECUTE,
        (_, true, false) => MemoryProtection::PAGE_READWRITE,
        (true, false, false) => MemoryProtection::PAGE_READONLY,
        (false, false, false) => MemoryProtection::PAGE_NOACCESS,
    }
}

fn thread_names(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let mut list = Vec::new();
    for thread in &subject.report.threads {
        if let Some(name) = &thread.name {
            list.push(MINIDUMP_THREAD_NAME {
                thread_id: thread.tid.0 as u32,
                thread_name_rva: u64::from(buffer.push_text(name)),
            });
        }
    }
    Some(buffer.push_list(list))
}

fn status(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    text(subject.core.status, buffer)
}

fn auxv(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    text(subject.core.auxv, buffer)
}

fn text(bytes: &[u8], buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    (!bytes.is_empty()).then(|| buffer.push_bytes(bytes))
}

/// `/proc/PID/maps` as the model has it.
fn maps(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let line = |map: &Map| {
        format!(
            "{:08x}-{:08x} {} {:08x} {} {} {}\n",
            map.low.0,
            map.high.0,
            map.perms,
            map.offset.unwrap_or(0),
            map.device.as_deref().unwrap_or("00:00"),
            map.inode.unwrap_or(0),
            map.path.as_deref().unwrap_or_default().replace('\n', "\\012")
        )
    };
    let lines: String = subject.report.maps.iter().map(line).collect();
    text(lines.as_bytes(), buffer)
}

/// What the report says in words.
fn annotations(subject: &Subject<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let Report {
        service,
        fault,
        action,
        ..
    } = subject.report;
    let known = [
        ("report", Some(&subject.report.id)),
        ("service", service.name.as_ref()),
        ("cause", fault.cause.as_ref()),
        ("detail", fault.detail.as_ref()),
        ("abort_message", fault.abort_message.as_ref()),
        ("action", action.taken.as_ref()),
        ("reason", action.reason.as_ref()),
        ("fingerprint", subject.report.fingerprint.as_ref()),
    ];
    let mut entries = Vec::new();
    for (key, value) in known {
        if let Some(value) = value {
            entries.push(MINIDUMP_SIMPLE_STRING_DICTIONARY_ENTRY {
                key: buffer.push_utf8(&format!("sickbay.{key}")),
                value: buffer.push_utf8(value),
            });
        }
    }
    let simple_annotations = buffer.push_list(entries);
    Some(buffer.push(MINIDUMP_CRASHPAD_INFO {
        version: MINIDUMP_CRASHPAD_INFO::VERSION,
        report_id: [0; 16].into(),
        client_id: [0; 16].into(),
        simple_annotations,
        module_list: MINIDUMP_LOCATION_DESCRIPTOR::default(),
    }))
}
