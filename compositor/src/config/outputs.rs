//! The tables `[output.NAME]`.

use std::collections::BTreeMap;

use serde::Deserialize;
use smithay::utils::Transform;
use toml::Spanned;

use super::document::Mistake;
use crate::shell::outputs::{MAX_POSITION, Settings, WantedMode};
use crate::state::{is_sane, is_sane_scale};

/// The highest refresh rate that a mode may name, in hertz.
const MAX_REFRESH: f64 = 1000.0;

/// How pictures can be turned, by the names of wlr-randr and others: degrees counter-clockwise, mirrored first if so named.
pub const TRANSFORMS: [(&str, Transform); 8] = [
    ("normal", Transform::Normal),
    ("90", Transform::_90),
    ("180", Transform::_180),
    ("270", Transform::_270),
    ("flipped", Transform::Flipped),
    ("flipped-90", Transform::Flipped90),
    ("flipped-180", Transform::Flipped180),
    ("flipped-270", Transform::Flipped270),
];

/// The name of a transform.
#[must_use]
pub fn transform_name(transform: Transform) -> &'static str {
    TRANSFORMS.iter().find(|(_, other)| *other == transform).map_or("normal", |(name, _)| name)
}

/// One output.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Output {
    position: Option<Spanned<(i32, i32)>>,
    scale: Option<Spanned<f64>>,
    transform: Option<Spanned<String>>,
    mode: Option<Spanned<String>>,
    enabled: Option<bool>,
}

/// All of them, by their names.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct OutputTables(BTreeMap<String, Output>);

impl OutputTables {
    pub(super) fn check(&self) -> Result<BTreeMap<String, Settings>, Mistake> {
        self.0.iter().map(|(name, output)| Ok((name.clone(), output.check()?))).collect()
    }
}

impl Output {
    fn check(&self) -> Result<Settings, Mistake> {
        if let Some(position) = &self.position
            && ![position.get_ref().0, position.get_ref().1]
                .iter()
                .all(|at| (-MAX_POSITION..=MAX_POSITION).contains(at))
        {
            return Err(Mistake::at(
                position,
                format!("A position is at most {MAX_POSITION} from the origin"),
            ));
        }
        if let Some(scale) = self.scale.as_ref().filter(|scale| !is_sane_scale(*scale.get_ref())) {
            return Err(Mistake::at(scale, "A scale is from 0.5 to 8"));
        }
        let transform = self.transform.as_ref().map(|text| {
            let found = TRANSFORMS.iter().find(|(name, _)| name == text.get_ref());
            let names: Vec<&str> = TRANSFORMS.iter().map(|(name, _)| *name).collect();
            found
                .map(|(_, transform)| *transform)
                .ok_or_else(|| Mistake::at(text, format!("A transform is one of {}", names.join(", "))))
        });
        let mode = self.mode.as_ref().map(|text| {
            let message = "A mode is WIDTHxHEIGHT or WIDTHxHEIGHT@HERTZ, with 64 to 16384 pixels each way";
            mode(text.get_ref()).ok_or_else(|| Mistake::at(text, message))
        });
        Ok(Settings {
            position: self.position.as_ref().map(|position| (*position.get_ref()).into()),
            scale: self.scale.as_ref().map(|scale| *scale.get_ref()),
            transform: transform.transpose()?,
            mode: mode.transpose()?,
            enabled: self.enabled,
        })
    }
}

/// Reads a mode such as `1920x1080` or `2560x1440@59.95`.
#[must_use]
pub fn mode(text: &str) -> Option<WantedMode> {
    let (size, refresh) = text.split_once('@').map_or((text, None), |(size, refresh)| (size, Some(refresh)));
    let (w, h) = size.split_once('x')?;
    let size = (w.parse().ok()?, h.parse().ok()?).into();
    let millihertz = |text: &str| -> Option<i32> {
        let hertz: f64 = text.parse().ok()?;
        #[allow(clippy::cast_possible_truncation, reason = "at most a thousand hertz")]
        (hertz > 0.0 && hertz <= MAX_REFRESH).then(|| (hertz * 1000.0).round() as i32)
    };
    let refresh = match refresh {
        Some(text) => Some(millihertz(text)?),
        None => None,
    };
    is_sane(size).then_some(WantedMode { size, refresh })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn settings(text: &str) -> Result<Settings, String> {
        let text = format!("[output.\"HDMI-A-1\"]\n{text}\n");
        let config = Config::parse(Path::new("v.toml"), &text).map_err(|error| error.one_line())?;
        Ok(config.outputs.get("HDMI-A-1").cloned().unwrap())
    }

    #[test]
    fn every_key_says_something() {
        let nothing = Settings::default();
        assert_eq!(settings("").unwrap(), nothing);
        let position = Settings { position: Some((-1280, 40).into()), ..nothing.clone() };
        assert_eq!(settings("position = [-1280, 40]").unwrap(), position);
        assert_eq!(settings("scale = 1.5").unwrap(), Settings { scale: Some(1.5), ..nothing.clone() });
        let turned = Settings { transform: Some(Transform::Flipped270), ..nothing.clone() };
        assert_eq!(settings("transform = \"flipped-270\"").unwrap(), turned);
        let wanted = WantedMode { size: (1920, 1080).into(), refresh: Some(59_940) };
        assert_eq!(settings("mode = \"1920x1080@59.94\"").unwrap().mode, Some(wanted));
        assert_eq!(settings("enabled = false").unwrap(), Settings { enabled: Some(false), ..nothing });
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        for (line, what) in [
            ("position = [0, 70000]", "position"),
            ("scale = 0.1", "scale"),
            ("transform = \"91\"", "flipped-270"),
            ("mode = \"1920x\"", "mode"),
            ("mode = \"1920x1080@0\"", "mode"),
            ("mode = \"20x20\"", "mode"),
            ("colour = 1", "colour"),
        ] {
            let error = settings(line).unwrap_err();
            assert!(error.starts_with("v.toml:2: ") && error.contains(what), "{line}: {error}");
        }
    }
}
