//! The table of applications, `tests/applications.toml`: how each is started, what is done to it, and how it ends.
//!
//! Most are applications of a VM; the `local` ones are programs of the GUI VM itself.
//!
//! Texts (arguments, environment, files, what is typed) may contain `{dir}`, the directory of the VM that the
//! application runs in, where its files are, and `{root}`, the folder that packages of another release were unpacked
//! into.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One application.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// What it is called; unique.
    pub name: String,
    /// The Debian packages that bring it. The first has the version that is shown.
    pub packages: Vec<String>,
    /// The Debian release that the packages are of, where not that of the machine: they are then not installed, but
    /// unpacked into `{root}`, and the command starts the loader there with the libraries there.
    #[serde(default)]
    pub release: String,
    /// Whether it is among the tests, being small and quick.
    #[serde(default)]
    pub light: bool,
    /// Whether it is a program of the GUI VM itself, connected to the compositor's own socket. It need not have windows, so
    /// places and shares are those of the whole output.
    #[serde(default)]
    pub local: bool,
    /// Where it does not follow from the name: what it is or why it stands for another one, for the reader of the
    /// results.
    #[serde(default)]
    pub note: String,
    /// Why it is not run: what it needs, no compositor of today gives. Empty for those that are run.
    #[serde(default)]
    pub unusable: String,
    /// An interface that the application cannot do without and that no VM may get. What the row checks is that the
    /// policy says so, and that the application, told that there is none, says so too and ends by itself.
    #[serde(default)]
    pub withheld: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables beside those of every application.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Files that it finds in `{dir}`: name and content.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What the steps exercise, in words.
    pub exercised: String,
    /// What is done, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// How it is made to end.
    #[serde(default)]
    pub end: End,
    /// Whether it destroys its objects in an order that the protocol forbids when it ends. The compositor complains if it
    /// comes to that before the connection is gone; only what was logged before the end counts then.
    #[serde(default)]
    pub careless_end: bool,
    /// The exit status that it then has.
    #[serde(default)]
    pub status: i32,
}

/// A place in the content of the top-most window (of the output, for local programs): shares of its width and height. For a
/// push, pixels to the right and down.
pub type Place = (f64, f64);

/// One thing that is done, or waited for.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Waits for a window whose title contains this, whatever it shows.
    Opens(String),
    /// Waits for a window whose title contains this, and which shows more than one colour.
    Window(String),
    /// As `Window`, and it has drawn itself as the active one: for toolkits that draw themselves anew then, which would be
    /// taken for the effect of the next step.
    Settles(String),
    /// Types a text by the US layout.
    Type(String),
    /// Presses the keys of a chord, such as `ctrl+shift+t`, and releases them.
    Keys(String),
    /// Moves the pointer.
    Move(Place),
    /// Pushes the pointer by so many pixels.
    Push(Place),
    /// Clicks with the left button.
    Click(Place),
    /// Clicks with the right button.
    RightClick(Place),
    /// Presses the left button and holds it.
    Press(Place),
    /// Moves the pointer and releases the left button.
    Release(Place),
    /// Touches the touch screen with a finger for a moment.
    Tap(Place),
    /// Puts a finger on the touch screen, draws it from one place to another and lifts it.
    Stroke(Place, Place),
    /// Brings the pen of a graphics tablet near one place, sets it down, draws it to another and takes it away.
    Pen(Place, Place),
    /// Turns the wheel by this many steps down.
    Scroll(f64),
    /// Waits until this share of the top-most window (of the output, for local programs) shows something else than at the
    /// last such wait (or when the window came).
    Changes(f64),
    /// Waits until a share of the top-most window (of the output, for local programs) has this colour (`#rrggbb`).
    Shows(String, f64),
    /// Waits until a file in `{dir}` has exactly this content.
    File(String, String),
    /// Waits until the application's output contains this.
    Logs(String),
    /// Runs another program in the same VM, with this as its standard input, until it ends with status 0 and has
    /// written exactly the last part.
    Run(Vec<String>, String, String),
    /// Runs a program of the GUI VM, until it ends with status 0.
    Local(Vec<String>),
    /// Starts a program of the GUI VM, which runs beside the application to its end, and waits until its output contains
    /// this.
    Beside(Vec<String>, String),
    /// Keeps a picture of the screen under this name.
    Picture(String),
}

/// How an application is made to end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    /// Its window is asked to close, by the compositor's key.
    #[default]
    Close,
    /// By what is typed into it.
    Type(String),
    /// By keys of its own.
    Keys(String),
    /// By SIGINT, where there is no other way.
    Interrupt,
    /// By SIGTERM, which it does not survive: it has no end of its own.
    Killed,
    /// By itself, after the last step.
    Itself,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    application: Vec<Application>,
}

/// All applications, in the order in which the results show them.
///
/// # Panics
///
/// When the table is not what it should be.
#[must_use]
pub fn applications() -> Vec<Application> {
    let table: Table = toml::from_str(include_str!("../../applications.toml")).expect("a well-formed table");
    table.application
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_light_ones_are_of_the_release_of_the_machine() {
        for application in applications().iter().filter(|application| application.light) {
            assert_eq!(application.release, "", "{}", application.name);
        }
    }

    #[test]
    fn those_that_are_withheld_what_they_need_say_so_and_end_by_themselves() {
        for application in applications().iter().filter(|application| !application.withheld.is_empty()) {
            assert!(matches!(application.end, End::Itself), "{}", application.name);
            assert!(matches!(application.steps[..], [Step::Logs(_)]), "{}", application.name);
            assert_ne!(application.status, 0, "{}", application.name);
        }
    }

    #[test]
    fn every_application_has_its_own_name_and_says_what_is_exercised() {
        let applications = applications();
        let names: BTreeSet<_> = applications.iter().map(|application| &application.name).collect();
        assert_eq!(names.len(), applications.len());
        for application in &applications {
            assert!(!application.packages.is_empty(), "{}", application.name);
            assert!(!application.command.is_empty(), "{}", application.name);
            assert!(!application.exercised.is_empty(), "{}", application.name);
        }
    }
}
