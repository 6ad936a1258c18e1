//! See `virtio_wl_fuzz::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| virtio_wl_fuzz::run("frames", input));
