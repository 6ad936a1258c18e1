//! From the model to pixels: what a frame shows is derived anew from the model each time, but for what cannot have changed
//! ([`contents`]).

pub mod animation;
pub mod background;
pub mod canvas;
pub mod capture;
pub mod contents;
pub(crate) mod cursor;
pub mod elements;
pub mod frame;
pub mod glyph;
pub mod hint;
pub mod label;
pub mod prompt;
pub mod replaced;
pub mod scene;
pub mod schedule;
pub mod switcher;
pub mod text;
mod themed;
pub mod view;
