//! Gives the shared C library the name by which programs ask for it at run time.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvirtio_wl.so.0");
}
