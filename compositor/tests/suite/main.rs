//! The compositor as a whole, with real clients, in one process and one thread.

mod client;
mod fixture;
mod focus;
mod goldens;
mod hostile;
mod identity;
mod labels;
mod popups;
mod selections;
