//! `--trace`: the messages of all applications, of one, or of none.

use std::process::Stdio;

use crate::program::{Lines, Machine, Running, check, end, own_command};
use crate::wire::Args;

#[test]
fn every_message_of_every_application_is_traced() {
    let machine = Machine::new();
    let mut forward = machine.forward(&["--socket=apps", "--trace"]);
    let lines = Lines::of(&mut forward);
    let (app, mut compositor) = machine.application("apps");
    app.send(1, 0, Args::new().u32(2));
    let callback = compositor.expect(1, 0).word(0);
    compositor.send(callback, 0, Args::new().u32(77));
    let traced = lines.until("wl_callback#2.done(callback_data: 77)");
    let name = format!("{{{}[{}]}}", own_command(), std::process::id());
    assert!(
        traced.iter().any(|line| line.contains(&name) && line.contains("-> wl_display#1.sync(")),
        "{traced:#?}"
    );
    end(forward, lines);
}

#[test]
fn the_application_of_that_command_is_traced_and_no_other() {
    for (command, is_traced) in [(own_command(), true), ("foot".to_owned(), false)] {
        let machine = Machine::new();
        let mut forward = machine.forward(&["--socket=apps", &format!("--trace={command}")]);
        let lines = Lines::of(&mut forward);
        let (app, mut compositor) = machine.application("apps");
        check(&app, &mut compositor, 2);
        drop((app, compositor));
        let written = end(forward, lines);
        let traced = written.iter().any(|line| line.contains("wl_display#1.get_registry"));
        assert_eq!(traced, is_traced, "{written:#?}");
    }
}

#[test]
fn nothing_is_traced_unless_asked_for_whatever_the_environment_says() {
    let machine = Machine::new();
    let mut command = machine.command(env!("CARGO_BIN_EXE_wl-forward"));
    command.arg("--socket=apps").env("WL_PROXY_DEBUG", "1").env("WL_PROXY_PREFIX", "x");
    let mut forward = Running(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let lines = Lines::of(&mut forward);
    let (app, mut compositor) = machine.application("apps");
    check(&app, &mut compositor, 2);
    drop((app, compositor));
    let written = end(forward, lines);
    assert!(!written.iter().any(|line| line.contains("get_registry")), "{written:#?}");
}
