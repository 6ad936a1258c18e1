//! The hub's configuration file, `hub.toml`.
//!
//! Nothing is guessed: a key that is not known, a path that is not absolute, or two VMs that could be taken for each other
//! (because they have the same socket, VMM, CID or region) are errors, which name the file and the line and show the line
//! itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use virtio_wl::Address;
use virtio_wl::address::VsockCid;
use vitrail_protocols::VmName;

use crate::jail::Identity;

/// The longest path of a Unix socket, in bytes (`sun_path` less its final zero).
const MAX_SOCKET_PATH: usize = 107;
/// The first CID that a VM can have: those below are the hypervisor, the machine itself and the host.
const FIRST_VM_CID: u32 = 3;
/// The longest configuration file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubConfig {
    /// Where the gate listens.
    pub gate: Address,
    /// The user that relays run as. `None`: `nobody` if the hub runs as root, else the hub's own.
    pub relay_user: Option<Identity>,
    /// The VMs, at least one.
    pub vms: BTreeMap<VmName, VmConfig>,
}

/// What the hub knows of one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmConfig {
    /// Where this VM calls. Either nothing else can reach it, or the kernel says that it is this VM.
    pub listen: Address,
    /// File mode of the socket, where it is a file.
    pub socket_mode: u32,
    /// Connections (applications) at a time.
    pub max_connections: u32,
    /// Streams that have not sent a whole hello yet, at a time; more wait unaccepted.
    pub max_pending: u32,
    /// Streams taken in a second, and as many at once after a pause; more wait unaccepted.
    pub max_calls_per_second: u32,
    /// The shared memory of this VM, if it has any.
    pub region: Option<RegionConfig>,
}

/// A file that the VM and the GUI VM both map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionConfig {
    /// The file. It is made if it is missing.
    pub path: PathBuf,
    /// Its length in bytes.
    pub length: u64,
    /// Where in it the region is.
    pub layout: RegionLayout,
}

/// How the file of a region is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionLayout {
    /// The file is the region.
    #[default]
    Plain,
    /// The file is to be shown to a VM as persistent memory: what its kernel needs to make a devdax device of it, then the
    /// region.
    Pmem,
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The file is too long to be a configuration.
    #[error("{}: longer than {MAX_FILE} bytes", file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
    },
    /// Something in the file is wrong.
    #[error("{}{place}: {message}{quote}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// Where in the file.
        place: Place,
        /// What is wrong, in words.
        message: String,
        /// The line itself.
        quote: Quote,
    },
}

/// `:LINE`, or nothing where an error is in no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Option<usize>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// The line that is wrong, on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote(Option<String>);

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |line| write!(f, "\n    {line}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    gate: Spanned<String>,
    relay_user: Option<Spanned<String>>,
    #[serde(default)]
    vm: BTreeMap<VmName, RawVm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVm {
    listen: Spanned<String>,
    socket_mode: Option<Spanned<String>>,
    max_connections: Option<Spanned<u32>>,
    max_pending: Option<Spanned<u32>>,
    max_calls_per_second: Option<Spanned<u32>>,
    region: Option<RawRegion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegion {
    path: Spanned<PathBuf>,
    size_mib: Spanned<u64>,
    #[serde(default)]
    layout: RegionLayout,
}

impl HubConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or says something that is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let read_error = |source| ConfigError::Read { file: file.to_owned(), source };
        if std::fs::metadata(file).map_err(read_error)?.len() > MAX_FILE {
            return Err(ConfigError::TooLong { file: file.to_owned() });
        }
        Self::parse(file, &std::fs::read_to_string(file).map_err(read_error)?)
    }

    /// Checks the text of a file; `file` is only named in errors.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { file, text };
        let raw: RawFile =
            toml::from_str(text).map_err(|error| source.error(error.span(), error.message()))?;
        let gate = source.gate(&raw.gate)?;
        let relay_user = raw.relay_user.map(|user| source.user(&user)).transpose()?;
        let mut seen: HashMap<_, _> =
            identities(&gate).into_iter().map(|identity| (identity, "the gate's".to_owned())).collect();
        let mut vms = BTreeMap::new();
        for (name, vm) in raw.vm {
            let vm = source.vm(&name, &vm, &mut seen)?;
            vms.insert(name, vm);
        }
        if vms.is_empty() {
            return Err(source.error(None, "no VM is configured: there is no table [vm.NAME]"));
        }
        Ok(Self { gate, relay_user, vms })
    }
}

/// What nobody but the owner of an address may have in this file: its files, its VMM, its CID. A VM that could call at two
/// addresses could be two VMs.
fn identities(address: &Address) -> Vec<String> {
    match address {
        Address::Vsock { cid, .. } => vec![format!("CID {cid}")],
        address => {
            let vmm = address.path().map(|path| path.display().to_string());
            let file = address.listening_path().map(|path| path.display().to_string());
            vmm.iter().cloned().chain(file.filter(|file| Some(file) != vmm.as_ref())).collect()
        }
    }
}

/// The text that is being read, for errors.
struct Source<'a> {
    file: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn error(&self, span: Option<Range<usize>>, message: impl Into<String>) -> ConfigError {
        let line = span.and_then(|span| {
            let before = self.text.get(..span.start)?;
            let number = before.matches('\n').count();
            Some((number + 1, self.text.lines().nth(number).unwrap_or_default().trim().to_owned()))
        });
        let (number, quote) = line.unzip();
        ConfigError::Content {
            file: self.file.to_owned(),
            place: Place(number),
            message: message.into(),
            quote: Quote(quote),
        }
    }

    fn vm(
        &self,
        name: &VmName,
        raw: &RawVm,
        seen: &mut HashMap<String, String>,
    ) -> Result<VmConfig, ConfigError> {
        let listen = self.listen(&raw.listen)?;
        for identity in identities(&listen) {
            self.unique(seen, identity, raw.listen.span(), format!("that of VM {name}"))?;
        }
        let region = raw.region.as_ref().map(|region| self.region(region)).transpose()?;
        if let (Some(region), Some(raw)) = (&region, &raw.region) {
            let file = region.path.display().to_string();
            self.unique(seen, file, raw.path.span(), format!("the region of VM {name}"))?;
        }
        if let (Address::Vsock { .. }, Some(mode)) = (&listen, &raw.socket_mode) {
            return Err(self.error(Some(mode.span()), "socket_mode: a port of vsock has no file"));
        }
        Ok(VmConfig {
            listen,
            socket_mode: raw.socket_mode.as_ref().map_or(Ok(0o600), |mode| self.mode(mode))?,
            max_connections: self.count("max_connections", raw.max_connections.as_ref(), 64, 4096)?,
            max_pending: self.count("max_pending", raw.max_pending.as_ref(), 16, 1024)?,
            max_calls_per_second: self.count(
                "max_calls_per_second",
                raw.max_calls_per_second.as_ref(),
                100,
                10_000,
            )?,
            region,
        })
    }

    /// What tells VMs apart must not stand for two of them, nor for anything else.
    fn unique(
        &self,
        seen: &mut HashMap<String, String>,
        identity: String,
        span: Range<usize>,
        what: String,
    ) -> Result<(), ConfigError> {
        match seen.get(&identity) {
            Some(other) => Err(self.error(Some(span), format!("{identity} is already {other}"))),
            None => {
                seen.insert(identity, what);
                Ok(())
            }
        }
    }

    /// Where a VM calls.
    fn listen(&self, text: &Spanned<String>) -> Result<Address, ConfigError> {
        let wrong = |message: &str| self.error(Some(text.span()), format!("listen: {message}"));
        let address = self.address("listen", text)?;
        match &address {
            Address::Vsock { cid: VsockCid::Any, .. } => {
                Err(wrong("`any` does not say which VM is calling: give the VM's CID"))
            }
            Address::Vsock { cid: VsockCid::Is(..FIRST_VM_CID), .. } => {
                Err(wrong("that is not the CID of a VM: they begin with 3"))
            }
            Address::Unix(_) | Address::Vsock { .. } | Address::VsockUds { .. } => Ok(address),
            Address::Fd(_) | Address::Wl0 { .. } => {
                Err(wrong("a VM calls at unix:/PATH, vsock:CID:PORT or vsock-uds:/PATH:PORT"))
            }
        }
    }

    /// Where the gate is.
    fn gate(&self, text: &Spanned<String>) -> Result<Address, ConfigError> {
        let wrong = |message: &str| self.error(Some(text.span()), format!("gate: {message}"));
        let address = self.address("gate", text)?;
        match &address {
            Address::Vsock { cid: VsockCid::Any, .. } => Err(wrong("give the CID of the GUI VM")),
            Address::Unix(_) | Address::Vsock { .. } | Address::VsockUds { .. } => Ok(address),
            Address::Fd(_) | Address::Wl0 { .. } => {
                Err(wrong("the gate is called at unix:/PATH, vsock:CID:PORT or vsock-uds:/PATH:PORT"))
            }
        }
    }

    /// An address whose paths can be used, and are written in one way only.
    fn address(&self, key: &str, text: &Spanned<String>) -> Result<Address, ConfigError> {
        let wrong = |message: String| self.error(Some(text.span()), message);
        let address: Address = text.get_ref().parse().map_err(|error| wrong(format!("{key}: {error}")))?;
        if let Some(path) = address.path() {
            if !path.is_absolute() {
                return Err(wrong(format!("{key}: the path of a socket begins with /")));
            }
            let longest = address.listening_path().map_or(0, |path| path.as_os_str().len());
            if longest > MAX_SOCKET_PATH {
                return Err(wrong(format!(
                    "{key}: the path of a socket has at most {MAX_SOCKET_PATH} bytes"
                )));
            }
        }
        Ok(match address {
            Address::Unix(path) => Address::Unix(path.components().collect()),
            Address::VsockUds { path, port } => Address::VsockUds { path: path.components().collect(), port },
            other => other,
        })
    }

    fn region(&self, raw: &RawRegion) -> Result<RegionConfig, ConfigError> {
        if !raw.path.get_ref().is_absolute() {
            return Err(self.error(Some(raw.path.span()), "path: the path of a region begins with /"));
        }
        let size_mib = *raw.size_mib.get_ref();
        if !(1..2048).contains(&size_mib) {
            return Err(self.error(Some(raw.size_mib.span()), "size_mib: a region has 1 to 2047 MiB"));
        }
        if raw.layout == RegionLayout::Pmem && (size_mib < 4 || !size_mib.is_multiple_of(2)) {
            let message = "size_mib: persistent memory has 4 MiB or more, in steps of 2";
            return Err(self.error(Some(raw.size_mib.span()), message));
        }
        let path = raw.path.get_ref().components().collect();
        Ok(RegionConfig { path, length: size_mib << 20, layout: raw.layout })
    }

    fn mode(&self, text: &Spanned<String>) -> Result<u32, ConfigError> {
        match u32::from_str_radix(text.get_ref(), 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => Err(self.error(
                Some(text.span()),
                "socket_mode: a mode is three or four octal digits in quotes, such as \"0660\"",
            )),
        }
    }

    fn count(
        &self,
        key: &str,
        value: Option<&Spanned<u32>>,
        default: u32,
        max: u32,
    ) -> Result<u32, ConfigError> {
        match value {
            None => Ok(default),
            Some(value) if (1..=max).contains(value.get_ref()) => Ok(*value.get_ref()),
            Some(value) => Err(self.error(Some(value.span()), format!("{key}: from 1 to {max}"))),
        }
    }

    fn user(&self, text: &Spanned<String>) -> Result<Identity, ConfigError> {
        let wrong = |message: String| self.error(Some(text.span()), message);
        let passwd =
            || std::fs::read_to_string("/etc/passwd").map_err(|error| wrong(format!("/etc/passwd: {error}")));
        match text.get_ref().split_once(':') {
            Some((uid, gid)) => match (uid.parse(), gid.parse()) {
                (Ok(uid), Ok(gid)) => Ok(Identity { uid, gid }),
                _ => Err(wrong("relay_user: either a name or \"UID:GID\"".to_owned())),
            },
            None => lookup_user(&passwd()?, text.get_ref()).ok_or_else(|| {
                wrong(format!("relay_user: there is no user {:?} in /etc/passwd", text.get_ref()))
            }),
        }
    }
}

/// Finds a user in the text of `/etc/passwd`.
fn lookup_user(passwd: &str, name: &str) -> Option<Identity> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        if found { Some(Identity { uid: uid.parse().ok()?, gid: gid.parse().ok()? }) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
gate = "unix:/run/gate.sock"
relay_user = "12:34"
[vm.work]
listen = "unix:/run/work/hub.sock"
socket_mode = "0660"
max_connections = 3
max_pending = 2
max_calls_per_second = 5
[vm.work.region]
path = "/dev/shm/work.region"
size_mib = 256
[vm.web]
listen = "unix:/run/web/hub.sock"
"#;

    fn parse(text: &str) -> Result<HubConfig, ConfigError> {
        HubConfig::parse(Path::new("hub.toml"), text)
    }

    fn error_of(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_full_file_is_understood() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.gate, Address::Unix("/run/gate.sock".into()));
        assert_eq!(config.relay_user, Some(Identity { uid: 12, gid: 34 }));
        let work = &config.vms[&"work".parse().unwrap()];
        assert_eq!(work.listen, Address::Unix("/run/work/hub.sock".into()));
        assert_eq!((work.socket_mode, work.max_connections, work.max_pending), (0o660, 3, 2));
        assert_eq!(work.region.as_ref().unwrap().length, 256 << 20);
        let web = &config.vms[&"web".parse().unwrap()];
        assert_eq!((web.socket_mode, web.max_connections, web.max_pending), (0o600, 64, 16));
        assert_eq!((work.max_calls_per_second, web.max_calls_per_second), (5, 100));
        assert_eq!(web.region, None);
    }

    #[test]
    fn the_example_in_the_assets_is_understood() {
        parse(include_str!("../../../assets/hub.toml")).unwrap();
    }

    #[test]
    fn the_examples_of_the_documentation_are_understood() {
        let text = include_str!("../../../docs/hub.md");
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
        let examples: Vec<_> =
            blocks.map(|(block, _)| block).filter(|block| block.starts_with("gate")).collect();
        assert!(!examples.is_empty());
        for example in examples {
            parse(example).unwrap();
        }
    }

    #[test]
    fn errors_show_file_line_and_the_line_itself() {
        let error = error_of(&GOOD.replace("max_pending", "max_pendign"));
        assert!(error.starts_with("hub.toml:8: "), "{error}");
        assert!(error.contains("max_pendign = 2") && error.contains("unknown field"), "{error}");
        let error = error_of(&GOOD.replace("gate = \"", "gate = "));
        assert!(error.starts_with("hub.toml:2: ") && error.contains("gate = unix:/run"), "{error}");
    }

    #[test]
    fn every_bad_value_is_named_with_its_line() {
        for (from, to, line, words) in [
            ("unix:/run/gate.sock", "fd:3", 2, "unix:/PATH"),
            ("unix:/run/gate.sock", "tcp:3", 2, "not an address"),
            ("unix:/run/gate.sock", "unix:gate.sock", 2, "begins with /"),
            ("unix:/run/gate.sock", "vsock:any:5000", 2, "CID of the GUI VM"),
            ("unix:/run/gate.sock", "vsock-uds:gate.sock:5000", 2, "begins with /"),
            ("unix:/run/gate.sock", "wl0", 2, "unix:/PATH"),
            ("unix:/run/work/hub.sock", "fd:3", 5, "vsock:CID:PORT"),
            ("unix:/run/work/hub.sock", "vsock:any:5000", 5, "which VM is calling"),
            ("unix:/run/work/hub.sock", "vsock:2:5000", 5, "begin with 3"),
            ("unix:/run/work/hub.sock", "vsock:3:5000", 6, "has no file"),
            ("12:34", "no-such-user-here", 3, "no-such-user-here"),
            ("12:34", "12:x", 3, "UID:GID"),
            ("vm.work]", "vm.Work]", 4, "a-z"),
            ("0660", "rw", 6, "octal"),
            ("0660", "1777", 6, "octal"),
            ("= 3", "= 0", 7, "max_connections"),
            ("= 3", "= -3", 7, ""),
            ("= 2\n", "= 5000\n", 8, "max_pending"),
            ("= 5\n", "= 0\n", 9, "max_calls_per_second"),
            ("/dev/shm/work", "work", 11, "begins with /"),
            ("= 256", "= 2048", 12, "size_mib"),
            ("= 256", "= 0", 12, "size_mib"),
            ("= 256", "= 255\nlayout = \"pmem\"", 12, "persistent memory"),
            ("= 256", "= 2\nlayout = \"pmem\"", 12, "persistent memory"),
            ("= 256", "= 256\nlayout = \"dax\"", 13, "pmem"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let error = error_of(&text);
            assert!(error.starts_with(&format!("hub.toml:{line}: ")), "{to}: {error}");
            assert!(error.contains(words), "{to}: {error}");
            assert!(error.contains(text.lines().nth(line - 1).unwrap()), "{to}: {error}");
        }
    }

    #[test]
    fn two_vms_cannot_share_a_socket_or_a_region() {
        let error = error_of(&GOOD.replace("/run/web/hub.sock", "/run//work/./hub.sock"));
        assert!(error.contains("already that of VM"), "{error}");
        let region = "[vm.web.region]\npath = \"/dev/shm/work.region\"\nsize_mib = 1\n";
        let error = error_of(&format!("{GOOD}{region}"));
        assert!(error.contains("already the region of VM"), "{error}");
        let error = error_of(&GOOD.replace("/run/web/hub.sock", "/run/gate.sock"));
        assert!(error.contains("already the gate's"), "{error}");
    }

    #[test]
    fn addresses_of_vsock_are_understood_and_a_vm_has_one_identity() {
        let with = |gate: &str, work: &str, web: &str| {
            parse(&format!("gate = \"{gate}\"\n[vm.work]\nlisten = \"{work}\"\n[vm.web]\nlisten = \"{web}\""))
        };
        let config = with("vsock:3:5000", "vsock:4:5000", "vsock:5:5000").unwrap();
        assert_eq!(config.gate, Address::Vsock { cid: VsockCid::Is(3), port: 5000 });
        let web = &config.vms[&"web".parse().unwrap()];
        assert_eq!(web.listen, Address::Vsock { cid: VsockCid::Is(5), port: 5000 });
        with("vsock-uds:/gui:5000", "vsock-uds:/work:5000", "vsock-uds:/web:5000").unwrap();
        for (gate, work, web, words) in [
            ("unix:/g", "vsock:4:5000", "vsock:4:6000", "CID 4 is already that of VM"),
            ("vsock:4:1", "vsock:4:5000", "unix:/w", "CID 4 is already the gate's"),
            ("unix:/g", "vsock-uds:/v:1", "vsock-uds://v:2", "/v is already that of VM"),
            ("vsock-uds:/v:1", "vsock-uds:/v:1", "unix:/w", "/v is already the gate's"),
            ("unix:/g", "vsock-uds:/v:1", "unix:/v_1", "/v_1 is already that of VM"),
        ] {
            let error = with(gate, work, web).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_file_without_vms_is_an_error() {
        let error = error_of("gate = \"unix:/g\"");
        assert_eq!(error, "hub.toml: no VM is configured: there is no table [vm.NAME]");
    }

    #[test]
    fn users_are_found_by_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        assert_eq!(lookup_user(passwd, "nobody"), Some(Identity { uid: 65534, gid: 65533 }));
        assert_eq!(lookup_user(passwd, "x"), None);
    }
}
