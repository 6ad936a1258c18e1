//! What a run of WLCS prints, as far as it is about results.

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    /// The compositor does not offer what it needs.
    Skipped,
    /// The program ended in the middle of it.
    Crashed,
    /// Nothing happened any more.
    Hung,
}

impl Outcome {
    /// As wlcs.json has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Crashed => "crashed",
            Self::Hung => "hung",
        }
    }

    /// Whether it is a failure of some kind.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Crashed | Self::Hung)
    }
}

/// A line about one test.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Begins(&'a str),
    Ends(&'a str, Outcome),
}

/// Reads a line.
pub fn read(line: &str) -> Option<Line<'_>> {
    let (mark, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let name = rest.split([',', ' ']).next().filter(|name| name.contains('.'))?;
    // What has no time is from the summary.
    let timed = rest.trim_end().ends_with("ms)");
    let ends = |outcome| timed.then_some(Line::Ends(name, outcome));
    match mark.trim() {
        "RUN" => Some(Line::Begins(name)),
        "OK" => ends(Outcome::Passed),
        "FAILED" => ends(Outcome::Failed),
        "SKIP" => ends(Outcome::Skipped),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_are_read_and_the_summary_is_not() {
        assert_eq!(read("[ RUN      ] A/B.c/0"), Some(Line::Begins("A/B.c/0")));
        assert_eq!(read("[       OK ] A/B.c/0 (90 ms)"), Some(Line::Ends("A/B.c/0", Outcome::Passed)));
        assert_eq!(read("[     SKIP ] A.c (62ms)"), Some(Line::Ends("A.c", Outcome::Skipped)));
        let failed = "[  FAILED  ] A/B.c/1, where GetParam() = xdg_surface_stable (10071 ms)";
        assert_eq!(read(failed), Some(Line::Ends("A/B.c/1", Outcome::Failed)));
        assert_eq!(read("[  FAILED  ] A/B.c/1, where GetParam() = xdg_surface_stable"), None);
        assert_eq!(read("[----------] 13 tests from SelfTest (7612 ms total)"), None);
        assert_eq!(read("[          ] Missing extension: wl_shell>= 2"), None);
    }
}
