//! The name of a VM, as the host's configuration writes it.
//!
//! The character set is strict, so that a name means the same to every program that sees it: it is never
//! quoted, escaped, expanded or compared without regard to case.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name of a VM, in bytes.
pub const MAX_VM_NAME_LEN: usize = 48;

/// A VM's name: one to 48 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit, and not `local`,
/// which stands for clients of the GUI VM itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VmName(String);

/// Why a string is not the name of a VM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VmNameError {
    /// The string is empty or longer than [`MAX_VM_NAME_LEN`].
    #[error("A VM's name has 1 to {MAX_VM_NAME_LEN} characters, this one has {0}")]
    Length(usize),
    /// A character outside the allowed set.
    #[error("A VM's name has only a-z, 0-9, '-' and '_' and begins with a letter or digit")]
    Charset,
    /// The name that stands for the GUI VM's own clients.
    #[error("The name 'local' stands for the GUI VM's own clients")]
    Reserved,
}

impl VmName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VmName {
    type Err = VmNameError;

    fn from_str(text: &str) -> Result<Self, VmNameError> {
        if text.is_empty() || text.len() > MAX_VM_NAME_LEN {
            return Err(VmNameError::Length(text.len()));
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let first_plain = text.bytes().next().is_some_and(plain);
        if !first_plain || !text.bytes().all(|b| plain(b) || b == b'-' || b == b'_') {
            return Err(VmNameError::Charset);
        }
        if text == "local" {
            return Err(VmNameError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for VmName {
    type Error = VmNameError;

    fn try_from(text: String) -> Result<Self, VmNameError> {
        text.parse()
    }
}

impl From<VmName> for String {
    fn from(name: VmName) -> Self {
        name.0
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_taken() {
        for name in ["work", "web-1", "a", "0", "x_y", &"a".repeat(MAX_VM_NAME_LEN)] {
            assert_eq!(name.parse::<VmName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        assert_eq!("".parse::<VmName>(), Err(VmNameError::Length(0)));
        assert_eq!("a".repeat(49).parse::<VmName>(), Err(VmNameError::Length(49)));
        for name in ["Work", "-a", "_a", "a b", "a/b", "a.b", "é", "a\0", "a\n", "$x"] {
            assert_eq!(name.parse::<VmName>(), Err(VmNameError::Charset), "{name:?}");
        }
        assert_eq!("local".parse::<VmName>(), Err(VmNameError::Reserved));
    }

    #[test]
    fn a_bad_name_is_refused_when_read_from_a_file() {
        assert!(serde_json::from_str::<VmName>("\"../etc\"").is_err());
    }
}
