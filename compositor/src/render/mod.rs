//! From the model to pixels: what a frame shows is derived anew from the model each time, but for what cannot have changed
//! ([`contents`]).

pub mod animation;
pub mod background;
pub mod canvas;
pub mod capture;
pub mod contents;
pub(crate) mod cursor;
pub mod dragged;
pub mod elements;
pub mod frame;
pub mod glyph;
pub mod hint;
pub mod label;
pub mod panel;
pub mod prompt;
pub mod replaced;
pub mod scene;
pub mod schedule;
mod stripe;
pub mod switcher;
pub mod text;
mod themed;
pub mod view;
mod xray;

use crate::trust::style::Rgb;

/// The compositor's own colours, and what each is of: a VM in one of them could be taken for it.
pub const OWN_COLORS: [(&str, Rgb); 6] = [
    ("the stripe that nobody has", label::NEUTRAL),
    ("what is wrong or asks for attention", label::WARNING),
    ("the sign of pictures", label::CAPTURING),
    ("the sign of what was done to VMs", label::RESTRAINED),
    ("questions and the trusted panel", label::PANEL),
    ("edges of the compositor's own", Rgb::WHITE),
];
