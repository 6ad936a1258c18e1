//! The file as it is written: every value keeps the place it stands at, so that a rule that looks at several
//! values can still point at the one that breaks it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use toml::{Spanned, Table, Value};
use vitrail_protocols::policy::{ProtocolsTable, RuleMistake};
use vitrail_protocols::{Limits, Policy, VmName};

use super::capture::{Capture, CaptureRule};
use super::clipboard::Clipboard;
use super::fullscreen::FullscreenRule;
use super::guest::{InputKeys, InputRules, PrivacyKeys, PrivacyRules, Profile};
use super::input::Input;
use super::keys::{Keys, Workspaces};
use super::look::{Animation, Background};
use super::outputs::OutputTables;
use super::session::Session;
use super::theme::Theme;
use super::{Config, GateConfig, VmConfig};
use crate::trust::style::{LabelStyle, Mark, Pattern, Rgb};
use crate::trust::title::Charset;

/// The directory that an address or region may begin with instead of `/`.
const RUNTIME_DIR: &str = "$XDG_RUNTIME_DIR/";

/// A mistake and the bytes of the text it stands at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub span: Range<usize>,
    /// What.
    pub message: String,
}

impl Mistake {
    pub(super) fn at<T>(place: &Spanned<T>, message: impl Into<String>) -> Self {
        Self { span: place.span(), message: message.into() }
    }
}

impl From<RuleMistake> for Mistake {
    fn from(RuleMistake { span, error }: RuleMistake) -> Self {
        Self { span, message: error.to_string() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Local {
    label: Option<Spanned<String>>,
    #[serde(alias = "colour")]
    color: Option<Spanned<String>>,
    pattern: Option<Spanned<String>>,
    mark: Option<Spanned<String>>,
    titles: Option<Spanned<String>>,
    fullscreen: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    command: Spanned<Vec<String>>,
    listen: Option<Spanned<String>>,
    #[serde(default)]
    regions: Vec<Spanned<String>>,
    hub_uid: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Defaults {
    limits: Option<Spanned<Limits>>,
    protocols: ProtocolsTable,
    capture: Option<Spanned<String>>,
    profile: Option<Profile>,
    input: InputKeys,
    fullscreen: Option<Spanned<String>>,
    privacy: PrivacyKeys,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vm {
    label: Option<Spanned<String>>,
    #[serde(alias = "colour")]
    color: Option<Spanned<String>>,
    pattern: Option<Spanned<String>>,
    mark: Option<Spanned<String>>,
    titles: Option<Spanned<String>>,
    fullscreen: Option<Spanned<String>>,
    /// Read for its errors and their places; which keys were given is known from [`Document::plain`].
    limits: Option<Spanned<Limits>>,
    #[serde(default)]
    protocols: ProtocolsTable,
    capture: Option<Spanned<String>>,
    profile: Option<Profile>,
    #[serde(default)]
    input: InputKeys,
    #[serde(default)]
    privacy: PrivacyKeys,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Root {
    local: Local,
    gate: Option<Gate>,
    defaults: Defaults,
    keys: Keys,
    input: Input,
    theme: Theme,
    workspaces: Workspaces,
    output: OutputTables,
    vm: BTreeMap<Spanned<String>, Spanned<Vm>>,
    capture: Capture,
    clipboard: Clipboard,
    session: Session,
    background: Background,
    animation: Animation,
}

/// A file that has only known keys with values of the right types. The rules between them are unchecked.
#[derive(Debug)]
pub struct Document {
    root: Root,
    /// The same file without places: it tells a key that was left out from one that has the default value.
    plain: Table,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// The first mistake of syntax, key or type.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let mistake = |error: toml::de::Error| Mistake {
            span: error.span().unwrap_or(0..0),
            message: error.message().to_owned(),
        };
        let root = toml::from_str(text).map_err(mistake)?;
        let plain = toml::from_str(text).map_err(mistake)?;
        Ok(Self { root, plain })
    }

    /// Turns the document into a configuration.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, at the value that breaks it.
    pub fn check(&self) -> Result<Config, Mistake> {
        let gate = self.root.gate.as_ref().map(Gate::check).transpose()?;
        let default_limits = self.default_limits()?;
        let default_rules = self.root.defaults.protocols.rules()?;
        let local = self.root.local.check()?;
        let local_titles = word_or(self.root.local.titles.as_ref(), Charset::Unicode)?;
        let session = self.root.session.check()?;
        let default_capture = word_or(self.root.defaults.capture.as_ref(), CaptureRule::default())?;
        let default_fullscreen = word_or(self.root.defaults.fullscreen.as_ref(), FullscreenRule::default())?;
        let local_fullscreen = word_or(self.root.local.fullscreen.as_ref(), default_fullscreen)?;
        let mut seen = vec![Seen::local(&self.root.local, &local)];
        let mut vms = BTreeMap::new();
        for (name, vm) in self.vms_in_order() {
            let vm_name =
                VmName::from_str(name.get_ref()).map_err(|error| Mistake::at(name, error.to_string()))?;
            let style = vm.get_ref().style(name)?;
            let seen_vm = Seen::vm(name, vm.get_ref(), &style);
            seen_vm.must_differ_from(&seen)?;
            seen.push(seen_vm);
            let limits = self.vm_limits(name.get_ref(), vm.get_ref(), &default_limits)?;
            let policy = Arc::new(Policy::new(&default_rules, &vm.get_ref().protocols.rules()?));
            let titles = word_or(vm.get_ref().titles.as_ref(), Charset::Ascii)?;
            let capture = word_or(vm.get_ref().capture.as_ref(), default_capture)?;
            let (input, privacy) = self.root.defaults.rules_for(vm.get_ref());
            let fullscreen = word_or(vm.get_ref().fullscreen.as_ref(), default_fullscreen)?;
            let vm = VmConfig { style, titles, limits, policy, capture, input, privacy, fullscreen };
            vms.insert(vm_name, vm);
        }
        let keys = self.root.keys.check()?;
        let input = self.root.input.check()?;
        let theme = self.root.theme.check()?;
        let workspaces = self.root.workspaces.check()?;
        let outputs = self.root.output.check()?;
        let background = self.root.background.check()?;
        let animation = self.root.animation.check()?;
        let capture = self.root.capture.check()?;
        let clipboard = self.root.clipboard.check(&vms)?;
        Ok(Config {
            local,
            local_titles,
            local_fullscreen,
            default_limits,
            vms,
            keys,
            input,
            theme,
            workspaces,
            outputs,
            gate,
            capture,
            clipboard,
            session,
            background,
            animation,
        })
    }

    /// The VMs in the order of the file, so that the second of two that clash is the one that is blamed.
    fn vms_in_order(&self) -> Vec<(&Spanned<String>, &Spanned<Vm>)> {
        let mut vms: Vec<_> = self.root.vm.iter().collect();
        vms.sort_by_key(|(name, _)| name.span().start);
        vms
    }

    fn default_limits(&self) -> Result<Limits, Mistake> {
        let Some(limits) = &self.root.defaults.limits else { return Ok(Limits::default()) };
        check_rates(limits)?;
        Ok(limits.get_ref().clone())
    }

    /// The defaults, with the keys that the VM's table gives put over them.
    fn vm_limits(&self, name: &str, vm: &Vm, defaults: &Limits) -> Result<Limits, Mistake> {
        let Some(limits) = &vm.limits else { return Ok(defaults.clone()) };
        check_rates(limits)?;
        let failed = |error: &dyn std::fmt::Display| Mistake::at(limits, error.to_string());
        let mut merged = Table::try_from(defaults).map_err(|error| failed(&error))?;
        let given = ["vm", name, "limits"]
            .iter()
            .try_fold(&self.plain, |table, key| table.get(*key).and_then(Value::as_table));
        for (key, value) in given.into_iter().flatten() {
            merged.insert(key.clone(), value.clone());
        }
        merged.try_into().map_err(|error| failed(&error))
    }
}

/// A rate of zero would let a connection open and then hold it for ever.
fn check_rates(limits: &Spanned<Limits>) -> Result<(), Mistake> {
    let Limits {
        requests_per_second,
        bytes_per_second,
        commits_per_second,
        damage_per_second,
        breaches,
        pending_bytes,
        ..
    } = *limits.get_ref();
    for (key, value) in [
        ("requests_per_second", requests_per_second),
        ("bytes_per_second", bytes_per_second),
        ("commits_per_second", commits_per_second),
        ("damage_per_second", damage_per_second),
        ("breaches", breaches),
        ("pending_bytes", pending_bytes),
    ] {
        if value == 0 {
            return Err(Mistake::at(limits, format!("{key} must be at least 1")));
        }
    }
    Ok(())
}

/// Reads a word whose type knows what it may be.
pub(super) fn word<T>(text: &Spanned<String>) -> Result<T, Mistake>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.get_ref().parse().map_err(|error: T::Err| Mistake::at(text, error.to_string()))
}

/// Reads a word that has a value when it is left out.
fn word_or<T>(text: Option<&Spanned<String>>, default: T) -> Result<T, Mistake>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.map_or(Ok(default), word)
}

impl Local {
    fn check(&self) -> Result<LabelStyle, Mistake> {
        let whole = Spanned::new(0..0, String::from("local"));
        let label = word(self.label.as_ref().unwrap_or(&whole))?;
        let color = word_or(self.color.as_ref(), Rgb([0x5f, 0x63, 0x68]))?;
        let pattern = word_or(self.pattern.as_ref(), Pattern::Solid)?;
        let mark = word_or(self.mark.as_ref(), Mark::None)?;
        Ok(LabelStyle { label, color, pattern, mark })
    }
}

impl Gate {
    fn check(&self) -> Result<GateConfig, Mistake> {
        if self.command.get_ref().first().is_none_or(String::is_empty) {
            return Err(Mistake::at(&self.command, "The gate's command needs a program"));
        }
        if let Some(listen) = &self.listen {
            check_address(listen)?;
        }
        for region in &self.regions {
            check_region(region)?;
        }
        Ok(GateConfig {
            command: self.command.get_ref().clone(),
            listen: self.listen.as_ref().map(|listen| listen.get_ref().clone()),
            regions: self.regions.iter().map(|region| region.get_ref().clone()).collect(),
            hub_uid: self.hub_uid,
        })
    }
}

/// The addresses that the gate listens on: a socket file, whose callers are known by their user, or a port of vsock with the
/// machine that may call it.
fn check_address(address: &Spanned<String>) -> Result<(), Mistake> {
    let text = address.get_ref();
    if let Some(path) = text.strip_prefix("unix:") {
        return check_variables(address, path);
    }
    let Some((cid, port)) = text.strip_prefix("vsock:").and_then(|rest| rest.split_once(':')) else {
        return Err(Mistake::at(address, "An address is unix:PATH or vsock:CID:PORT"));
    };
    if cid == "any" {
        let message = "Anybody could call as the hub: give the CID of its machine, which is 2 for the host";
        return Err(Mistake::at(address, message));
    }
    // The largest number means any CID or port.
    let is_number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|n: u32| n < u32::MAX)
    };
    if is_number(cid) && is_number(port) {
        Ok(())
    } else {
        Err(Mistake::at(address, "CID and port of vsock:CID:PORT are numbers"))
    }
}

/// Only one variable is ever replaced, and only at the start: what is checked here is what will be opened.
fn check_variables(place: &Spanned<String>, path: &str) -> Result<(), Mistake> {
    if path.strip_prefix(RUNTIME_DIR).unwrap_or(path).contains('$') {
        return Err(Mistake::at(place, "Only $XDG_RUNTIME_DIR/ at the start of a path is replaced"));
    }
    Ok(())
}

fn check_region(region: &Spanned<String>) -> Result<(), Mistake> {
    let text = region.get_ref();
    check_variables(region, text)?;
    if !text.starts_with('/') && !text.starts_with(RUNTIME_DIR) {
        return Err(Mistake::at(region, "The path of a region begins with / or $XDG_RUNTIME_DIR/"));
    }
    let directory = text.rsplit_once('/').map_or("", |(directory, _)| directory);
    if directory.contains('*') || text.matches('*').count() > 1 {
        return Err(Mistake::at(region, "Only the last part of a region's path may have a *, and only one"));
    }
    Ok(())
}

impl Defaults {
    /// What a VM may do with the devices, and what it is told of the screens and the person.
    fn rules_for(&self, vm: &Vm) -> (InputRules, PrivacyRules) {
        let of = |profile: Option<Profile>| {
            (
                profile.map(Profile::input).unwrap_or_default(),
                profile.map(Profile::privacy).unwrap_or_default(),
            )
        };
        let ((own_input, own_privacy), (input, privacy)) = (of(vm.profile), of(self.profile));
        (
            vm.input.or(own_input).or(self.input).or(input).rules(),
            vm.privacy.or(own_privacy).or(self.privacy).or(privacy).rules(),
        )
    }
}

impl Vm {
    fn style(&self, name: &Spanned<String>) -> Result<LabelStyle, Mistake> {
        let Some(color) = &self.color else {
            return Err(Mistake::at(name, format!("VM {} has no color", name.get_ref())));
        };
        Ok(LabelStyle {
            label: word(self.label.as_ref().unwrap_or(name))?,
            color: word(color)?,
            pattern: word_or(self.pattern.as_ref(), Pattern::Solid)?,
            mark: word_or(self.mark.as_ref(), Mark::None)?,
        })
    }
}

/// What one origin looks like, and where the file says so.
struct Seen {
    who: String,
    style: LabelStyle,
    label_at: Range<usize>,
    color_at: Range<usize>,
}

impl Seen {
    fn local(local: &Local, style: &LabelStyle) -> Self {
        let place = |value: Option<&Spanned<String>>| value.map_or(0..0, Spanned::span);
        Self {
            who: String::from("[local]"),
            style: style.clone(),
            label_at: place(local.label.as_ref()),
            color_at: place(local.color.as_ref()),
        }
    }

    fn vm(name: &Spanned<String>, vm: &Vm, style: &LabelStyle) -> Self {
        let place = |value: Option<&Spanned<String>>| value.map_or(name.span(), Spanned::span);
        Self {
            who: format!("VM {}", name.get_ref()),
            style: style.clone(),
            label_at: place(vm.label.as_ref()),
            color_at: place(vm.color.as_ref()),
        }
    }

    /// The rule that makes a colour mean one VM.
    fn must_differ_from(&self, others: &[Self]) -> Result<(), Mistake> {
        for other in others {
            if self.style.color == other.style.color {
                let message = format!("{} has the colour {} already", other.who, self.style.color);
                return Err(Mistake { span: self.color_at.clone(), message });
            }
            if self.style.label.looks_like(&other.style.label) {
                let message = format!("{} has the label \"{}\" already", other.who, other.style.label);
                return Err(Mistake { span: self.label_at.clone(), message });
            }
        }
        Ok(())
    }
}
