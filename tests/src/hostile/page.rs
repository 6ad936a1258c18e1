//! The page with the table of all cases, made from the cases themselves.

use std::fmt::Write as _;

use super::{Case, LISTED, Trial, Without, all};

/// Where the page is, from the root of the workspace.
pub const PATH: &str = "docs/hostile.md";

const HEAD: &str = "\
# What a hostile VM tries

This page is made from the cases of the hostile suite (`tests/src/hostile`); `cargo xtask hostile --page` writes it. The
rows are those of the threat model, as in [SECURITY.md](../SECURITY.md).

`cargo xtask hostile` starts the real programs for each case (compositor, gate, hub and a `wl-forward` for each VM), and a
client that speaks the bare protocol: in front of `wl-forward`, as an application of the VM, or in its place, as a VM that
does not run ours. A case looks at pixels, events, or at who is still there, and fails when the attack has worked.

| command | what it does |
| --- | --- |
| `cargo xtask hostile` | all cases; writes `hostile.json`, a list of `{row, case, handled, evidence}`, to `target/hostile` or `--out DIR` |
| `cargo xtask hostile --row N` | the cases of one row |
| `cargo xtask hostile --case NAME` | one case |
| `cargo xtask hostile --quick` | without the measurement under a flood; what `cargo xtask test` does |
| `cargo xtask hostile --without-guard ROW` | each case of the row, or of `all`, with its guards switched off: it must fail |
| `cargo xtask hostile --fuzz MINUTES` | clients of several VMs that send what the protocols' tables allow, and a little else |
| `cargo xtask hostile --page` | writes this page anew |

## Guards that can be switched off

A case that cannot fail tries nothing. So each names the guards that stand between the attack and its success
(`protocols/src/guard.rs`), and `--without-guard` builds compositor and gate once more, in a directory of their own and with
the feature `without-guards`, in which the environment switches guards off. No other build has that: in it the question
whether a guard holds is a constant. The feature is never on by default, a build with optimisation refuses it, and a
program that was built with it says so when it starts. Where nothing can be switched off, the table says why.

## The table

`held`: the attack is tried, and does not work. `elsewhere`: it is tried by the tests that are named, and needs what no
client of a running session can do. `not defended`: it works, or nothing tries it; this must not be relied upon.
";

/// The page.
#[must_use]
pub fn text() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n| row | case | attack | state | without its guard |\n| --- | --- | --- | --- | --- |\n");
    for case in all() {
        line(&mut text, &case);
    }
    text.push_str(
        "\n## The attacks that the threat model lists one by one\n\n| attack | case |\n| --- | --- |\n",
    );
    for (attack, case) in LISTED {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {attack} | `{case}` |");
    }
    text
}

fn line(text: &mut String, case: &Case) {
    let state = match case.trial {
        Trial::Attack(_) => "held".to_owned(),
        Trial::Elsewhere(by) => format!("elsewhere: `{by}`"),
        Trial::Undefended(why) => format!("**not defended**: {why}"),
    };
    let without = match (case.trial, case.without) {
        (Trial::Undefended(_) | Trial::Elsewhere(_), _) => "-".to_owned(),
        (Trial::Attack(_), Without::Guards(guards)) => {
            let names: Vec<String> = guards.iter().map(|guard| format!("`{}`", guard.name())).collect();
            format!("fails without {}", names.join(" and "))
        }
        (Trial::Attack(_), Without::Nothing(why)) => format!("cannot be switched off: {why}"),
    };
    let _ = writeln!(text, "| {} | `{}` | {} | {state} | {without} |", case.row, case.name, case.attack);
}
