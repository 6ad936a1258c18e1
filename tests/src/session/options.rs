//! What a session is to be: which VMs, how they share memory, on what output, with which rules.

use std::collections::BTreeMap;

/// How memory is shared between a VM and the GUI VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// A region that both have mapped.
    Region,
    /// A region in a file that a VMM would show to a VM as persistent memory.
    Pmem,
    /// Nothing: pixels travel in the stream.
    Stream,
}

/// What a session is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The names of the VMs, all of [`VM_COLORS`](super::VM_COLORS).
    pub vms: Vec<&'static str>,
    /// The size of the output in pixels.
    pub size: (i32, i32),
    /// The scale of the output.
    pub scale: i32,
    /// The scale of the output where it is no whole number, in 120ths.
    pub fraction: Option<u32>,
    /// Further outputs right of the first one, as `WIDTHxHEIGHT@SCALE`.
    pub more_outputs: Vec<&'static str>,
    /// How memory is shared.
    pub sharing: Sharing,
    /// The size of each region in MiB.
    pub region_mib: u32,
    /// Limits that differ from the defaults, for every VM.
    pub limits: BTreeMap<&'static str, u64>,
    /// The tables of protocols of VMs that have one, as TOML.
    pub protocols: BTreeMap<&'static str, String>,
    /// What pictures of local programs show of VMs of which it is said.
    pub capture: BTreeMap<&'static str, &'static str>,
    /// More tables of the compositor's configuration, as TOML.
    pub tables: String,
    /// Applications of the VMs are offered `zwp_linux_dmabuf_v1`.
    pub dmabuf: bool,
    /// `vitrail-session` runs the compositor.
    pub supervised: bool,
    /// Windows move so long, in milliseconds; not at all if it is zero.
    pub animated: u32,
}

impl Options {
    /// The given VMs on an output of 1280 by 800, with regions and the default limits.
    #[must_use]
    pub fn new(vms: &[&'static str]) -> Self {
        Self {
            vms: vms.to_vec(),
            size: (1280, 800),
            scale: 1,
            fraction: None,
            more_outputs: Vec::new(),
            sharing: Sharing::Region,
            region_mib: 64,
            limits: BTreeMap::new(),
            protocols: BTreeMap::new(),
            capture: BTreeMap::new(),
            tables: String::new(),
            dmabuf: false,
            supervised: false,
            animated: 0,
        }
    }

    /// The same with regions of another size, in MiB.
    #[must_use]
    pub fn region_mib(mut self, size: u32) -> Self {
        self.region_mib = size;
        self
    }

    /// The same on an output of another size (in pixels) and scale.
    #[must_use]
    pub fn output(mut self, width: i32, height: i32, scale: i32) -> Self {
        self.size = (width, height);
        self.scale = scale;
        self
    }

    /// The same with a scale that is no whole number, in 120ths.
    #[must_use]
    pub fn fraction(mut self, scale: u32) -> Self {
        self.fraction = Some(scale);
        self
    }

    /// The same with another output right of those before, as `WIDTHxHEIGHT@SCALE`.
    #[must_use]
    pub fn another_output(mut self, output: &'static str) -> Self {
        self.more_outputs.push(output);
        self
    }

    /// The same with another way to share memory.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// The same with another limit; `name` is that of the configuration.
    #[must_use]
    pub fn limit(mut self, name: &'static str, value: u64) -> Self {
        self.limits.insert(name, value);
        self
    }

    /// The same with a table of protocols for one VM: `table` is the lines below `[vm.NAME.protocols]`.
    #[must_use]
    pub fn protocols(mut self, vm: &'static str, table: &str) -> Self {
        self.protocols.insert(vm, table.to_owned());
        self
    }

    /// The same with another rule for what pictures of local programs show of one VM.
    #[must_use]
    pub fn capture(mut self, vm: &'static str, rule: &'static str) -> Self {
        self.capture.insert(vm, rule);
        self
    }

    /// The same with more tables in the compositor's configuration.
    #[must_use]
    pub fn tables(mut self, text: &str) -> Self {
        self.tables.push_str(text);
        self
    }

    /// The same with VMs whose applications are offered `zwp_linux_dmabuf_v1`. Any device does for the graphics device: it is
    /// never opened.
    #[must_use]
    pub fn dmabuf(mut self) -> Self {
        self.dmabuf = true;
        self
    }

    /// The same with windows that move for so many milliseconds.
    #[must_use]
    pub fn animated(mut self, duration: u32) -> Self {
        self.animated = duration;
        self
    }

    /// The same with `vitrail-session`, which starts the compositor again when it has crashed.
    #[must_use]
    pub fn supervised(mut self) -> Self {
        self.supervised = true;
        self
    }
}
