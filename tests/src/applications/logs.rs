//! What the logs of a run say that they should not say.

/// What libwayland and the toolkits write when a connection ends with an error, in lower case.
const CONNECTION_ERRORS: [&str; 6] = [
    "protocol error",
    "wl_display@1: error",
    "wl_display#1: error",
    "error reading events from display",
    "lost connection to wayland",
    "wayland connection broke",
];

/// The lines of an application's output that tell of a protocol error or a broken connection.
pub fn connection_errors(log: &str) -> Vec<&str> {
    let is_error = |line: &&str| {
        let line = line.to_ascii_lowercase();
        CONNECTION_ERRORS.iter().any(|error| line.contains(error))
    };
    log.lines().filter(is_error).collect()
}

/// The lines of one of our programs' logs that are above `info`.
pub fn warnings(log: &str) -> Vec<&str> {
    let is_warning = |line: &&str| {
        let level = line.split_ascii_whitespace().take(2).find(|word| word.chars().all(char::is_uppercase));
        matches!(level, Some("WARN" | "ERROR"))
    };
    log.lines().filter(is_warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_as_libraries_write_them() {
        for line in [
            "wl_display@1: error 1: invalid arguments for xdg_surface@8.ack_configure",
            "Gdk-Message: 12:00:00.0: Error 71 (Protocol error) dispatching to Wayland display.",
            "Gdk-Message: 12:00:00.0: Error reading events from display: Broken pipe",
        ] {
            assert_eq!(connection_errors(&format!("started\n{line}\n")), [line]);
        }
        assert!(connection_errors("Gtk-WARNING: no theme\n").is_empty());
    }

    #[test]
    fn warnings_are_told_from_their_level() {
        let log = "2026-01-01T00:00:00Z  INFO vitrail: an ERROR of a guest\n\
                   2026-01-01T00:00:00Z  WARN vitrail: refused\n";
        assert_eq!(warnings(log), ["2026-01-01T00:00:00Z  WARN vitrail: refused"]);
    }
}
