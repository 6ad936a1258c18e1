//! The manual page, the completions and the units of `vitrail-session` say what the program does.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::aot::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use vitrail::session::cli::{NOTES, Options};
use vitrail::session::environment::{DESKTOP, TARGET};

/// Set to write the files instead of comparing them.
const UPDATE: &str = "VITRAIL_UPDATE_DOCUMENTS";

/// What the manual says beside the options.
const SEE_ALSO: &str = "systemd.special(7), sd_notify(3), dbus-update-activation-environment(1), and docs/session.md of Vitrail.";

fn command() -> Command {
    Options::command()
}

/// The manual: what clap knows, and the notes behind the options, in which a heading ends with a colon and everything else is
/// indented.
fn manual() -> Vec<u8> {
    let man = Man::new(command().after_help("").after_long_help("")).manual("Vitrail");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    let mut roff = Roff::new();
    let mut columns = false;
    for line in NOTES.lines().filter(|line| !line.is_empty()) {
        if let Some(heading) = line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            if columns {
                roff.control("fi", []);
            }
            let heading = heading.to_uppercase();
            roff.control("SH", [heading.as_str()]);
            columns = heading != "EXIT STATUS";
            if columns {
                // As they are in the program's help, column by column.
                roff.control("nf", []);
            }
            continue;
        }
        let line = line.strip_prefix("  ").unwrap_or(line);
        if columns {
            let (term, rest) = line.find("  ").map_or((line, ""), |at| line.split_at(at));
            roff.text([bold(term), roman(rest)]);
        } else {
            roff.text([roman(line)]);
        }
    }
    if columns {
        roff.control("fi", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(SEE_ALSO)]);
    roff.to_writer(&mut page).unwrap();
    page
}

fn asset(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Compares a file, or writes it.
#[track_caller]
fn compare(name: &str, expected: &[u8]) {
    let path = asset(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read(&path).unwrap_or_default();
    let (found, expected) = (String::from_utf8_lossy(&found), String::from_utf8_lossy(expected));
    let advice = format!("to update it: {UPDATE}=1 cargo test -p vitrail --test documents");
    assert_eq!(found, expected, "{name} is not what the program says; {advice}");
}

#[test]
fn the_manual_page_is_that_of_the_program() {
    compare("docs/man/vitrail-session.1", &manual());
}

#[test]
fn the_completions_are_those_of_the_program() {
    for (shell, name) in [
        (Shell::Bash, "vitrail-session.bash"),
        (Shell::Zsh, "_vitrail-session"),
        (Shell::Fish, "vitrail-session.fish"),
    ] {
        let mut script = Vec::new();
        generate(shell, &mut command(), "vitrail-session", &mut script);
        compare(&format!("assets/completions/{name}"), &script);
    }
}

#[test]
fn the_manual_has_every_option_and_section() {
    let text = String::from_utf8(manual()).unwrap();
    let plain = text.replace('\\', "");
    for option in command().get_arguments().filter_map(clap::Arg::get_long) {
        assert!(plain.contains(&format!("--{option}")), "{option}");
    }
    for heading in
        ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "SIGNALS", "EXIT STATUS", "EXAMPLES"]
    {
        assert!(text.lines().any(|line| line.trim_matches('"').ends_with(heading)), "{heading}");
    }
}

/// The program starts a unit and calls itself by a name: the files that are installed have to know both.
#[test]
fn the_unit_that_stands_for_the_session_and_the_name_of_the_desktop_are_those_of_the_program() {
    let target = fs::read_to_string(asset("assets/systemd/user").join(TARGET)).unwrap();
    assert!(target.contains("BindsTo=graphical-session.target"));
    let service = fs::read_to_string(asset("assets/systemd/user/vitrail-session.service")).unwrap();
    assert!(service.contains("\nType=notify\n") && service.contains("/vitrail-session\n"));
    let desktop = fs::read_to_string(asset("assets/vitrail.desktop")).unwrap();
    assert!(
        desktop.contains(&format!("\nDesktopNames={DESKTOP}\n"))
            && desktop.contains("\nExec=vitrail-session\n")
    );
}
