//! `vitrail-vm-v1`, Vitrail's own protocol: which VMs there are, and their windows, for panels and scripts of the GUI VM.
//!
//! The document is `protocols/vitrail-vm-v1.xml`, and the code is made from it when this crate is built: the module `server` with
//! the feature `server`, and the module `client` with the feature `client`. Without them the crate needs no Wayland library.

#[cfg(feature = "client")]
pub use self::generated::client;
#[cfg(feature = "server")]
pub use self::generated::server;

/// The protocol's document.
pub const DOCUMENT: &str = include_str!("../vitrail-vm-v1.xml");

#[cfg(any(feature = "client", feature = "server"))]
#[allow(
    missing_docs,
    missing_debug_implementations,
    non_upper_case_globals,
    unused_imports,
    unused_qualifications,
    clippy::all,
    clippy::cast_possible_wrap,
    clippy::semicolon_if_nothing_returned,
    clippy::undocumented_unsafe_blocks,
    clippy::uninlined_format_args,
    reason = "the generator's code, whose documentation is the protocol's"
)]
// The generator names the interfaces of libwayland, which is all that is unsafe in it.
#[allow(unsafe_code, reason = "as said")]
mod generated {
    #[cfg(feature = "client")]
    pub mod client {
        //! The protocol from a client's side.
        use wayland_client;
        use wayland_client::protocol::*;

        pub mod __interfaces {
            use wayland_client::protocol::__interfaces::*;
            wayland_scanner::generate_interfaces!("vitrail-vm-v1.xml");
        }
        use self::__interfaces::*;

        wayland_scanner::generate_client_code!("vitrail-vm-v1.xml");
    }

    #[cfg(feature = "server")]
    pub mod server {
        //! The protocol from the compositor's side.
        use wayland_server;
        use wayland_server::protocol::*;

        pub mod __interfaces {
            use wayland_server::protocol::__interfaces::*;
            wayland_scanner::generate_interfaces!("vitrail-vm-v1.xml");
        }
        use self::__interfaces::*;

        wayland_scanner::generate_server_code!("vitrail-vm-v1.xml");
    }
}
