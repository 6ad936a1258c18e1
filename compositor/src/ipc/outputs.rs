//! Outputs in the control socket: what they are, and how headless ones are plugged in and out.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::server::Reply;
use crate::config::outputs::transform_name;
use crate::handlers::gamma_control::GammaRamp;
use crate::shell::outputs::{Head, Output, OutputMode};
use crate::shell::workspaces::WorkspaceReport;
use crate::state::{Comp, State, is_sane, is_sane_scale};

/// The longest name of an output, in bytes.
const MAX_NAME: usize = 64;

/// A resolution with a refresh rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModeReport {
    /// Width in physical pixels.
    pub w: i32,
    /// Height in physical pixels.
    pub h: i32,
    /// In hertz.
    pub refresh: f64,
}

impl From<OutputMode> for ModeReport {
    fn from(mode: OutputMode) -> Self {
        Self { w: mode.size.w, h: mode.size.h, refresh: f64::from(mode.refresh) / 1000.0 }
    }
}

/// What a program has made of the colours of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GammaReport {
    /// How many values each ramp has.
    pub size: usize,
    /// What becomes of the brightest red, green and blue, of 65535.
    pub brightest: (u16, u16, u16),
}

impl GammaReport {
    fn of(ramp: &GammaRamp) -> Self {
        let colors = ramp.colors();
        let [red, green, blue] = colors.map(|color| color.last().copied().unwrap_or_default());
        Self { size: colors[0].len(), brightest: (red, green, blue) }
    }
}

/// An output, plugged in or remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputReport {
    /// The name of its connector, by which the configuration knows it.
    pub name: String,
    /// Who made the screen; empty if that is not known.
    pub make: String,
    /// What they call it.
    pub model: String,
    /// Which of those it is.
    pub serial: String,
    /// It is plugged in.
    pub connected: bool,
    /// It has windows.
    pub enabled: bool,
    /// It is lit.
    pub powered: bool,
    /// The user is there.
    pub active: bool,
    /// The resolution.
    pub mode: ModeReport,
    /// What the screen can show. Empty: anything.
    pub modes: Vec<ModeReport>,
    /// Physical pixels per logical pixel.
    pub scale: f64,
    /// How the picture is turned.
    pub transform: String,
    /// Where it stands beside the others, in logical pixels: from the left, and from the top.
    pub position: (i32, i32),
    /// How large it is there: width and height in logical pixels.
    pub size: (i32, i32),
    /// What a program has made of its colours; null if they are its own.
    pub gamma: Option<GammaReport>,
    /// Its workspaces in their order.
    pub workspaces: Vec<WorkspaceReport>,
}

/// A headless output as it is written: `WIDTHxHEIGHT`, and if it is not 1 the scale, `WIDTHxHEIGHT@SCALE`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VirtualOutput {
    /// Width and height in physical pixels.
    pub size: (i32, i32),
    /// Physical pixels per logical pixel.
    pub scale: f64,
}

/// What is no such output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an output is written WIDTHxHEIGHT or WIDTHxHEIGHT@SCALE, with 64 to 16384 pixels each way and a scale from 0.5 to 8"
)]
pub struct VirtualOutputError;

impl std::str::FromStr for VirtualOutput {
    type Err = VirtualOutputError;

    fn from_str(text: &str) -> Result<Self, VirtualOutputError> {
        let (size, scale) = text.split_once('@').unwrap_or((text, "1"));
        let parsed = size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let (Some(size), Ok(scale)) = (parsed, scale.parse::<f64>()) else { return Err(VirtualOutputError) };
        let sane = is_sane(size.into()) && is_sane_scale(scale);
        sane.then_some(Self { size, scale }).ok_or(VirtualOutputError)
    }
}

impl VirtualOutput {
    /// The screen that this is.
    #[must_use]
    pub fn head(&self, name: &str) -> Head {
        Head::virtual_one(name, self.size.into(), self.scale)
    }
}

impl State {
    /// Plugs a headless output in, or makes one that is plugged in another size.
    pub(super) fn plug_output(&mut self, name: &str, output: VirtualOutput) -> Reply {
        if !self.backend.is_headless() {
            return Reply::Error(String::from("only headless outputs are plugged in by hand"));
        }
        let plain = |byte: u8| byte.is_ascii_graphic();
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
            return Reply::Error(format!(
                "a name has 1 to {MAX_NAME} printable ASCII characters and no spaces"
            ));
        }
        if !is_sane(output.size.into()) || !is_sane_scale(output.scale) {
            return Reply::Error(VirtualOutputError.to_string());
        }
        if self.connect_output(output.head(name)) {
            Reply::Ok(json!({}))
        } else {
            Reply::Error(String::from("there are too many outputs"))
        }
    }

    /// Plugs a headless output out.
    pub(super) fn unplug_output(&mut self, name: &str) -> Reply {
        if !self.backend.is_headless() {
            return Reply::Error(String::from("only headless outputs are plugged out by hand"));
        }
        if !self.comp.shell.outputs().named(name).is_some_and(|output| output.connected) {
            return Reply::Error(no_such_output(name));
        }
        self.disconnect_output(name);
        Reply::Ok(json!({}))
    }
}

/// The error of a name that no output has.
pub(super) fn no_such_output(name: &str) -> String {
    format!("there is no output {name:?}; vitrailctl outputs lists them")
}

impl Comp {
    /// The outputs by their numbers.
    pub(super) fn output_reports(&self) -> Vec<OutputReport> {
        self.shell.outputs().all().map(|output| self.output_report(output)).collect()
    }

    fn output_report(&self, output: &Output) -> OutputReport {
        let (place, head) = (output.logical(), &output.head);
        OutputReport {
            name: head.name.clone(),
            make: head.make.clone(),
            model: head.model.clone(),
            serial: head.serial.clone(),
            connected: output.connected,
            enabled: output.in_use,
            powered: output.powered,
            active: self.shell.outputs().active().id == output.id,
            mode: output.mode.into(),
            modes: head.modes.iter().map(|mode| (*mode).into()).collect(),
            scale: output.layout.scale,
            transform: transform_name(output.transform).to_owned(),
            position: (place.loc.x, place.loc.y),
            size: (place.size.w, place.size.h),
            gamma: self.protocols.gamma_controls.ramp(output.id).map(GammaReport::of),
            workspaces: self.shell.workspaces_report_on(output.id),
        }
    }
}

/// The outputs as people read them, a paragraph for each.
#[must_use]
pub fn text(outputs: &[OutputReport]) -> String {
    let mut text = String::new();
    for output in outputs {
        let state = match output {
            OutputReport { connected: false, .. } => "plugged out",
            OutputReport { enabled: false, .. } => "switched off",
            OutputReport { powered: false, .. } => "dark",
            OutputReport { active: true, .. } => "where you are",
            _ => "in use",
        };
        let ModeReport { w, h, refresh } = output.mode;
        let ((x, y), (width, height)) = (output.position, output.size);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} ({state})", output.name);
        let screen = [&output.make, &output.model, &output.serial].map(String::as_str).join(" ");
        let _ = writeln!(text, "  screen      {}", screen.trim());
        let _ = writeln!(
            text,
            "  mode        {w}x{h} at {refresh} Hz, scale {}, {}",
            output.scale, output.transform
        );
        let _ = writeln!(text, "  place       {width}x{height} at {x},{y}");
        if let Some(GammaReport { brightest: (red, green, blue), .. }) = &output.gamma {
            let _ =
                writeln!(text, "  colours     changed by a program: white is {red},{green},{blue} of 65535");
        }
        let _ = writeln!(text, "  workspaces  {}", super::table::workspaces(&output.workspaces));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headless_output_is_read_as_it_is_written() {
        let read = |text: &str| text.parse::<VirtualOutput>();
        assert_eq!(read("1280x800"), Ok(VirtualOutput { size: (1280, 800), scale: 1.0 }));
        assert_eq!(read("1920x1080@1.5"), Ok(VirtualOutput { size: (1920, 1080), scale: 1.5 }));
        for wrong in ["", "1280", "1280x", "x800", "1280x800@", "1280x800@9", "10x10", "1280x800@NaN"] {
            assert_eq!(read(wrong), Err(VirtualOutputError), "{wrong}");
        }
    }
}
