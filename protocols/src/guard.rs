//! The guards by name, so that a test can be run without one of them and be seen to fail.
//!
//! Each [`Guard`] stands for a decision that keeps a VM from doing something, wherever it is made: a rule that both the gate
//! and the compositor enforce is one guard. The code that decides asks [`Guard::holds`]. In every build but one the answer is
//! a constant, so that nothing is left of the question. In a build with the feature `without-guards` those that the
//! variable [`VARIABLE`] names do not hold; such a build says so when it starts, and does not exist with optimisation.
//!
//! The hostile suite (`cargo xtask hostile --without-guard ROW`) makes that build for itself and runs each case in it
//! with its guards switched off: a case that passes then tries nothing.

/// The environment variable that names the guards that do not hold, separated by commas; read with the feature
/// `without-guards` alone.
pub const VARIABLE: &str = "VITRAIL_WITHOUT_GUARDS";

#[cfg(all(feature = "without-guards", not(debug_assertions)))]
compile_error!("the feature `without-guards` is for tests and is not to be had with optimisation");

macro_rules! guards {
    ($($(#[doc = $text:literal])+ $guard:ident = $name:literal,)+) => {
        /// A decision that keeps a VM from doing something.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Guard {
            $($(#[doc = $text])+ $guard,)+
        }

        impl Guard {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$guard),+];

            /// The name, as [`VARIABLE`] has it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$guard => $name,)+
                }
            }
        }
    };
}

guards! {
    /// Every window, popup and thumbnail is drawn with its label or not at all.
    Label = "label",
    /// Windows stand on an opaque backing.
    Backing = "backing",
    /// A surface tree is cut to the rectangle that the compositor assigned.
    Clip = "clip",
    /// What a window does not want of the input falls through to nobody.
    Holes = "holes",
    /// Popups stay in the work area, and cover a part of it at most.
    PopupPlace = "popup-place",
    /// Popups belong to the VM that has the keyboard.
    PopupFocus = "popup-focus",
    /// Titles are short and have nothing that steers; those that resemble a label are marked.
    Title = "title",
    /// A client hides the pointer over its own content alone, and while it has the keyboard.
    Cursor = "cursor",
    /// The keyboard goes to another VM by the user's hand alone.
    Focus = "focus",
    /// A token for the focus works in its own VM.
    Token = "token",
    /// A handle of a window works in its own VM.
    Handle = "handle",
    /// A selection is offered to its own VM.
    Selection = "selection",
    /// A drag is over its own VM's windows alone.
    Drag = "drag",
    /// A held key ends when the keyboard goes to another VM.
    Keys = "keys",
    /// What the user took back of the input stays with the user.
    Release = "release",
    /// A window keeps the session awake while it is in sight and has the keyboard.
    Idle = "idle",
    /// Subsurfaces are nested so deep and no deeper.
    Depth = "depth",
    /// Objects and bytes are counted and limited.
    Counts = "counts",
    /// Descriptors are limited.
    Descriptors = "descriptors",
    /// Bytes, requests, commits and damage are taken at a bounded rate, and so many in one turn.
    Rate = "rate",
    /// Numbers that no honest client sends end it.
    Numbers = "numbers",
    /// A VM sees and binds the globals of its policy alone.
    Globals = "globals",
    /// Pictures of local programs show of a VM what its rule says.
    Capture = "capture",
    /// Behind the lock nothing is drawn.
    Lock = "lock",
    /// A client that does not read what it is sent is ended.
    Pending = "pending",
    /// What a VM wrote is escaped in the log.
    Log = "log",
}

impl Guard {
    /// Whether the guard is in force.
    #[cfg(not(feature = "without-guards"))]
    #[inline]
    #[must_use]
    pub const fn holds(self) -> bool {
        true
    }

    /// Whether the guard is in force.
    #[cfg(feature = "without-guards")]
    #[must_use]
    pub fn holds(self) -> bool {
        !switched_off().contains(&self)
    }

    /// The guard of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|guard| guard.name() == name)
    }
}

/// The guards that the environment switches off; a name that is none ends the program, since its test would prove nothing.
#[cfg(feature = "without-guards")]
fn switched_off() -> &'static [Guard] {
    static OFF: std::sync::OnceLock<Vec<Guard>> = std::sync::OnceLock::new();
    OFF.get_or_init(|| {
        let names = std::env::var(VARIABLE).unwrap_or_default();
        let names = names.split(',').filter(|name| !name.is_empty());
        names.map(|name| Guard::named(name).unwrap_or_else(|| panic!("{name} is no guard"))).collect()
    })
}

/// What a program is to say when it starts, if guards can be switched off in it.
#[must_use]
pub fn warning() -> Option<&'static str> {
    cfg!(feature = "without-guards")
        .then_some("built for tests: guards can be switched off, so this guards nothing")
}

/// The variables of the environment that a program that starts another one with an empty environment passes on, for this.
pub const KEPT: &[&str] = if cfg!(feature = "without-guards") { &[VARIABLE] } else { &[] };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_found_again() {
        for guard in Guard::ALL {
            assert_eq!(Guard::named(guard.name()), Some(*guard));
        }
        assert_eq!(Guard::named("none"), None);
    }

    /// The feature is never on by default: a test that is built in the usual way finds all guards in force, whatever the
    /// environment says.
    #[test]
    fn in_a_usual_build_every_guard_holds() {
        if warning().is_none() {
            assert!(Guard::ALL.iter().all(|guard| guard.holds()));
            assert!(KEPT.is_empty());
        }
    }
}
