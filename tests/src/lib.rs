//! Fixtures of the end-to-end, trust and hostile suites.
//!
//! * [`deadline`]: every wait of the suites is for an event, and every wait ends.
//! * [`process`]: children in sessions of their own, with their logs, killed with their test.
//! * [`session`]: a whole Vitrail (compositor, gate, hub, one `wl-forward` per VM) in a directory of its own.
//! * [`ipc`]: the compositor's control socket.
//! * [`image`]: screenshots and what is asserted about them.
//! * [`client`]: well-behaved Wayland clients; [`raw`]: hand-encoded messages for the others.
//! * [`painter`]: an application that draws random rectangles; [`person`]: one with a window for keyboard and pointer.
//! * [`pipes`]: reading and writing with a deadline.
//! * [`applications`]: unmodified applications of Debian, and what is done to each.
//! * [`bystander`]: connections that nothing may happen to while others misbehave.
//! * [`hostile`]: what a VM tries, case by case; [`labelled`]: the label rule, asserted of pictures.
//! * [`random`]: reproducible random numbers.
//! * [`xserver`]: an X server without a screen, and the hands before it.
//!
//! The suites themselves are in `tests/`, one file per theme. They run the programs of the workspace as a
//! user would, and share nothing with each other: each test has its own runtime directories, sockets,
//! regions and processes, so all of them run at the same time.
//!
//! The fixtures panic, with the place of the caller, where a test could do nothing but fail. What a hostile
//! or unlucky client may meet (a protocol error, a closed connection, a passed deadline) is a
//! [`client::ClientError`].

pub mod applications;
pub mod bystander;
pub mod client;
pub mod deadline;
pub mod hostile;
pub mod image;
pub mod ipc;
pub mod labelled;
pub mod painter;
pub mod person;
pub mod pipes;
pub mod process;
pub mod random;
pub mod raw;
pub mod session;
pub mod xserver;
