//! See `virtio_wl_fuzz::c_msghdr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtio_wl_fuzz::run("c_msghdr", input));
