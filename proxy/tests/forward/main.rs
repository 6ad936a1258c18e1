//! `wl-forward` between an application and a compositor that the tests play themselves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod capture;
mod copies;
mod counting;
mod crossing;
mod dmabuf;
mod dmabuf_devices;
mod drop_in;
mod endings;
mod explaining;
mod hostile;
mod program;
mod scene;
mod slow_peers;
mod tracing;
mod units;
mod wire;
