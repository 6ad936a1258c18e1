//! What is allowed in a configuration and yet makes VMs hard to tell apart.
//!
//! # Model
//!
//! Colours that are equal are an error ([`super::document`]); colours that are alike are a warning. Two VMs are compared by all
//! [`Eyes`]; where their patterns or marks differ nothing is said of them, because they are told apart by those. A colour of the
//! compositor's own is compared with each VM's whatever its pattern is: the compositor's have none.
//!
//! Text is not looked at: letters are black or white, whichever is read better on the VM's colour, and so have a contrast of at
//! least 4.5 to 1 ([`crate::trust::style::Rgb::readable`]).

use std::fmt;

use super::Config;
use crate::render::OWN_COLORS;
use crate::trust::origin::Origin;
use crate::trust::style::LabelStyle;
use crate::trust::vision::Eyes;

/// Colours that are nearer to each other are alike.
const CLOSE: f64 = 0.10;
/// The same for eyes that see fewer colours: what is less than this is confused.
const CONFUSED: f64 = 0.06;
/// A VM's colour that is nearer to one of the compositor's own is taken for it.
const OWN: f64 = 0.08;

/// One thing that makes VMs hard to tell apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning(String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What somebody should think about who wrote this configuration, in the order of the VMs' names.
#[must_use]
pub fn warnings(config: &Config) -> Vec<Warning> {
    let vms = config.vms.keys().cloned().map(Origin::Vm);
    let all: Vec<(String, &LabelStyle)> = std::iter::once(Origin::Local)
        .chain(vms)
        .filter_map(|origin| Some((who(&origin), config.style(&origin)?)))
        .collect();
    let mut warnings = Vec::new();
    for (index, (name, style)) in all.iter().enumerate() {
        for (other_name, other) in all.iter().take(index) {
            warnings.extend(pair((other_name, other), (name, style)));
        }
        let desktop = ("the bare desktop".to_owned(), config.theme.background, CLOSE);
        let own = OWN_COLORS.iter().map(|(what, color)| ((*what).to_owned(), *color, OWN));
        for (what, color, least) in own.chain([desktop]) {
            let distance = Eyes::Trichromat.distance(style.color, color);
            if distance < least {
                warnings.push(Warning(format!(
                    "{name}: its colour {} looks like that of {what}, {color} (distance {distance:.2}, less than {least:.2}); \
                     choose another colour",
                    style.color
                )));
            }
        }
    }
    warnings
}

fn who(origin: &Origin) -> String {
    match origin {
        Origin::Local => String::from("[local]"),
        Origin::Vm(name) => format!("[vm.{name}]"),
    }
}

/// What is to be said of two origins.
fn pair((a, one): (&str, &LabelStyle), (b, other): (&str, &LabelStyle)) -> Option<Warning> {
    if one.pattern != other.pattern || one.mark != other.mark {
        return None;
    }
    let colors = format!("{a} and {b}: their colours {} and {}", one.color, other.color);
    let todo = "choose another colour, or give one of them another pattern or mark";
    let distance = Eyes::Trichromat.distance(one.color, other.color);
    if distance < CLOSE {
        return Some(Warning(format!(
            "{colors} are close (distance {distance:.2}, less than {CLOSE:.2}); {todo}"
        )));
    }
    let blind = [Eyes::Protan, Eyes::Deutan, Eyes::Tritan];
    let confused = blind.map(|eyes| (eyes, eyes.distance(one.color, other.color)));
    let confused: Vec<String> = confused
        .iter()
        .filter(|(_, distance)| *distance < CONFUSED)
        .map(|(eyes, distance)| format!("{} (distance {distance:.2})", whose(*eyes)))
        .collect();
    (!confused.is_empty()).then(|| {
        Warning(format!(
            "{colors} look alike to people {}, less than {CONFUSED:.2}; {todo}",
            confused.join(" or ")
        ))
    })
}

fn whose(eyes: Eyes) -> &'static str {
    match eyes {
        Eyes::Trichromat => "with all cones",
        Eyes::Protan => "who see no red (protan)",
        Eyes::Deutan => "who see no green (deutan)",
        Eyes::Tritan => "who see no blue (tritan)",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn said(text: &str) -> Vec<String> {
        let config = Config::parse(Path::new("vitrail.toml"), text).unwrap();
        warnings(&config).iter().map(ToString::to_string).collect()
    }

    fn two(one: &str, other: &str) -> Vec<String> {
        said(&format!("[vm.a]\n{one}\n[vm.b]\n{other}"))
    }

    #[test]
    fn the_built_in_configuration_and_well_chosen_colours_say_nothing() {
        assert_eq!(warnings(&Config::load_default().unwrap()), []);
        assert_eq!(two("color = '#2e7d32'", "color = '#7b1fa2'"), [""; 0]);
    }

    #[test]
    fn colours_that_are_close_are_named_with_both_vms_and_what_to_do() {
        let said = two("color = '#2e7d32'", "color = '#2c7a3a'");
        assert_eq!(said.len(), 1, "{said:?}");
        for part in ["[vm.a] and [vm.b]", "#2e7d32 and #2c7a3a", "are close", "another pattern or mark"] {
            assert!(said[0].contains(part), "{said:?}");
        }
    }

    #[test]
    fn each_kind_of_eyes_that_confuses_two_colours_is_named() {
        for (one, other, kind) in [
            ("#2e7d32", "#c62828", "deutan"),
            ("#2e7d32", "#1565c0", "tritan"),
            ("#c62828", "#1b5e20", "protan"),
        ] {
            let said = two(&format!("color = '{one}'"), &format!("color = '{other}'"));
            assert!(said.len() == 1 && said[0].contains(kind), "{one} {other}: {said:?}");
        }
    }

    #[test]
    fn a_pattern_or_a_mark_tells_two_vms_apart_and_the_warning_is_gone() {
        for tells in ["pattern = 'dots'", "mark = 'square'"] {
            for (one, other) in [("#2e7d32", "#2c7a3a"), ("#2e7d32", "#c62828")] {
                let second = format!("color = '{other}'\n{tells}");
                assert_eq!(two(&format!("color = '{one}'"), &second), [""; 0], "{tells}");
            }
        }
        let same = "pattern = 'dots'";
        assert_eq!(
            two(&format!("color = '#2e7d32'\n{same}"), &format!("color = '#c62828'\n{same}")).len(),
            1
        );
    }

    #[test]
    fn a_colour_of_the_compositors_own_is_nobodys_whatever_the_pattern() {
        for (what, color) in OWN_COLORS {
            let said = said(&format!("[vm.a]\ncolor = '{color}'\npattern = 'dots'"));
            assert!(said.iter().any(|line| line.contains(what)), "{what}: {said:?}");
        }
        let said = said("[theme]\nbackground = '#103050'\n[vm.a]\ncolor = '#113355'");
        assert!(said.iter().any(|line| line.contains("the bare desktop")), "{said:?}");
    }

    #[test]
    fn a_vm_that_looks_like_local_programs_is_named() {
        let said = said("[vm.a]\ncolor = '#62666c'");
        assert!(said.iter().any(|line| line.starts_with("[local] and [vm.a]")), "{said:?}");
    }
}
