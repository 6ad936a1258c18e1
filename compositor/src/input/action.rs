//! What a key chord of the compositor does.

use std::fmt;
use std::str::FromStr;

use super::placing::Placement;
use crate::shell::workspaces::MAX_WORKSPACES;
use crate::shell::zone::Direction;

/// What the compositor does for a chord. Of a window, it is the one with the keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Chooses among the windows of the workspace; `true`: forwards, beginning with the one used before this.
    SwitchWindow(bool),
    /// Asks the window to close.
    Close,
    /// Maximises the window, or puts it back.
    Maximize,
    /// Takes the window off the screen.
    Minimize,
    /// Lets the window believe that it has the screen, or puts it back. Its label stays.
    Fullscreen,
    /// Moves the window one step towards a half or quarter, or in columns one place on or back.
    Snap(Direction),
    /// Moves or resizes the window with keys.
    Place(Placement),
    /// Keeps the window above others, or not any longer: a window of the GUI VM itself, that is.
    AlwaysOnTop,
    /// Lets the windows of the workspace stand in columns, or float again.
    Columns,
    /// Brings a workspace onto the screen, from 0.
    Workspace(usize),
    /// Brings the workspace that is so many further onto the screen.
    WorkspaceBeside(isize),
    /// Puts the window onto a workspace, from 0.
    MoveToWorkspace(usize),
    /// Puts the window onto the workspace that is so many further, and goes there with it.
    MoveToWorkspaceBeside(isize),
    /// Goes to the output beside this one; `true`: to the right.
    OutputBeside(bool),
    /// Puts the window onto the output beside its own, and goes there with it.
    MoveToOutputBeside(bool),
    /// Takes what is copied in the VM with the keyboard into the clipboard between VMs.
    CopyBetween,
    /// Puts what is in the clipboard between VMs into that of the VM with the keyboard.
    PasteBetween,
    /// Forgets what is in the clipboard between VMs.
    EmptyBetween,
    /// Takes pointer and shortcuts back from the client that locked or confined the one, or inhibits the others.
    ReleaseInput,
    /// Opens the trusted panel.
    SecureAttention,
    /// While its key is held, shows labels alone and nothing of what any window shows.
    XRay,
    /// Starts a program of the GUI VM.
    Run(Vec<String>),
    /// Reads the configuration again.
    Reload,
    /// Ends the compositor.
    Quit,
    /// Keeps the chord from the windows, and does nothing.
    Nothing,
}

/// A word that is no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// No action has this name.
    #[error("no action is called \"{0}\"; docs/configuration.md lists them")]
    Unknown(String),
    /// There is no such workspace.
    #[error("workspaces are numbered from 1 to {MAX_WORKSPACES}")]
    Workspace,
}

/// The actions that need no more than their name.
const NAMES: [(&str, Action); 32] = [
    ("next-window", Action::SwitchWindow(true)),
    ("previous-window", Action::SwitchWindow(false)),
    ("close", Action::Close),
    ("maximize", Action::Maximize),
    ("minimize", Action::Minimize),
    ("fullscreen", Action::Fullscreen),
    ("snap-left", Action::Snap(Direction::Left)),
    ("snap-right", Action::Snap(Direction::Right)),
    ("snap-up", Action::Snap(Direction::Up)),
    ("snap-down", Action::Snap(Direction::Down)),
    ("move", Action::Place(Placement::Move)),
    ("resize", Action::Place(Placement::Resize)),
    ("always-on-top", Action::AlwaysOnTop),
    ("columns", Action::Columns),
    ("next-workspace", Action::WorkspaceBeside(1)),
    ("previous-workspace", Action::WorkspaceBeside(-1)),
    ("move-to-next-workspace", Action::MoveToWorkspaceBeside(1)),
    ("move-to-previous-workspace", Action::MoveToWorkspaceBeside(-1)),
    ("next-output", Action::OutputBeside(true)),
    ("previous-output", Action::OutputBeside(false)),
    ("move-to-next-output", Action::MoveToOutputBeside(true)),
    ("move-to-previous-output", Action::MoveToOutputBeside(false)),
    ("copy-between-vms", Action::CopyBetween),
    ("paste-between-vms", Action::PasteBetween),
    ("empty-clipboard", Action::EmptyBetween),
    ("release-input", Action::ReleaseInput),
    ("secure-attention", Action::SecureAttention),
    ("x-ray", Action::XRay),
    ("reload", Action::Reload),
    ("quit", Action::Quit),
    ("nothing", Action::Nothing),
    ("maximise", Action::Maximize),
];

/// Makes an action of the number of a workspace, from 0.
type Numbered = fn(usize) -> Action;

/// The actions that are followed by the number of a workspace.
const NUMBERED: [(&str, Numbered); 2] =
    [("workspace-", Action::Workspace), ("move-to-workspace-", Action::MoveToWorkspace)];

impl Action {
    /// Whether a client that inhibits the shortcuts gets the keys instead.
    #[must_use]
    pub fn can_be_inhibited(&self) -> bool {
        // Without the first there would be no way out, nor one to tell a label from a picture of one; the others are trusted, and
        // no VM is to take them from the user.
        let (out, between) = (
            matches!(self, Self::ReleaseInput | Self::SecureAttention | Self::XRay),
            matches!(self, Self::CopyBetween | Self::PasteBetween | Self::EmptyBetween),
        );
        !out && !between
    }

    /// The names that the configuration may use, the numbered ones with their first number.
    pub fn names() -> impl Iterator<Item = String> {
        let numbered = NUMBERED.iter().map(|(prefix, _)| format!("{prefix}1"));
        NAMES.iter().map(|(name, _)| (*name).to_owned()).chain(numbered)
    }
}

impl FromStr for Action {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        if let Some((_, action)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(action.clone());
        }
        let numbered = NUMBERED.iter().find_map(|(prefix, make)| Some((text.strip_prefix(prefix)?, make)));
        let Some((number, make)) = numbered else { return Err(ActionError::Unknown(text.to_owned())) };
        match number.parse::<usize>() {
            Ok(number) if (1..=MAX_WORKSPACES).contains(&number) => Ok(make(number - 1)),
            _ => Err(ActionError::Workspace),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) => write!(f, "run {command:?}"),
            Self::Workspace(index) => write!(f, "workspace-{}", index + 1),
            Self::MoveToWorkspace(index) => write!(f, "move-to-workspace-{}", index + 1),
            other => {
                f.write_str(NAMES.iter().find(|(_, action)| action == other).map_or("", |(name, _)| name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_an_action_and_every_action_has_its_name() {
        for name in Action::names() {
            let action: Action = name.parse().unwrap();
            assert_eq!(action.to_string().parse(), Ok(action));
        }
    }

    #[test]
    fn what_is_no_action_is_refused_with_the_reason() {
        assert_eq!("explode".parse::<Action>(), Err(ActionError::Unknown("explode".to_owned())));
        for number in ["workspace-0", "workspace-10", "workspace-", "move-to-workspace-x"] {
            assert_eq!(number.parse::<Action>(), Err(ActionError::Workspace), "{number}");
        }
    }
}
