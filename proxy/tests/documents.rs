//! The manual page and the completions of `wl-forward` say what the program takes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::aot::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use vitrail_proxy::forward::cli::{NOTES, Options};
use vitrail_proxy::forward::sommelier::{Answer, Meaning, ROWS};

/// Set to write the files instead of comparing them.
const UPDATE: &str = "VITRAIL_UPDATE_DOCUMENTS";

/// What the manual says beside the options.
const SEE_ALSO: &str = "virtio_wl(3), systemd.socket(5), sd_notify(3), and docs/wl-forward.md of Vitrail.";

fn command() -> Command {
    // Without what has just been left out of the program's own help.
    Options::command().disable_help_subcommand(true)
}

/// The sections of the notes behind the options, in which a heading ends with a colon and everything else is indented.
fn sections() -> Vec<(String, Vec<String>)> {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for line in NOTES.lines().filter(|line| !line.is_empty()) {
        match line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            Some(heading) => sections.push((heading.to_uppercase(), Vec::new())),
            None if line.starts_with(' ') => sections.last_mut().unwrap().1.push(line[2..].to_owned()),
            None => match sections.last_mut().filter(|(heading, _)| heading == "NOTES") {
                Some((_, lines)) => lines.push(line.to_owned()),
                None => sections.push(("NOTES".to_owned(), vec![line.to_owned()])),
            },
        }
    }
    sections
}

fn manual() -> Vec<u8> {
    let man = Man::new(command().after_help("").after_long_help("")).manual("Vitrail");
    let mut page = Vec::new();
    for render in [Man::render_title, Man::render_name_section, Man::render_synopsis_section] {
        render(&man, &mut page).unwrap();
    }
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    let mut roff = Roff::new();
    for (heading, lines) in sections() {
        roff.control("SH", [heading.as_str()]);
        let is_prose = matches!(heading.as_str(), "NOTES" | "EXIT STATUS");
        if is_prose {
            roff.text([roman(lines.join(" "))]);
            continue;
        }
        // As they are in the program's help, column by column.
        roff.control("nf", []);
        for line in lines {
            let (term, rest) = line.find("  ").map_or((line.as_str(), ""), |at| line.split_at(at));
            roff.text([bold(term), roman(rest)]);
        }
        roff.control("fi", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(SEE_ALSO)]);
    roff.to_writer(&mut page).unwrap();
    page
}

fn completion(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut command(), "wl-forward", &mut script);
    script
}

/// The table of what sommelier takes, in `docs/wl-forward.md`.
fn migration() -> String {
    let mut table = String::from("| option | variable | here |\n|---|---|---|\n");
    for row in ROWS {
        let value = if row.has_value { "=…" } else { "" };
        let option = format!("`{}{value}`", row.option);
        let variable = if row.variable.is_empty() { String::new() } else { format!("`{}`", row.variable) };
        let here = match row.answer {
            Answer::Done(Meaning::Parent) => {
                "serves until it is terminated, on `wayland-0` unless `--socket` names another".to_owned()
            }
            Answer::Done(Meaning::KeepServing) => "the same".to_owned(),
            Answer::Done(Meaning::Notify) => "the same; see sd_notify(3)".to_owned(),
            Answer::Done(Meaning::Hub(advice)) => format!("the hub's address; otherwise: {advice}"),
            Answer::Done(Meaning::ScaleOne(advice)) => format!("1 is accepted; otherwise: {advice}"),
            Answer::Needless(reason) => format!("changes nothing: {reason}"),
            Answer::Instead(advice) => format!("**refused**: {advice}"),
        };
        table.push_str(&format!("| {option} | {variable} | {here} |\n"));
    }
    table
}

/// A text with something else between two of its lines.
#[track_caller]
fn with_part(text: &str, begin: &str, end: &str, part: &str) -> String {
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    format!("{before}{begin}\n{part}{end}{after}")
}

/// Compares a file, or writes it.
#[track_caller]
fn compare(name: &str, expected: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read(&path).unwrap_or_default();
    let (found, expected) = (String::from_utf8_lossy(&found), String::from_utf8_lossy(expected));
    let advice = format!("to update it: {UPDATE}=1 cargo test -p vitrail-proxy --test documents");
    assert_eq!(found, expected, "{name} is not what the program says; {advice}");
}

#[test]
fn the_manual_page_is_that_of_the_program() {
    compare("docs/man/wl-forward.1", &manual());
}

#[test]
fn the_page_has_everything_that_sommelier_takes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/wl-forward.md");
    let page = fs::read_to_string(path).unwrap();
    let expected = with_part(&page, "<!-- sommelier: begin -->", "<!-- sommelier: end -->", &migration());
    compare("docs/wl-forward.md", expected.as_bytes());
}

#[test]
fn the_completions_are_those_of_the_program() {
    for (shell, name) in
        [(Shell::Bash, "wl-forward.bash"), (Shell::Zsh, "_wl-forward"), (Shell::Fish, "wl-forward.fish")]
    {
        compare(&format!("assets/completions/{name}"), &completion(shell));
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
        ["NAME", "SYNOPSIS", "OPTIONS", "ENVIRONMENT", "SIGNALS", "EXIT STATUS", "EXAMPLES", "NOTES"]
    {
        assert!(text.lines().any(|line| line.trim_matches('"').ends_with(heading)), "{heading}");
    }
}

/// The file is run by the shell itself, which says whether it can read it.
#[test]
fn bash_can_read_its_completions_and_completes_an_option() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/completions/wl-forward.bash");
    let script = "source \"$1\" && COMP_WORDS=(wl-forward --max) COMP_CWORD=1 && _wl__forward wl-forward --max wl-forward \
                  && echo \"${COMPREPLY[*]}\"";
    let output = std::process::Command::new("bash").args(["-c", script, "bash"]).arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.trim(), "--max-connections", "{}", String::from_utf8_lossy(&output.stderr));
}
