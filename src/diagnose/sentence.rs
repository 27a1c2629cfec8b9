//! The parts of sentences that the families of causes share.

use super::subject::Subject;
use super::{Access, Cause, Finding};

impl Subject<'_> {
    /// A finding about an address: "write to read-only memory: `mov [rdi], eax`, rdi = 0x4010, 0x4010 is in ...".
    pub(super) fn finding(
        &self,
        cause: Cause,
        doing: &str,
        sentence: String,
        access: Option<Access>,
        address: u64,
    ) -> Finding {
        Finding::new(cause, format!("{}, {sentence}", self.with_instruction(doing))).at(access, address)
    }

    /// "divide by zero: `idiv ecx`, ecx = 0x0"; without the instruction where that is not known.
    pub(super) fn with_instruction(&self, doing: &str) -> String {
        match self.instruction_text() {
            Some(text) => format!("{doing}: {text}"),
            None => doing.to_owned(),
        }
    }

    /// The instruction and what it works on: "`mov dword ptr [rdi+8], 2ah`, rdi = 0x0".
    pub(super) fn instruction_text(&self) -> Option<String> {
        let instruction = self.instruction.as_ref()?;
        let values = instruction.register_values();
        let separator = if values.is_empty() { "" } else { ", " };
        Some(format!("`{}`{separator}{values}", instruction.text))
    }

    /// Where an address is: "0x4010 is in /usr/lib/libc.so.6 (r--p)".
    pub(super) fn place(&self, address: u64) -> String {
        match self.maps.find(address) {
            Some(mapping) => format!(
                "{address:#x} is in {} ({})",
                mapping.described(),
                mapping.permissions()
            ),
            None if self.maps.is_empty() => format!("the address is {address:#x}"),
            None => format!("{address:#x} is not mapped"),
        }
    }

    /// Who jumped, if the call left its return address on top of the stack: ", called from before 0x401122".
    pub(super) fn caller(&self) -> String {
        let is_code = |address: &u64| self.maps.find(*address).is_some_and(|mapping| mapping.executable);
        match self.top_of_stack.filter(is_code) {
            Some(address) => format!(", called from before {address:#x}"),
            None => String::new(),
        }
    }
}

/// What was done, as a noun.
pub(super) const fn doing(access: Option<Access>) -> &'static str {
    match access {
        Some(Access::Read) => "read",
        Some(Access::Write) => "write",
        Some(Access::Execute) => "execution",
        None => "access",
    }
}
