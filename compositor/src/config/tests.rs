//! What the configuration takes and refuses.

use super::*;
use crate::input::action::Action;
use crate::shell::columns::Arrangement;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("vitrail.toml"), text)
}

fn refused(text: &str) -> Diagnostic {
    match parse(text) {
        Err(ConfigError::Invalid(diagnostic)) => diagnostic,
        other => panic!("expected a mistake, got {other:?}"),
    }
}

fn vm(name: &str) -> Origin {
    Origin::Vm(name.parse().unwrap())
}

#[test]
fn the_built_in_configuration_is_valid() {
    let config = Config::load_default().unwrap();
    assert_eq!(config.vms.keys().map(VmName::as_str).collect::<Vec<_>>(), ["personal", "untrusted", "work"]);
    assert_eq!(config.style(&vm("work")).unwrap().color, Rgb([0x2e, 0x7d, 0x32]));
    assert_eq!(config.gate.unwrap().command, ["vitrail-gate"]);
}

#[test]
fn an_empty_file_serves_local_programs_only() {
    let config = parse("").unwrap();
    assert!(config.vms.is_empty() && config.gate.is_none());
    assert_eq!(config.local.label.as_str(), "local");
    assert_eq!(config.style(&vm("work")), None);
}

#[test]
fn a_vm_without_a_label_is_called_by_its_name() {
    let config = parse("[vm.mail]\ncolour = \"#123456\"").unwrap();
    let style = config.style(&vm("mail")).unwrap();
    assert_eq!((style.label.as_str(), style.pattern), ("mail", Pattern::Solid));
}

#[test]
fn titles_are_ascii_for_vms_and_of_every_script_for_local_programs_unless_configured() {
    let config =
        parse("[vm.a]\ncolor = \"#123456\"\n[vm.b]\ncolor = \"#654321\"\ntitles = \"unicode\"").unwrap();
    let titles = |origin| config.titles(&origin);
    assert_eq!(
        (titles(vm("a")), titles(vm("b")), titles(Origin::Local)),
        (Charset::Ascii, Charset::Unicode, Charset::Unicode)
    );
    assert_eq!(parse("[local]\ntitles = \"ascii\"").unwrap().titles(&Origin::Local), Charset::Ascii);
    assert!(refused("[vm.a]\ncolor = \"#123456\"\ntitles = \"utf-8\"").message.contains("\"unicode\""));
}

#[test]
fn limits_of_a_vm_override_the_defaults_key_by_key() {
    let config = parse(
        "[defaults.limits]\nclients = 7\nsurfaces = 99\n\
         [vm.a]\ncolor = \"#111111\"\n[vm.a.limits]\nsurfaces = 512\n\
         [vm.b]\ncolor = \"#222222\"",
    )
    .unwrap();
    let limits = config.limits(&vm("a"));
    assert_eq!((limits.clients, limits.surfaces, limits.popups), (7, 512, Limits::default().popups));
    assert_eq!(config.limits(&vm("b")), config.default_limits);
}

#[test]
fn an_inline_table_of_limits_works_like_any_other() {
    let config = parse("vm.a = { color = \"#111111\", limits = { fds = 9 } }").unwrap();
    assert_eq!(config.limits(&vm("a")), Limits { fds: 9, ..Limits::default() });
}

#[test]
fn protocols_of_a_vm_override_the_defaults_interface_by_interface() {
    let config = parse(
        "[defaults.protocols]\ndeny = [\"wp_presentation\", \"wp_viewporter\"]\n\
         [vm.a]\ncolor = \"#111111\"\nprotocols = { allow = [\"wp_presentation\"], max_version = { wl_seat = 5 } }\n\
         [vm.b]\ncolor = \"#222222\"",
    )
    .unwrap();
    let seen = |name: &str| {
        let policy = config.policy(&vm(name)).unwrap();
        ["wp_presentation", "wp_viewporter", "wl_seat"].map(|interface| policy.visible_version(interface, 99))
    };
    assert_eq!(seen("a"), [Some(2), None, Some(5)]);
    assert_eq!(seen("b"), [None, None, Some(9)]);
    assert_eq!(config.policy(&vm("stranger")), None);
}

#[test]
fn protocols_that_are_unknown_or_never_shown_are_refused_with_the_reason_where_they_stand() {
    let vm = "[vm.a]\ncolor = \"#111111\"\n[vm.a.protocols]\n";
    for (table, line, column, message) in [
        (
            "allow = [\n  \"ext_idle_notifier_v1\",\n  \"zwlr_layer_shell_v1\"]",
            6,
            3,
            "zwlr_layer_shell_v1 is never shown to a VM, whatever is configured: Draws over the whole screen and beside the \
             labels.",
        ),
        (
            "deny = [\"wp_viewport\"]",
            4,
            9,
            "no interface is known by the name wp_viewport; docs/protocols.md lists those that are",
        ),
        ("allow = [\"wl_shm\"]\ndeny = [\"wl_shm\"]", 5, 9, "wl_shm is both allowed and denied here"),
        (
            "max_version = { wl_shm = 3 }",
            4,
            26,
            "the versions of wl_shm are 1 to 2; to hide it, put it into `deny`",
        ),
    ] {
        let diagnostic = refused(&format!("{vm}{table}"));
        assert_eq!((diagnostic.line, diagnostic.column), (line, column), "{diagnostic}");
        assert_eq!(diagnostic.message, message);
    }
    assert_eq!(refused("[defaults.protocols]\nallow = [\"wl_drm\"]").line, 2);
}

#[test]
fn an_unknown_key_is_refused_where_it_stands() {
    for (text, line, column) in [
        ("[vm.a]\ncolr = \"#111111\"", 2, 1),
        ("[vm.a]\ncolor = \"#111111\"\n[vm.a.limits]\n  surface = 1", 4, 3),
        ("[defaults.limits]\nclientz = 1", 2, 1),
        ("[defaults.protocols]\nalow = []", 2, 1),
        ("[vm.a]\ncolor = \"#111111\"\n[vm.a.protocols]\n  denny = []", 4, 3),
        ("[gate]\ncommand = [\"g\"]\nlistn = \"unix:/x\"", 3, 1),
        ("[local]\npatern = \"dots\"", 2, 1),
        ("[vms.a]\ncolor = \"#111111\"", 1, 2),
    ] {
        let diagnostic = refused(text);
        assert_eq!((diagnostic.line, diagnostic.column), (line, column), "{diagnostic}");
        assert!(diagnostic.message.starts_with("unknown field"), "{diagnostic}");
    }
}

#[test]
fn an_error_shows_file_line_and_the_line_itself() {
    let shown = parse("[vm.work]\nlabel = \"Work\"\ncolor = \"#2e7d3\"\n").unwrap_err().to_string();
    assert_eq!(
        shown,
        "vitrail.toml:3:9: A colour is written \"#rrggbb\", with six hexadecimal digits\n  |\n\
         3 | color = \"#2e7d3\"\n  |         ^^^^^^^^"
    );
}

#[test]
fn two_vms_of_one_colour_are_refused_at_the_second() {
    let diagnostic = refused("[vm.z]\ncolor = \"#AABBCC\"\n[vm.a]\ncolor = \"#aabbcc\"");
    assert_eq!(diagnostic.line, 4);
    assert_eq!(diagnostic.message, "VM z has the colour #aabbcc already");
}

#[test]
fn a_vm_in_the_local_colour_is_refused() {
    let diagnostic = refused("[vm.a]\ncolor = \"#5f6368\"");
    assert_eq!((diagnostic.line, diagnostic.message.as_str()), (2, "[local] has the colour #5f6368 already"));
    let diagnostic = refused("[local]\ncolor = \"#000001\"\n[vm.a]\ncolor = \"#000001\"");
    assert_eq!(diagnostic.line, 4);
}

#[test]
fn labels_that_look_alike_are_refused() {
    let vms = |a: &str, b: &str| format!("[vm.a]\ncolor=\"#111111\"\n{a}\n[vm.b]\ncolor=\"#222222\"\n{b}");
    assert_eq!(refused(&vms("label = \"Work\"", "label = \"work\"")).line, 6);
    assert_eq!(refused(&vms("label = \"B\"", "")).line, 4);
    assert_eq!(refused(&vms("label = \"Local\"", "")).line, 3);
}

#[test]
fn bad_labels_names_and_patterns_are_refused_where_they_stand() {
    for (text, line) in [
        ("[vm.a]\ncolor = \"#111111\"\nlabel = \"\"", 3),
        ("[vm.a]\ncolor = \"#111111\"\nlabel = \"a very long label for a VM\"", 3),
        ("[vm.a]\ncolor = \"#111111\"\nlabel = \"w\\u202Ek\"", 3),
        ("[vm.a]\ncolor = \"#111111\"\npattern = \"plaid\"", 3),
        ("\n[vm.Work]\ncolor = \"#111111\"", 2),
        ("\n[vm.local]\ncolor = \"#111111\"", 2),
        ("\n[vm.a]\nlabel = \"A\"", 2),
        ("[local]\ncolor = \"grey\"", 2),
    ] {
        assert_eq!(refused(text).line, line, "{text}");
    }
}

#[test]
fn wrong_types_and_broken_syntax_are_refused_where_they_stand() {
    for (text, line) in [
        ("[vm.a]\ncolor = 7", 2),
        ("[vm.a]\ncolor = \"#111111\"\n[vm.a.limits]\nclients = -1", 4),
        ("[vm.a]\ncolor = \"#111111\"\n[vm.a.limits]\nclients = \"many\"", 4),
        ("[vm.a]\ncolor = \"#111111\"\ncolor = \"#222222\"", 3),
        ("[vm.a]\ncolor = \"#111111\"\n[vm.a]", 3),
        ("\n\n[vm.a\n", 3),
        ("[vm.a]\ncolor = \"#111111", 2),
    ] {
        let diagnostic = refused(text);
        assert_eq!(diagnostic.line, line, "{diagnostic}");
    }
}

#[test]
fn a_rate_of_zero_is_refused() {
    let diagnostic = refused("[defaults.limits]\nrequests_per_second = 0");
    assert_eq!(diagnostic.message, "requests_per_second must be at least 1");
}

#[test]
fn the_gate_needs_a_program_and_plain_paths() {
    for (text, line) in [
        ("[gate]\ncommand = []", 2),
        ("[gate]\ncommand = [\"\"]", 2),
        ("[gate]\nlisten = \"unix:/x\"", 1),
        ("[gate]\ncommand = [\"g\"]\nlisten = \"/x\"", 3),
        ("[gate]\ncommand = [\"g\"]\nlisten = \"unix:$HOME/x\"", 3),
        ("[gate]\ncommand = [\"g\"]\nlisten = \"vsock:any:5000\"", 3),
        ("[gate]\ncommand = [\"g\"]\nlisten = \"vsock:5000\"", 3),
        ("[gate]\ncommand = [\"g\"]\nlisten = \"vsock:2:\"", 3),
        ("[gate]\ncommand = [\"g\"]\nlisten = \"vsock:2:4294967295\"", 3),
        ("[gate]\ncommand = [\"g\"]\nlisten = \"vsock-uds:/v:5000\"", 3),
        ("[gate]\ncommand = [\"g\"]\nregions = [\n \"/a\",\n \"/*/b\"]", 5),
        ("[gate]\ncommand = [\"g\"]\nregions = [\"a\"]", 3),
    ] {
        assert_eq!(refused(text).line, line, "{text}");
    }
}

#[test]
fn chords_are_added_replaced_and_removed_and_the_others_stay() {
    let config = parse(
        "[keys]\n\"logo+space\" = { run = [\"fuzzel\", \"-w\", \"40\"] }\n\"logo+q\" = \"maximize\"\n\
         \"alt+tab\" = \"none\"\n\"logo+period\" = { action = \"next-workspace\", repeat = true }",
    )
    .unwrap();
    let of = |chord: &str| {
        let chord = chord.parse().unwrap();
        config.keys.iter().find(|binding| binding.chord == chord).map(|b| (b.action.clone(), b.repeat))
    };
    let run = ["fuzzel", "-w", "40"].map(str::to_owned).to_vec();
    assert_eq!(of("logo+space"), Some((Action::Run(run), false)));
    assert_eq!(of("logo+q"), Some((Action::Maximize, false)));
    assert_eq!(of("alt+tab"), None);
    assert_eq!(of("logo+period"), Some((Action::WorkspaceBeside(1), true)));
    assert_eq!(of("logo+f"), Some((Action::Fullscreen, false)));
}

#[test]
fn chords_and_actions_that_are_none_are_refused_where_they_stand() {
    for (line, column, message) in [
        (
            "\"logo+left\" = \"explode\"",
            15,
            "no action is called \"explode\"; docs/configuration.md lists them",
        ),
        ("\"logo+left\" = \"workspace-10\"", 15, "workspaces are numbered from 1 to 9"),
        (
            "\"hyper+left\" = \"close\"",
            1,
            "no modifier is called \"hyper\"; there are logo, ctrl, alt and shift",
        ),
        ("\"a\" = \"close\"", 1, "a key that types needs logo, ctrl or alt beside it"),
        ("\"logo+escape\" = \"none\"", 1, "logo+escape always takes the input back and cannot be changed"),
        ("\"logo+a\" = { run = [] }", 12, "run needs a program"),
        ("\"logo+a\" = { action = \"close\", run = [\"x\"] }", 12, "A chord has either action or run"),
        ("\"logo+a\" = {}", 12, "A chord has either action or run"),
        ("\"logo+a\" = { action = \"close\", release = { run = [] } }", 12, "run needs a program"),
        (
            "\"logo+a\" = { action = \"close\", hold = \"quit\", repeat = true }",
            12,
            "A chord repeats, or waits for being held, and not both",
        ),
    ] {
        let mistake = refused(&format!("[keys]\n\"logo+z\" = \"close\"\n{line}\n"));
        assert_eq!((mistake.line, mistake.column, mistake.message.as_str()), (3, column, message), "{line}");
        assert_eq!(mistake.source_line, line);
    }
    let twice = refused("[keys]\n\"logo+a\" = \"close\"\n\"super+a\" = \"quit\"");
    assert_eq!((twice.line, twice.message.as_str()), (3, "logo+a has an action already"));
    assert_eq!(refused("[keys]\n\"logo+a\" = { acton = \"close\" }").line, 2);
}

#[test]
fn workspaces_are_named_and_there_are_four_if_not() {
    let read = |text: &str| {
        let list = parse(text).unwrap().workspaces;
        list.into_iter().map(|workspace| (workspace.name, workspace.arrangement)).collect::<Vec<_>>()
    };
    let (floating, columns) = (Arrangement::Floating, Arrangement::Columns);
    assert_eq!(read(""), ["1", "2", "3", "4"].map(|name| (name.to_owned(), floating)));
    let named = "[workspaces]\nnames = [\"mail\", \"code\"]\n";
    assert_eq!(read(named), ["mail", "code"].map(|name| (name.to_owned(), floating)));
    let mixed = read(&format!("{named}layout = \"columns\"\nlayouts = {{ mail = \"floating\" }}"));
    assert_eq!(mixed, [("mail".to_owned(), floating), ("code".to_owned(), columns)]);
    assert_eq!(refused(&format!("{named}layout = \"rows\"")).line, 3);
    let stranger = refused(&format!("{named}layouts = {{ play = \"columns\" }}"));
    assert_eq!((stranger.line, stranger.message.as_str()), (3, "There is no workspace \"play\""));
    for names in ["[]", "[\"a\", \"a\"]", "[\"\"]", "[\"a\\u0007\"]"] {
        assert_eq!(refused(&format!("[workspaces]\nnames = {names}")).line, 2, "{names}");
    }
}

#[test]
fn the_documentation_names_every_action_and_every_default_chord() {
    let documentation = include_str!("../../../docs/configuration.md");
    for name in Action::names() {
        let name = name.strip_suffix('1').map_or(name.clone(), |prefix| format!("{prefix}N"));
        assert!(documentation.contains(&format!("`{name}`")), "{name} is not documented");
    }
    for binding in Bindings::default().iter() {
        let chord = binding.chord.to_string().replace("prior", "pageup").replace("next", "pagedown");
        let digit = chord.trim_end_matches(|c: char| c.is_ascii_digit());
        let chord = if digit.ends_with('+') { format!("{digit}N") } else { chord };
        assert!(documentation.contains(&format!("`{chord}`")), "{chord} is not documented");
    }
}

/// The blocks of a Markdown text that are fenced as TOML, with whether they must fail.
fn toml_blocks(markdown: &str) -> Vec<(bool, String)> {
    let mut blocks = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in markdown.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(tag)) if tag.starts_with("toml") => {
                block = Some((tag.contains("must-fail"), String::new()));
            }
            (Some(_), Some(_)) => blocks.extend(block.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn every_block_of_the_documentation_does_what_it_says() {
    let blocks = toml_blocks(include_str!("../../../docs/configuration.md"));
    assert!(blocks.iter().filter(|(must_fail, _)| *must_fail).count() >= 3);
    assert!(blocks.len() >= 8);
    for (must_fail, text) in blocks {
        let result = parse(&text);
        assert_eq!(result.is_err(), must_fail, "{text}\n{result:?}");
    }
}

/// The keys of a table, as the complaint about one that there is not lists them.
fn keys_of(table: &str) -> Vec<String> {
    let message = refused(&format!("[{table}]\nno_such_key = 1")).message;
    let (_, expected) = message.split_once("expected").unwrap();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_documentation_names_every_key_of_these_tables() {
    let documentation = include_str!("../../../docs/configuration.md");
    for (table, count) in [
        ("defaults.input", 4),
        ("defaults.privacy", 3),
        ("input.keyboard", 7),
        ("input.touchpad", 9),
        ("theme", 6),
        ("session", 4),
        ("clipboard", 2),
        ("[clipboard.rule]", 7),
    ] {
        let keys = keys_of(table);
        assert!(keys.len() >= count, "{table}: {keys:?}");
        for key in keys {
            assert!(documentation.contains(&format!("| `{key}` |")), "{key} of [{table}] is not documented");
        }
    }
}

#[test]
fn the_documentation_names_every_limit() {
    let documentation = include_str!("../../../docs/configuration.md");
    for key in toml::Table::try_from(Limits::default()).unwrap().keys() {
        assert!(documentation.contains(&format!("| `{key}` ")), "{key} is not documented");
    }
}

#[test]
fn a_profile_changes_each_of_its_members_and_what_is_said_comes_before_it() {
    use guest::{Hover, IdleNotify, KeyRepeat, OutputsRule, PointerLock, PresentationTime};
    let rules = |text: &str| {
        let config = parse(text).unwrap();
        (config.input_rules(&vm("a")), config.privacy_rules(&vm("a")))
    };
    let plain = "[vm.a]\ncolor = \"#111111\"\n";
    let other = "[defaults.input]\nkeyboard_repeat = \"client\"\n";
    let (input, privacy) = rules(&format!("{other}{plain}profile = \"anonymous\"\n"));
    let (was_input, was_privacy) = rules(&format!("{other}{plain}"));
    assert_eq!(input.keyboard_repeat, KeyRepeat::Compositor);
    assert_ne!(was_input.keyboard_repeat, KeyRepeat::Compositor);
    assert_eq!(input.pointer_lock, PointerLock::Deny);
    assert_ne!(was_input.pointer_lock, PointerLock::Deny);
    assert_eq!(input.hover, Hover::Focused);
    assert_ne!(was_input.hover, Hover::Focused);
    assert_eq!(privacy.outputs, OutputsRule::Rounded);
    assert_ne!(was_privacy.outputs, OutputsRule::Rounded);
    assert_eq!(privacy.presentation_time, PresentationTime::Off);
    assert_ne!(was_privacy.presentation_time, PresentationTime::Off);
    assert_eq!(privacy.idle_notify, IdleNotify::Deny);
    assert_ne!(was_privacy.idle_notify, IdleNotify::Deny);
    assert_eq!(rules(&format!("[defaults]\nprofile = \"anonymous\"\n{plain}")), (input, privacy));

    let own = "[vm.a.input]\nhover = \"always\"\n[vm.a.privacy]\noutputs = \"real\"\n";
    let (said, told) = rules(&format!("{plain}profile = \"anonymous\"\n{own}"));
    assert_eq!((said.hover, told.outputs), (Hover::Always, OutputsRule::Real));
    assert_eq!((said.pointer_lock, told.presentation_time), (PointerLock::Deny, PresentationTime::Off));
    assert!(refused(&format!("{plain}profile = \"hidden\"")).message.contains("anonymous"));
}

mod damaged {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A file that an editor or a disk has damaged is read or refused, and the refusal can be shown.
        #[test]
        fn a_damaged_file_is_read_or_refused(at in 0..DEFAULT_CONFIG.len(), cut in 0usize..40, put in "\\PC{0,12}|[\"\\[\\]=.\n]{0,4}") {
            let mut text = DEFAULT_CONFIG.to_owned();
            let end = (at + cut).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, &put);
            }
            if let Err(error) = parse(&text) {
                prop_assert_eq!(error.to_string().lines().count(), 4);
                prop_assert!(error.one_line().starts_with("vitrail.toml:"));
            }
        }
    }
}
