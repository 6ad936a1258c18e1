//! `docs/protocols.md` says what the table of globals says.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use vitrail_protocols::globals::{Class, GLOBALS, Global};

/// Set to write the page instead of comparing it.
const UPDATE: &str = "VITRAIL_UPDATE_PROTOCOLS_PAGE";

const HEAD: &str = "\
# Protocols

Which of the compositor's globals a VM sees, up to which version, and why. The gate shows a VM no other and no higher
version, and the compositor shows clients of a VM no other.

This page is made from the table in `protocols/src/globals.rs`. After a change there, make it anew:

```sh
VITRAIL_UPDATE_PROTOCOLS_PAGE=1 cargo test -p vitrail-protocols --test page
```

What a VM sees is decided in this order:

1. An interface that is not on this page is not shown.
2. One of the class *never* is not shown, whatever is configured.
3. What the configuration says of it in `[vm.NAME.protocols]`, or else in `[defaults.protocols]`, counts: `allow`, `deny` and
   `max_version` ([configuration.md](configuration.md)).
4. Else the classes *core* and *application* are shown, and *opt-in* is not.
5. What the compositor does not offer cannot be seen, and the version is at most the one that it offers.

`vitrailctl why VM INTERFACE` says which of these decided ([vitrailctl.md](vitrailctl.md)).
";

/// The classes in the order of the page, with what there is to say of each.
const CLASSES: [(Class, &str); 4] = [
    (
        Class::Core,
        "Without these no application works. Every VM sees them, unless the configuration denies them.",
    ),
    (
        Class::Application,
        "What ordinary applications use, and confined to their own VM. Every VM sees them, unless the configuration denies them.",
    ),
    (
        Class::OptIn,
        "Harmless to other VMs only with further arrangements. A VM sees them if the configuration allows them for it, \
         and the compositor offers them.",
    ),
    (
        Class::Never,
        "What reaches beyond the VM that binds it. No VM sees these, and no configuration changes that.",
    ),
];

fn generated() -> String {
    let mut page = String::from(HEAD);
    for (class, meaning) in CLASSES {
        let globals: Vec<&Global> = GLOBALS.iter().filter(|global| global.class == class).collect();
        let with_version = class != Class::Never;
        writeln!(page, "\n## Class: {}\n\n{meaning}\n", class.as_str()).expect("a String");
        let head = if with_version {
            "| interface | highest version | why |\n|---|---|---|"
        } else {
            "| interface | why |\n|---|---|"
        };
        writeln!(page, "{head}").expect("a String");
        for Global { interface, max_version, reason, .. } in globals {
            let version = if with_version { format!(" {max_version} |") } else { String::new() };
            writeln!(page, "| `{interface}` |{version} {reason} |").expect("a String");
        }
    }
    page
}

#[test]
fn the_page_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocols.md");
    let expected = generated();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &expected).expect("the page can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let advice = format!("to update it: {UPDATE}=1 cargo test -p vitrail-protocols --test page");
    assert_eq!(found, expected, "docs/protocols.md is not what protocols/src/globals.rs says; {advice}");
}

#[test]
fn the_page_says_how_it_is_made() {
    assert!(HEAD.contains(&format!("{UPDATE}=1 cargo test -p vitrail-protocols --test page")));
}

#[test]
fn every_global_is_on_the_page_once() {
    let page = generated();
    for global in GLOBALS {
        assert_eq!(page.matches(&format!("| `{}` |", global.interface)).count(), 1, "{}", global.interface);
    }
}
