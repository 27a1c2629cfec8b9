//! Reports for tests: what typical incidents look like, and one with every field.

use indexmap::IndexMap;

use super::model::*;
use crate::sys::{Pid, SigNo, Tid};

const ID: &str = "20261123T055612Z-api-4711-7f3a";

/// Every sample.
pub(crate) fn all() -> Vec<Report> {
    vec![
        minimal(),
        null_write(),
        terminated(),
        killed(),
        stack_overflow(),
        captured(),
        full(),
    ]
}

/// What every report has, and nothing else.
pub(crate) fn minimal() -> Report {
    let mut report = Report::new(
        ID,
        "2026-11-23T05:56:12Z".parse().unwrap(),
        Process::new(Pid(4711)),
    );
    report.signal = signal(SigNo::SEGV);
    report
}

/// A service of 201 threads, one of which writes through a null pointer.
pub(crate) fn null_write() -> Report {
    let mut report = service(minimal());
    report.signal = Signal {
        code: Some(1),
        code_name: text("SEGV_MAPERR"),
        address: Some(Address(0x8)),
        ..signal(SigNo::SEGV)
    };
    report.fault = Fault {
        tid: Some(Tid(4828)),
        thread_name: text("worker-117"),
        cause: text("null pointer dereference"),
        detail: text("write to 0x8"),
        access: Some(Access::Write),
        pc: Some(Address(0x5581_0000_11b9)),
        instruction: Instruction {
            bytes: Some(vec![0xc7, 0x07, 0x2a, 0, 0, 0].into()),
            text: text("mov dword ptr [rdi],2Ah"),
            operands: vec![Operand {
                register: text("rdi"),
                address: None,
                value: Some(Address(8)),
            }],
        },
        abort_message: None,
    };
    report.action = Action {
        requested: text("deliver"),
        taken: text("deliver"),
        reason: text("no rule matched; the default is to deliver"),
        ..Action::default()
    };
    report.occurrences = Some(4);
    report.fingerprint = text("5d1c0a9be2f7");
    let mut faulting = thread(4828, "worker-117", "R", "");
    faulting.faulting = true;
    faulting.registers = registers();
    faulting.truncated = text("no unwind tables were read");
    faulting.stack = Stack {
        pointer: Some(Address(0x7f10_75bf_ee10)),
        low: Some(Address(0x7f10_7540_0000)),
        high: Some(Address(0x7f10_75c0_0000)),
        captured: Some(4720),
        file: text("memory.zst"),
        offset: Some(0),
    };
    report.threads.push(faulting);
    report.threads.push(thread(4711, "api", "S", "futex"));
    for number in (1..=200).filter(|number| *number != 117) {
        let syscall = if number <= 14 { "futex" } else { "epoll_wait" };
        let mut other = thread(4711 + number, &format!("worker-{number}"), "S", syscall);
        if number <= 14 {
            other.waiting = Waiting {
                kind: text("mutex"),
                address: Some(Address(0x5581_0000_4040)),
                owner_tid: Some(Tid(4828)),
            };
        }
        report.threads.push(other);
    }
    report.threads.push(thread(4912, "reaper", "S", "nanosleep"));
    report.memory = vec![
        Memory {
            register: "rip".into(),
            address: Address(0x5581_0000_11a9),
            bytes: (0u8..48).collect::<Vec<_>>().into(),
        },
        Memory {
            register: "rsp".into(),
            address: Address(0x7f10_75bf_ee00),
            bytes: [&b"GET /index.html HTTP/1.1\r\n\x1b[2J\0\0"[..], &[0; 64]]
                .concat()
                .into(),
        },
    ];
    report.code = [
        (0x5581_0000_11b1, &[0x48, 0x89, 0xfb][..], "mov rbx, rdi"),
        (0x5581_0000_11b4, &[0xe8, 0x17, 0, 0, 0], "call 00005581000011D0h"),
        (
            0x5581_0000_11b9,
            &[0xc7, 0x07, 0x2a, 0, 0, 0],
            "mov dword ptr [rdi],2Ah",
        ),
        (0x5581_0000_11bf, &[0xc3], "ret"),
    ]
    .map(|(address, bytes, instruction)| CodeLine {
        address: Address(address),
        bytes: Some(bytes.into()),
        text: text(instruction),
    })
    .to_vec();
    report.logs = vec![
        LogLine {
            time: Some("2026-11-23T05:56:11.5Z".parse().unwrap()),
            source: text("stderr"),
            priority: Some(4),
            text: "header of 0 bytes from 10.0.0.7".into(),
        },
        LogLine {
            text: "\x1b[31mlast words\x1b[0m\nforged: line".into(),
            ..LogLine::default()
        },
    ];
    report.maps = maps();
    report.modules = modules();
    report.files = vec![
        OpenFile {
            fd: 0,
            target: "/dev/null".into(),
        },
        OpenFile {
            fd: 7,
            target: "socket:[40012]".into(),
        },
    ];
    report.limits = IndexMap::from([
        limit("Max core file size", Some(0), None, Some("bytes")),
        limit("Max open files", Some(1024), Some(524_288), Some("files")),
    ]);
    report.pause = Pause {
        faulting_us: Some(4210),
        others_us: Some(3870),
        phases: IndexMap::from([("registers".into(), 310), ("stacks".into(), 1650)]),
    };
    report.attachments = vec![Attachment {
        kind: "memory".into(),
        file: "memory.zst".into(),
        bytes: Some(90_311),
    }];
    report.missing("frames of all threads", "no unwinder in this version");
    report
}

/// A termination request from a process that still existed.
pub(crate) fn terminated() -> Report {
    let mut report = service(minimal());
    report.signal = Signal {
        code: Some(0),
        code_name: text("SI_USER"),
        sender: Sender {
            pid: Some(Pid(812)),
            uid: Some(0),
            comm: text("deploy.sh"),
        },
        ..signal(SigNo::TERM)
    };
    report.fault = Fault {
        tid: Some(Tid(4711)),
        thread_name: text("api"),
        cause: text("sent by another process"),
        detail: text("SIGTERM from deploy.sh (pid 812, uid 0)"),
        ..Fault::default()
    };
    report.action = Action {
        requested: text("suppress"),
        taken: text("suppress"),
        reason: text("rule 2 of service api matches SIGTERM"),
        evidence: vec!["si_code 0: another process sent it".into()],
        rule: text("2"),
    };
    report
}

/// A process that the kernel killed for want of memory.
pub(crate) fn killed() -> Report {
    let mut report = service(minimal());
    report.kind = Kind::Exit;
    report.signal = signal(SigNo::KILL);
    report.exit = Exit {
        status: None,
        signal: Some(SigNo::KILL),
        core_dumped: Some(false),
        oom: Some(true),
    };
    report.fault.cause = text("out of memory");
    report.fault.detail = text("oom_kill of /system.slice/api.service rose from 0 to 1");
    report.log_note = text("stderr was not captured");
    report
}

/// Endless recursion on the main thread.
pub(crate) fn stack_overflow() -> Report {
    let mut report = service(minimal());
    report.signal = Signal {
        code: Some(2),
        code_name: text("SEGV_ACCERR"),
        address: Some(Address(0x7f10_753f_fff8)),
        ..signal(SigNo::SEGV)
    };
    report.fault = Fault {
        tid: Some(Tid(4711)),
        thread_name: text("api"),
        cause: text("stack overflow"),
        detail: text("write to 0x7f10753ffff8, in the guard page below the stack"),
        access: Some(Access::Write),
        pc: Some(Address(0x5581_0000_1200)),
        ..Fault::default()
    };
    let mut faulting = thread(4711, "api", "R", "");
    faulting.faulting = true;
    faulting.frames = vec![
        Frame {
            inlined: true,
            ..frame("checksum", 12)
        },
        frame("descend", 41),
        frame("descend", 41),
        Frame {
            kind: FrameKind::Signal,
            ..Frame::default()
        },
        Frame {
            pc: Address(0x7f10_0000_1234),
            kind: FrameKind::Jit,
            ..Frame::default()
        },
    ];
    faulting.truncated = text("256 frames shown at most");
    report.threads.push(faulting);
    report.maps = maps();
    report.modules = modules();
    report
}

/// A live process, examined because somebody asked.
pub(crate) fn captured() -> Report {
    let mut report = service(minimal());
    report.kind = Kind::Capture;
    report.signal = Signal::default();
    report.threads = vec![thread(4711, "api", "S", "futex"), thread(4712, "gc", "D", "")];
    report
}

/// A report in which every field has a value; written out so that a new field does not compile until it is here.
pub(crate) fn full() -> Report {
    let null = null_write();
    Report {
        schema: SCHEMA.into(),
        id: ID.into(),
        time: null.time,
        kind: Kind::Fault,
        host: null.host,
        service: null.service,
        process: Process {
            tgid_ns: Some(Pid(12)),
            ..null.process
        },
        signal: Signal {
            sender: terminated().signal.sender,
            ..null.signal
        },
        fault: Fault {
            abort_message: text("free(): invalid pointer"),
            instruction: Instruction {
                operands: vec![Operand {
                    register: text("rdi"),
                    address: Some(Address(8)),
                    value: Some(Address(9)),
                }],
                ..null.fault.instruction
            },
            ..null.fault
        },
        exit: Exit {
            status: Some(1),
            signal: Some(SigNo::SEGV),
            core_dumped: Some(true),
            oom: Some(false),
        },
        action: terminated().action,
        threads: vec![Thread {
            tid: Tid(4828),
            name: text("worker-117"),
            state: text("R"),
            faulting: true,
            registers: registers(),
            vector: IndexMap::from([("xmm0".into(), vec![0; 16].into())]),
            frames: vec![Frame {
                inlined: true,
                kind: FrameKind::Code,
                ..frame("parse_header", 212)
            }],
            truncated: text("the stack was captured in part"),
            syscall: Syscall {
                number: Some(202),
                name: text("futex"),
                args: vec![Address(1)],
            },
            waiting: Waiting {
                kind: text("mutex"),
                address: Some(Address(1)),
                owner_tid: Some(Tid(1)),
            },
            stack: null.threads[0].stack.clone(),
            cpu_us: Some(120_000),
        }],
        locks: vec![Lock {
            address: Address(0x5581_0000_4040),
            kind: text("pthread_mutex"),
            owner_tid: Some(Tid(4828)),
            owner_ended: true,
            readers: Some(2),
            waiters: vec![Tid(4712), Tid(4713)],
        }],
        deadlocks: vec![Deadlock {
            threads: vec![Tid(4712), Tid(4713)],
            detail: text("worker-0 (4712) waits for worker-1 (4713) to end, which waits for worker-0 to end"),
        }],
        memory: null.memory,
        code: null.code,
        modules: null.modules,
        maps: null.maps,
        files: null.files,
        limits: IndexMap::from([limit("Max open files", Some(1024), Some(524_288), Some("files"))]),
        environment: IndexMap::from([("LANG".into(), "C.UTF-8".into())]),
        logs: null.logs,
        log_note: text("the journal was not asked"),
        pause: null.pause,
        incomplete: null.incomplete,
        fingerprint: null.fingerprint,
        occurrences: null.occurrences,
        attachments: null.attachments,
    }
}

fn service(mut report: Report) -> Report {
    report.host = Host {
        hostname: text("web-3"),
        boot_id: text("7c9f1a30-5f0e-4b7d-9a0c-3d1f8f6f0a11"),
        kernel: text("6.12.48"),
        arch: text("x86_64"),
    };
    report.service = Service {
        name: text("api"),
        unit: text("api.service"),
        invocation_id: text("0f9d3b6a7a2b4b8f8c51f8f1b6f0a001"),
        cgroup: text("/system.slice/api.service"),
    };
    report.process = Process {
        ppid: Some(Pid(1)),
        uid: Some(998),
        gid: Some(998),
        comm: text("api"),
        exe: text("/usr/bin/api-server"),
        build_id: text("6f1e2d3c4b5a69788796a5b4c3d2e1f001122334"),
        cmdline: vec![
            "/usr/bin/api-server".into(),
            "--listen".into(),
            "[::]:8080".into(),
        ],
        start_time: Some("2026-11-23T02:43:12Z".parse().unwrap()),
        uptime_us: Some(11_580_000_000),
        threads: Some(201),
        ..report.process
    };
    report
}

fn signal(number: SigNo) -> Signal {
    Signal {
        number: Some(number),
        name: Some(number.to_string()),
        ..Signal::default()
    }
}

fn thread(tid: i32, name: &str, state: &str, syscall: &str) -> Thread {
    let mut thread = Thread::new(Tid(tid));
    thread.name = text(name);
    thread.state = text(state);
    if !syscall.is_empty() {
        thread.syscall.name = text(syscall);
    }
    thread
}

fn frame(symbol: &str, line: u32) -> Frame {
    Frame {
        pc: Address(0x5581_0000_1200),
        sp: Some(Address(0x7f10_75bf_ee10)),
        module: text("/usr/bin/api-server"),
        build_id: text("6f1e2d3c4b5a69788796a5b4c3d2e1f001122334"),
        offset: Some(Address(0x1200)),
        symbol: text(symbol),
        symbol_offset: Some(Address(0x1c)),
        file: text("/build/src/http.cpp"),
        line: Some(line),
        found_by: text("cfi"),
        ..Frame::default()
    }
}

fn registers() -> IndexMap<String, Address> {
    [
        ("rax", 0),
        ("rbx", 0x1122_3344_5566_7788),
        ("rcx", 0x7f10_7612_3456),
        ("rdx", 2),
        ("rsi", 0x7f10_75bf_ee40),
        ("rdi", 8),
        ("rip", 0x5581_0000_11b9),
        ("rsp", 0x7f10_75bf_ee10),
        ("rflags", 0x10246),
    ]
    .map(|(name, value)| (name.to_owned(), Address(value)))
    .into_iter()
    .collect()
}

fn maps() -> Vec<Map> {
    let map = |low, high, perms: &str, path: Option<&str>| Map {
        low: Address(low),
        high: Address(high),
        perms: perms.into(),
        offset: Some(0),
        device: text("fe:01"),
        inode: Some(1_310_722),
        path: path.map(str::to_owned),
    };
    vec![
        map(
            0x5581_0000_0000,
            0x5581_0000_1000,
            "r--p",
            Some("/usr/bin/api-server"),
        ),
        map(
            0x5581_0000_1000,
            0x5581_0000_4000,
            "r-xp",
            Some("/usr/bin/api-server"),
        ),
        map(0x5581_0020_0000, 0x5581_0022_1000, "rw-p", Some("[heap]")),
        map(0x7f10_753f_f000, 0x7f10_7540_0000, "---p", None),
        map(0x7f10_7540_0000, 0x7f10_75c0_0000, "rw-p", None),
    ]
}

fn modules() -> Vec<Module> {
    vec![Module {
        path: "/usr/bin/api-server".into(),
        build_id: text("6f1e2d3c4b5a69788796a5b4c3d2e1f001122334"),
        low: Address(0x5581_0000_0000),
        high: Address(0x5581_0000_4000),
    }]
}

fn limit(name: &str, soft: Option<u64>, hard: Option<u64>, unit: Option<&str>) -> (String, Limit) {
    (
        name.to_owned(),
        Limit {
            soft,
            hard,
            unit: unit.map(str::to_owned),
        },
    )
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}
