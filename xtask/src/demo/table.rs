//! The list of windows as vitrailctl gives it, and a table of it for people.

use anyhow::{Context, Result};
use serde::Deserialize;

/// One window; only what the demo needs of it.
#[derive(Debug, Deserialize)]
pub struct Window {
    pub vm: String,
    pub color: String,
    pub app_id: String,
    pub title: String,
    pub frame: Area,
}

/// A rectangle in output pixels.
#[derive(Debug, Deserialize)]
pub struct Area {
    pub x: i32,
    pub y: i32,
    pub w: i32,
    pub h: i32,
}

/// Parses the output of `vitrailctl windows --json`.
///
/// # Errors
/// When it is not the list that it should be.
pub fn parse(json: &str) -> Result<Vec<Window>> {
    serde_json::from_str(json).context("error reading the list of windows")
}

/// The windows as an aligned table.
pub fn format(windows: &[Window]) -> String {
    let mut text = format!("{:12} {:9} {:22} {:>22}  {}\n", "VM", "colour", "application", "frame", "title");
    for window in windows {
        let Area { x, y, w, h } = window.frame;
        let frame = format!("{w}x{h} at {x},{y}");
        let Window { vm, color, app_id, title, .. } = window;
        text.push_str(&format!("{vm:12} {color:9} {app_id:22} {frame:>22}  {title}\n"));
    }
    text
}
