//! What a VM's windows in fullscreen have of the screen.

use std::str::FromStr;

/// The rule for the windows of one origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullscreenRule {
    /// What a maximised window has: the stripe and the whole label stay.
    #[default]
    Framed,
    /// The whole output but for a ring and the VM's name.
    Real,
    /// They are not in fullscreen.
    Deny,
}

/// A word that is none of the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is none of framed, real and deny")]
pub struct NoSuchRule(String);

impl FromStr for FullscreenRule {
    type Err = NoSuchRule;

    fn from_str(text: &str) -> Result<Self, NoSuchRule> {
        match text {
            "framed" => Ok(Self::Framed),
            "real" => Ok(Self::Real),
            "deny" => Ok(Self::Deny),
            other => Err(NoSuchRule(other.escape_debug().to_string())),
        }
    }
}
