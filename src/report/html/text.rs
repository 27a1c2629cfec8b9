//! Text that is harmless in a page.

use std::fmt;

use crate::report::escape::escaped;
use crate::report::model::Address;

/// Text that a process may have chosen, without control characters and invisible formatting. The template escapes
/// what means something in HTML.
///
/// The pieces of a page are made of this type alone, so that no field can get into it as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(escaped(text).to_string())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Address> for Text {
    fn from(address: Address) -> Self {
        Self(address.to_string())
    }
}

impl From<fmt::Arguments<'_>> for Text {
    fn from(text: fmt::Arguments<'_>) -> Self {
        text.to_string().into()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
