//! What the gate reads of `vitrail.toml`.
//!
//! The file is the compositor's, which checks all of it strictly and shows mistakes on screen. The gate reads only
//! what it needs, so that a mistake in a colour does not keep VMs from connecting: the tables `[gate]`,
//! `[defaults.limits]`, `[defaults.protocols]`, and of each `[vm.NAME]` its name, limits and protocols. Within the limits and
//! protocols it is as strict as the compositor, since a misspelt limit would be no limit. A VM without a table is unknown, and
//! refused.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};
use vitrail_protocols::policy::{ProtocolsTable, RuleMistake};
use vitrail_protocols::{Limits, Policy, VmName};

/// The largest configuration file that is read, in bytes.
const MAX_FILE_LEN: u64 = 1 << 20;

/// Where the hub connects if the configuration does not say.
const DEFAULT_LISTEN: &str = "unix:$XDG_RUNTIME_DIR/vitrail-gate.sock";

/// The only variable that addresses and paths may begin with.
const RUNTIME_DIR_VARIABLE: &str = "$XDG_RUNTIME_DIR";

/// The gate's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address on which the hub is awaited.
    pub listen: String,
    /// Files and devices that may be regions: paths, with at most one `*` in the last part.
    pub regions: Vec<String>,
    /// The user whose hub is believed; `None` for the gate's own user.
    pub hub_uid: Option<u32>,
    vms: BTreeMap<VmName, VmTerms>,
}

/// What a VM may hold and see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmTerms {
    /// What it may hold.
    pub limits: Limits,
    /// Which globals it sees.
    pub policy: Policy,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is longer than any configuration.
    #[error("{0} is longer than 1 MiB")]
    TooLong(PathBuf),
    /// The file is not TOML.
    #[error("the configuration cannot be parsed: {0}")]
    Parse(#[from] Box<toml::de::Error>),
    /// A table of the gate is wrong.
    #[error("the table [{table}] is wrong: {source}")]
    Table {
        /// Which table.
        table: String,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// A table of protocols is wrong.
    #[error("{}:{line}: {message}", path.display())]
    Protocols {
        /// Which file.
        path: PathBuf,
        /// The line of the mistake, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A VM has an impossible name.
    #[error("[vm.{name}]: {source}")]
    Name {
        /// The name as written.
        name: String,
        /// What is wrong with it.
        source: vitrail_protocols::VmNameError,
    },
    /// A path begins with the runtime directory, but there is none.
    #[error("`{0}` needs XDG_RUNTIME_DIR, which is not set")]
    NoRuntimeDir(String),
}

/// `[gate]`. Keys for the compositor, such as `command`, are left to it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct GateTable {
    listen: Option<String>,
    regions: Vec<String>,
    hub_uid: Option<u32>,
}

/// The tables of protocols, with the places of what is in them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProtocolsRoot {
    defaults: ProtocolsOf,
    vm: BTreeMap<String, ProtocolsOf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProtocolsOf {
    protocols: ProtocolsTable,
}

/// The policy of each VM.
fn policies(path: &Path, text: &str) -> Result<BTreeMap<String, Policy>, ConfigError> {
    let at = |span: Option<Range<usize>>, message: String| {
        let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        ConfigError::Protocols { path: path.to_owned(), line, message }
    };
    let rules = |table: &ProtocolsTable| {
        table.rules().map_err(|RuleMistake { span, error }| at(Some(span), error.to_string()))
    };
    let root: ProtocolsRoot =
        toml::from_str(text).map_err(|error| at(error.span(), error.message().to_owned()))?;
    let defaults = rules(&root.defaults.protocols)?;
    let mut policies = BTreeMap::new();
    for (name, vm) in root.vm {
        policies.insert(name, Policy::new(&defaults, &rules(&vm.protocols)?));
    }
    Ok(policies)
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read, or what the gate needs of it is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let at = |source| ConfigError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(at)?.len() > MAX_FILE_LEN {
            return Err(ConfigError::TooLong(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(at)?;
        let runtime_dir = std::env::var("XDG_RUNTIME_DIR").ok();
        Self::parse(path, &text, runtime_dir.as_deref())
    }

    /// Reads the text of the file. `path` is only named in errors.
    ///
    /// # Errors
    /// What the gate needs of it is wrong.
    pub fn parse(path: &Path, text: &str, runtime_dir: Option<&str>) -> Result<Self, ConfigError> {
        let root: Table = text.parse().map_err(Box::new)?;
        let gate: GateTable = match root.get("gate") {
            Some(value) => into(value.clone(), "gate")?,
            None => GateTable::default(),
        };
        let defaults = table(&root, "defaults").and_then(|defaults| defaults.get("limits"));
        let defaults = limits_table(defaults, "defaults.limits")?;
        // Alone they have to be right too, whether or not a VM uses them.
        into::<Limits>(Value::Table(defaults.clone()), "defaults.limits")?;
        let mut policies = policies(path, text)?;
        let mut vms = BTreeMap::new();
        for (name, vm) in table(&root, "vm").into_iter().flatten() {
            let parsed = name.parse().map_err(|source| ConfigError::Name { name: name.clone(), source })?;
            let at = format!("vm.{name}.limits");
            let mut limits = defaults.clone();
            limits.extend(limits_table(vm.get("limits"), &at)?);
            let limits = into(Value::Table(limits), &at)?;
            // Every table [vm.NAME] has a policy, be it that of the defaults.
            let policy = policies.remove(name).unwrap_or_default();
            vms.insert(parsed, VmTerms { limits, policy });
        }
        let expand = |text: &str| expand(text, runtime_dir);
        Ok(Self {
            listen: expand(gate.listen.as_deref().unwrap_or(DEFAULT_LISTEN))?,
            regions: gate.regions.iter().map(|region| expand(region)).collect::<Result<_, _>>()?,
            hub_uid: gate.hub_uid,
            vms,
        })
    }

    /// What a VM may hold and see; `None` if the configuration does not know it.
    #[must_use]
    pub fn terms(&self, vm: &VmName) -> Option<&VmTerms> {
        self.vms.get(vm)
    }
}

fn table<'a>(root: &'a Table, key: &str) -> Option<&'a Table> {
    root.get(key).and_then(Value::as_table)
}

fn limits_table(value: Option<&Value>, at: &str) -> Result<Table, ConfigError> {
    value.map_or_else(|| Ok(Table::new()), |value| into(value.clone(), at))
}

fn into<T: serde::de::DeserializeOwned>(value: Value, at: &str) -> Result<T, ConfigError> {
    value.try_into().map_err(|source| ConfigError::Table { table: at.to_owned(), source: Box::new(source) })
}

/// Replaces the runtime directory at the start, after an address's `unix:` if there is one, and nothing else.
fn expand(text: &str, runtime_dir: Option<&str>) -> Result<String, ConfigError> {
    let (scheme, path) = match text.strip_prefix("unix:") {
        Some(path) => ("unix:", path),
        None => ("", text),
    };
    match path.strip_prefix(RUNTIME_DIR_VARIABLE) {
        Some(rest) => match runtime_dir {
            Some(dir) => Ok(format!("{scheme}{dir}{rest}")),
            None => Err(ConfigError::NoRuntimeDir(text.to_owned())),
        },
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Option<&str> = Some("/run/user/7");

    fn vm(name: &str) -> VmName {
        name.parse().unwrap()
    }

    fn parse(text: &str, runtime_dir: Option<&str>) -> Result<Config, ConfigError> {
        Config::parse(Path::new("vitrail.toml"), text, runtime_dir)
    }

    #[test]
    fn the_limits_of_a_vm_override_the_defaults_one_by_one() {
        let text = "
            [defaults.limits]
            surfaces = 9
            popups = 3
            [vm.work]
            label = 'Work'
            color = '#not a colour, which is not our business'
            [vm.work.limits]
            surfaces = 256
            [vm.web]
        ";
        let config = parse(text, RUN).unwrap();
        let work = &config.terms(&vm("work")).unwrap().limits;
        assert_eq!((work.surfaces, work.popups, work.clients), (256, 3, 64));
        assert_eq!(config.terms(&vm("web")).unwrap().limits.surfaces, 9);
        assert_eq!(config.terms(&vm("other")), None);
    }

    #[test]
    fn the_protocols_of_a_vm_override_the_defaults_one_by_one() {
        let text = "
            [defaults.protocols]
            deny = ['wp_presentation', 'wp_viewporter']
            [vm.work]
            color = '#not a colour, which is not our business'
            [vm.work.protocols]
            allow = ['wp_presentation', 'ext_idle_notifier_v1']
            max_version = { wl_seat = 5 }
            [vm.web]
        ";
        let config = parse(text, RUN).unwrap();
        let seen = |name: &str| {
            let policy = &config.terms(&vm(name)).unwrap().policy;
            ["wp_presentation", "wp_viewporter", "ext_idle_notifier_v1", "wl_seat"]
                .map(|interface| policy.visible_version(interface, 99))
        };
        assert_eq!(seen("work"), [Some(2), None, Some(2), Some(5)]);
        assert_eq!(seen("web"), [None, None, None, Some(9)]);
    }

    #[test]
    fn a_rule_that_is_none_is_an_error_with_file_line_and_reason() {
        for (text, expected) in [
            (
                "[vm.a]\n[vm.a.protocols]\nallow = [\n 'zwlr_layer_shell_v1']",
                "vitrail.toml:4: zwlr_layer_shell_v1 is never shown to a VM, whatever is configured: Draws over",
            ),
            (
                "[defaults.protocols]\ndeny = ['wp_viewport']",
                "vitrail.toml:2: no interface is known by the name",
            ),
            (
                "[vm.a.protocols]\nmax_version = { wl_shm = 3 }",
                "vitrail.toml:2: the versions of wl_shm are 1 to 2",
            ),
            ("[vm.a.protocols]\n\ndenny = []", "vitrail.toml:3: unknown field `denny`"),
        ] {
            let error = parse(text, RUN).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_gate_table_is_read_and_the_runtime_directory_expanded() {
        let text = "
            [gate]
            command = ['vitrail-gate']
            listen = 'unix:$XDG_RUNTIME_DIR/g.sock'
            regions = ['/dev/shm/v/*.region', '$XDG_RUNTIME_DIR/one', '/a/$XDG_RUNTIME_DIR']
            hub_uid = 0
        ";
        let config = parse(text, RUN).unwrap();
        assert_eq!(config.listen, "unix:/run/user/7/g.sock");
        assert_eq!(config.regions, ["/dev/shm/v/*.region", "/run/user/7/one", "/a/$XDG_RUNTIME_DIR"]);
        assert_eq!(config.hub_uid, Some(0));
    }

    #[test]
    fn an_empty_file_has_a_default_address_and_no_vms() {
        let config = parse("", RUN).unwrap();
        assert_eq!(config.listen, "unix:/run/user/7/vitrail-gate.sock");
        assert!(matches!(parse("", None), Err(ConfigError::NoRuntimeDir(_))));
    }

    #[test]
    fn a_misspelt_limit_is_an_error_that_names_it() {
        for text in
            ["[defaults.limits]\nsurfces = 1", "[vm.a.limits]\nsurfces = 1", "[vm.a.limits]\nsurfaces = -1"]
        {
            let error = parse(text, RUN).unwrap_err().to_string();
            assert!(error.contains("limits") && error.contains("surf"), "{error}");
        }
    }

    #[test]
    fn an_impossible_name_is_an_error() {
        assert!(matches!(parse("[vm.Work]", RUN), Err(ConfigError::Name { .. })));
    }
}
