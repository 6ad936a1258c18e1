//! Which paths of Unix sockets are addresses of other machines.
//!
//! A path is an address if all of it is one (`unix:…`, `vsock:…`, `vsock-uds:…`, `wl0…`), or what follows the runtime
//! directory: libwayland puts `$XDG_RUNTIME_DIR/` before a display that does not begin with `/`. What exists under the
//! path is never asked here: the kernel was, before.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{sa_family_t, sockaddr, socklen_t};
use virtio_wl::Address;

/// The path of the address of a Unix socket. Nothing for addresses of other kinds.
///
/// # Safety
///
/// `address` is null or valid for `length` bytes.
pub unsafe fn path<'a>(address: *const sockaddr, length: socklen_t) -> Option<&'a OsStr> {
    let family = size_of::<sa_family_t>();
    let length = usize::try_from(length).ok().filter(|length| *length > family)?;
    if address.is_null() {
        return None;
    }
    // SAFETY: not null, and valid for more bytes than the family has. The caller may have put it at any address.
    if i32::from(unsafe { address.cast::<sa_family_t>().read_unaligned() }) != libc::AF_UNIX {
        return None;
    }
    let start = address.cast::<u8>().wrapping_add(family);
    // SAFETY: valid for `length` bytes, of which the family is the beginning.
    let bytes = unsafe { std::slice::from_raw_parts(start, length.saturating_sub(family)) };
    let path = bytes.split(|byte| *byte == 0).next()?;
    (!path.is_empty()).then(|| OsStr::from_bytes(path))
}

/// The address that a path is, if it is one, given the runtime directory.
pub fn of_path(path: &OsStr, runtime: Option<&OsStr>) -> Option<Address> {
    let in_runtime = runtime.and_then(|runtime| {
        let rest = path.as_bytes().strip_prefix(Path::new(runtime).as_os_str().as_bytes())?;
        // libwayland puts one slash, even behind another.
        let name = rest.iter().position(|byte| *byte != b'/')?;
        (name > 0).then(|| rest.get(name..)).flatten()
    });
    [Some(path.as_bytes()), in_runtime]
        .into_iter()
        .flatten()
        .find_map(|text| std::str::from_utf8(text).ok()?.parse().ok().filter(is_elsewhere))
}

/// An inherited descriptor is no place that a path could name.
fn is_elsewhere(address: &Address) -> bool {
    !matches!(address, Address::Fd(_))
}
