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

impl Area {
    fn contains(&self, x: i32, y: i32) -> bool {
        (self.x..self.x + self.w).contains(&x) && (self.y..self.y + self.h).contains(&y)
    }
}

/// A point of a window's title bar that no window above it covers. The list has the lowest window first.
pub fn handle(windows: &[Window], index: usize) -> Option<(i32, i32)> {
    let frame = &windows.get(index)?.frame;
    let y = frame.y + 10;
    let mut points = [4, 3, 5, 2, 6].iter().map(|eighths| (frame.x + frame.w * eighths / 8, y));
    points.find(|(x, y)| !windows.iter().skip(index + 1).any(|above| above.frame.contains(*x, *y)))
}

/// Parses the output of `vitrailctl windows --json`.
///
/// # Errors
/// When it is not the list that it should be.
pub fn parse(json: &str) -> Result<Vec<Window>> {
    serde_json::from_str(json).context("error reading the list of windows")
}

/// The windows as a table, each column as wide as its longest entry.
pub fn format(windows: &[Window]) -> String {
    let mut rows = vec![["VM", "colour", "application", "frame", "title"].map(str::to_owned)];
    for Window { vm, color, app_id, title, frame: Area { x, y, w, h } } in windows {
        let frame = format!("{w}x{h} at {x},{y}");
        rows.push([vm.clone(), color.clone(), app_id.clone(), frame, title.clone()]);
    }
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
