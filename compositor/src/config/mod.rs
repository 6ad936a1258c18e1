//! The configuration: which VMs there are, how their windows are labelled and what they may use; and
//! what keys do.
//!
//! # Model
//!
//! One TOML file, documented key by key in `docs/configuration.md`. It is read in two steps: the text
//! becomes a document that remembers where everything stands ([`document`]), and the document becomes a
//! [`Config`] when the rules hold that no single key can break, such as that no two VMs look alike. An error
//! of either step is a [`ConfigError`] that shows file, line and the line itself.
//!
//! # Invariants
//!
//! * A [`Config`] is valid: no two origins in it share a colour or labels that look alike, the local one
//!   included, so a colour on the screen means one VM.
//! * Nothing in the file is ignored: an unknown key is an error.
//! * A running compositor always has a valid configuration: [`Live::reload`] keeps the last good one, and
//!   remembers the error until a reload succeeds.

pub mod capture;
pub mod clipboard;
pub mod document;
pub mod error;
pub mod fullscreen;
pub mod guest;
pub mod input;
pub mod keys;
pub mod lint;
pub mod live;
pub mod look;
pub mod outputs;
pub mod session;
pub mod theme;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use vitrail_protocols::{Limits, Policy, VmName};

pub use self::capture::{CaptureConfig, CaptureRule};
pub use self::error::{ConfigError, Diagnostic};
pub use self::fullscreen::FullscreenRule;
pub use self::guest::{InputRules, PrivacyRules};
pub use self::input::InputConfig;
pub use self::live::Live;
pub use self::look::{AnimationConfig, BackgroundConfig};
pub use self::session::SessionConfig;
pub use self::theme::ThemeConfig;
pub use crate::trust::style::{Label, LabelStyle, Mark, Pattern, Rgb};

use self::document::Document;
use crate::input::chord::Bindings;
use crate::shell::outputs::Settings;
use crate::shell::workspaces::Workspace;
use crate::trust::clipboard::rules::Rules;
use crate::trust::origin::Origin;
use crate::trust::title::Charset;

/// The configuration that is used where none is given.
pub const DEFAULT_CONFIG: &str = include_str!("../../../assets/vitrail.toml");

/// The gate that the compositor starts, and what the compositor checks on its behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateConfig {
    /// Program and leading arguments.
    pub command: Vec<String>,
    /// Where the gate accepts streams of the hub.
    pub listen: Option<String>,
    /// Where the gate looks for the shared regions of the VMs.
    pub regions: Vec<String>,
    /// The user that the hub runs as; `None`: the gate's own.
    pub hub_uid: Option<u32>,
}

/// What the configuration says of one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmConfig {
    /// How its windows are labelled.
    pub style: LabelStyle,
    /// Which characters of its windows' titles are shown.
    pub titles: Charset,
    /// What it may use.
    pub limits: Limits,
    /// Which globals it sees.
    pub policy: Arc<Policy>,
    /// What pictures that local programs take show of it.
    pub capture: CaptureRule,
    /// What it may do with the devices.
    pub input: InputRules,
    /// What its windows in fullscreen have of the screen.
    pub fullscreen: FullscreenRule,
    /// What it is told of the person and the screens.
    pub privacy: PrivacyRules,
}

/// A configuration that was read and found valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How the GUI VM's own windows are labelled.
    pub local: LabelStyle,
    /// Which characters of their titles are shown.
    pub local_titles: Charset,
    /// What their windows in fullscreen have of the screen.
    pub local_fullscreen: FullscreenRule,
    /// What the GUI VM's own clients may use, and VMs that do not say otherwise.
    pub default_limits: Limits,
    /// The VMs that are let in.
    pub vms: BTreeMap<VmName, VmConfig>,
    /// What key chords do.
    pub keys: Bindings,
    /// How the devices are set up.
    pub input: InputConfig,
    /// How things look that are the compositor's own.
    pub theme: ThemeConfig,
    /// The workspaces, at least one.
    pub workspaces: Vec<Workspace>,
    /// How outputs are to be, by the names of their connectors.
    pub outputs: BTreeMap<String, Settings>,
    /// The gate to start; `None`: no gate is started.
    pub gate: Option<GateConfig>,
    /// Which local programs take pictures.
    pub capture: CaptureConfig,
    /// What may be pasted from one VM into another.
    pub clipboard: Rules,
    /// What `vitrail-session` does; the compositor itself does nothing with it.
    pub session: SessionConfig,
    /// What is behind the windows.
    pub background: BackgroundConfig,
    /// How windows come to their places.
    pub animation: AnimationConfig,
}

impl Config {
    /// Reads a configuration from `text`. `path` is only named in errors.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with the place of the first mistake.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let document = Document::parse(text)
            .map_err(|mistake| Diagnostic::new(path, text, &mistake.span, mistake.message));
        let config = document.and_then(|document| {
            document.check().map_err(|mistake| Diagnostic::new(path, text, &mistake.span, mistake.message))
        });
        config.map_err(ConfigError::Invalid)
    }

    /// Reads a configuration from a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Read`] if the file cannot be read as UTF-8 text, else as [`Config::parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// The configuration that comes with the program.
    ///
    /// # Errors
    ///
    /// None in a program whose tests pass.
    pub fn load_default() -> Result<Self, ConfigError> {
        Self::parse(Path::new("built-in vitrail.toml"), DEFAULT_CONFIG)
    }

    /// The label of an origin; `None` for a VM that is not configured, which must not be let in.
    #[must_use]
    pub fn style(&self, origin: &Origin) -> Option<&LabelStyle> {
        match origin {
            Origin::Local => Some(&self.local),
            Origin::Vm(name) => self.vms.get(name).map(|vm| &vm.style),
        }
    }

    /// Which characters of an origin's titles are shown.
    #[must_use]
    pub fn titles(&self, origin: &Origin) -> Charset {
        match origin {
            Origin::Local => self.local_titles,
            Origin::Vm(name) => self.vms.get(name).map_or(Charset::Ascii, |vm| vm.titles),
        }
    }

    /// The limits of an origin. The GUI VM's own clients, and VMs that are not configured, are held to the
    /// defaults.
    #[must_use]
    pub fn limits(&self, origin: &Origin) -> Limits {
        match origin {
            Origin::Local => self.default_limits.clone(),
            Origin::Vm(name) => self.vms.get(name).map_or(&self.default_limits, |vm| &vm.limits).clone(),
        }
    }

    /// Which globals a VM sees; `None` for the GUI VM's own clients, which see all that are not the gate's alone, and for a
    /// VM that is not configured, which must not be let in.
    #[must_use]
    pub fn policy(&self, origin: &Origin) -> Option<&Arc<Policy>> {
        match origin {
            Origin::Local => None,
            Origin::Vm(name) => self.vms.get(name).map(|vm| &vm.policy),
        }
    }

    /// What pictures that local programs take show of an origin: nothing of a VM that is not configured.
    #[must_use]
    pub fn capture_rule(&self, origin: &Origin) -> CaptureRule {
        match origin {
            Origin::Local => CaptureRule::Include,
            Origin::Vm(name) => self.vms.get(name).map_or(CaptureRule::Omit, |vm| vm.capture),
        }
    }

    /// What an origin may do with the devices: of a VM that is not configured as little as of one of which nothing is said.
    #[must_use]
    pub fn input_rules(&self, origin: &Origin) -> InputRules {
        match origin {
            Origin::Local => InputRules::free(),
            Origin::Vm(name) => self.vms.get(name).map_or_else(InputRules::guarded, |vm| vm.input),
        }
    }

    /// What an origin's windows in fullscreen have of the screen.
    #[must_use]
    pub fn fullscreen_rule(&self, origin: &Origin) -> FullscreenRule {
        match origin {
            Origin::Local => self.local_fullscreen,
            Origin::Vm(name) => self.vms.get(name).map_or(FullscreenRule::Framed, |vm| vm.fullscreen),
        }
    }

    /// What an origin is told of the person and the screens, likewise.
    #[must_use]
    pub fn privacy_rules(&self, origin: &Origin) -> PrivacyRules {
        match origin {
            Origin::Local => PrivacyRules::free(),
            Origin::Vm(name) => self.vms.get(name).map_or_else(PrivacyRules::guarded, |vm| vm.privacy),
        }
    }

    /// The labels of all origins but `own`: what a title of `own` must not be taken for.
    pub fn foreign_labels<'a>(&'a self, own: &'a LabelStyle) -> impl Iterator<Item = &'a Label> {
        let all = std::iter::once(&self.local).chain(self.vms.values().map(|vm| &vm.style));
        all.filter(move |style| *style != own).map(|style| &style.label)
    }
}

#[cfg(test)]
mod tests;
