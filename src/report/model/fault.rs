//! What happened, to which thread, and what was done about it.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::value::{Address, HexBytes, is_default};
use crate::sys::{Pid, SigNo, Tid};

/// The signal, as `siginfo_t` described it (sigaction(2)).
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Signal {
    /// Its number. Absent where no signal was involved: a capture on demand, an exit with a status.
    pub number: Option<SigNo>,
    /// Its name, for example `SIGSEGV`.
    pub name: Option<String>,
    /// `si_code`.
    pub code: Option<i32>,
    /// The name of `si_code`, for example `SEGV_MAPERR`.
    pub code_name: Option<String>,
    /// `si_addr`, for the signals and codes that have one.
    pub address: Option<Address>,
    /// Who sent it, if a process did.
    #[serde(skip_serializing_if = "is_default")]
    pub sender: Sender,
}

/// The process that sent a signal.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sender {
    /// `si_pid`.
    pub pid: Option<Pid>,
    /// `si_uid`.
    pub uid: Option<u32>,
    /// Its name, if it still existed.
    pub comm: Option<String>,
}

/// What happened, and to which thread.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// The thread that took the signal.
    pub tid: Option<Tid>,
    /// Its name.
    pub thread_name: Option<String>,
    /// The cause in a few words, the same for all faults of that sort: `null pointer dereference`.
    pub cause: Option<String>,
    /// The cause in this case: `null pointer write at 0x8`.
    pub detail: Option<String>,
    /// What the instruction did to the address.
    pub access: Option<Access>,
    /// The program counter.
    pub pc: Option<Address>,
    /// The instruction at `pc`.
    #[serde(skip_serializing_if = "is_default")]
    pub instruction: Instruction,
    /// What the program said when it aborted.
    pub abort_message: Option<String>,
}

/// What an instruction does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// It loads.
    Read,
    /// It stores.
    Write,
    /// It fetches instructions.
    Execute,
    /// An access that this version does not know.
    #[serde(other)]
    Unknown,
}

/// One machine instruction.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instruction {
    /// Its encoding.
    pub bytes: Option<HexBytes>,
    /// It in assembly language.
    pub text: Option<String>,
    /// The registers and memory that it uses, with their values before it ran.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operands: Vec<Operand>,
}

/// One instruction of the code around the fault.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CodeLine {
    /// Where it is.
    pub address: Address,
    /// Its encoding.
    pub bytes: Option<HexBytes>,
    /// It in assembly language.
    pub text: Option<String>,
}

/// What an instruction uses: a register or memory.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operand {
    /// The register's name.
    pub register: Option<String>,
    /// The address, if it is memory.
    pub address: Option<Address>,
    /// The content, if it is known and at most 64 bits wide.
    pub value: Option<Address>,
}

/// How a process ended (wait(2)), in a record of kind `exit`.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exit {
    /// The exit status, if it ended by itself.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<SigNo>,
    /// Whether the kernel wrote a core.
    pub core_dumped: Option<bool>,
    /// Whether the kernel killed it for want of memory, as far as its control group's counters tell.
    pub oom: Option<bool>,
}

/// What was done about a fault.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Action {
    /// What the policy asked for.
    pub requested: Option<String>,
    /// What was done.
    pub taken: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// What the decision rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The rule that decided.
    pub rule: Option<String>,
}
