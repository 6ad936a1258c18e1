//! The limits that one VM is held to: first by its gate worker, and again by the compositor.
//!
//! They are counted over all connections of the VM. Crossing one ends the connection that crossed it with
//! a protocol error, and touches nothing else; crossing a rate only slows the connection down.

use serde::{Deserialize, Serialize};

/// Limits of one VM. In the configuration: the table `limits` of `[defaults]` and `[vm.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections (applications) at a time.
    pub clients: u32,
    /// Live `xdg_toplevel` objects.
    pub toplevels: u32,
    /// Live `xdg_popup` objects.
    pub popups: u32,
    /// Live `wl_surface` objects.
    pub surfaces: u32,
    /// How deep subsurfaces may be nested below a toplevel or popup.
    pub subsurface_depth: u32,
    /// Live `wl_shm_pool` objects.
    pub pools: u32,
    /// Live `wl_buffer` objects.
    pub buffers: u32,
    /// Shared memory of all live buffers together, in MiB.
    pub shm_mib: u32,
    /// File descriptors that a worker may hold.
    pub fds: u32,
    /// Wayland requests per second and connection; one second's worth may come in a burst. Beyond it the
    /// connection waits.
    pub requests_per_second: u32,
    /// Bytes per second and connection that are taken from the VM, likewise.
    pub bytes_per_second: u32,
    /// Commits of surfaces per second, of all connections together; one second's worth may come in a burst. Beyond it nothing
    /// more is read of the VM for as long as it takes.
    pub commits_per_second: u32,
    /// Damaged rectangles per second, likewise.
    pub damage_per_second: u32,
    /// Connections that are ended for breaking a rule within ten seconds, before all connections of the VM are ended and none is
    /// taken for another ten.
    pub breaches: u32,
    /// Bytes waiting for a client that does not read, before its connection is ended.
    pub pending_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 64,
            toplevels: 64,
            popups: 32,
            surfaces: 512,
            subsurface_depth: 16,
            pools: 64,
            buffers: 1024,
            shm_mib: 512,
            fds: 1024,
            requests_per_second: 50_000,
            bytes_per_second: 1 << 30,
            commits_per_second: 30_000,
            damage_per_second: 300_000,
            breaches: 64,
            pending_bytes: 1 << 20,
        }
    }
}
