#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use super::*;

const REGISTRY: u32 = 2;
const SHELL: u32 = 3;
const OUTPUT: u32 = 4;
const SURFACE: u32 = 5;
const ROLE: u32 = 6;
const STRIPE: u32 = 24;

fn bind(interface: &str, id: u32) -> Vec<u8> {
    let length = u32::try_from(interface.len()).unwrap() + 1;
    let mut words = vec![7, length];
    let mut text = interface.as_bytes().to_vec();
    text.resize(interface.len() + 4 - interface.len() % 4, 0);
    words.extend(text.chunks(4).map(|bytes| u32::from_ne_bytes(bytes.try_into().unwrap())));
    words.extend([1, id]);
    message(REGISTRY, 0, &words)
}

/// A connection whose client has a surface with a role in a shell: an `xdg_surface`, or a layer.
fn begun(interface: &str) -> Manners {
    let mut manners = Manners::new(STRIPE);
    let make = if interface == "xdg_wm_base" { 2 } else { 0 };
    for request in [
        message(DISPLAY, 1, &[REGISTRY]),
        bind(interface, SHELL),
        bind("wl_output", OUTPUT),
        message(SHELL, make, &[ROLE, SURFACE]),
    ] {
        assert_eq!(manners.request(&request), Verdict::Pass);
    }
    manners
}

fn window() -> Manners {
    let mut manners = begun("xdg_wm_base");
    assert_eq!(manners.request(&message(ROLE, 1, &[9])), Verdict::Pass);
    manners
}

fn attach(buffer: u32) -> Vec<u8> {
    message(SURFACE, ATTACH, &[buffer, 0, 0])
}

fn commit() -> Vec<u8> {
    message(SURFACE, COMMIT, &[])
}

fn acknowledge(serial: u32) -> Vec<u8> {
    message(ROLE, 4, &[serial])
}

fn configure(manners: &mut Manners, serial: u32) -> Option<Vec<u8>> {
    manners.event(&mut message(ROLE, 0, &[serial]))
}

#[test]
fn a_client_that_keeps_the_rule_is_left_alone() {
    let mut manners = window();
    assert_eq!(manners.request(&commit()), Verdict::Pass);
    assert_eq!(configure(&mut manners, 40), None);
    for request in [acknowledge(40), attach(8), commit()] {
        assert_eq!(manners.request(&request), Verdict::Pass);
    }
}

#[test]
fn a_buffer_without_a_first_commit_waits_until_the_window_is_configured() {
    let mut manners = window();
    assert_eq!(manners.request(&attach(8)), Verdict::Hold(commit()));
    assert_eq!(configure(&mut manners, 40), Some(acknowledge(40)));
    assert_eq!(manners.request(&attach(8)), Verdict::Pass);
    assert_eq!(manners.request(&acknowledge(40)), Verdict::Drop, "it was said already");
}

#[test]
fn a_configure_that_nobody_answers_is_acknowledged_before_the_buffer() {
    let mut manners = window();
    assert_eq!(manners.request(&commit()), Verdict::Pass);
    assert_eq!(configure(&mut manners, 40), None);
    assert_eq!(configure(&mut manners, 41), None);
    assert_eq!(manners.request(&attach(8)), Verdict::After(acknowledge(41)));
    assert_eq!(manners.request(&acknowledge(40)), Verdict::Drop);
    assert_eq!(
        manners.request(&acknowledge(42)),
        Verdict::Pass,
        "a number that there never was is the client's mistake"
    );
}

#[test]
fn a_window_without_content_is_configured_anew() {
    let mut manners = window();
    manners.request(&attach(8));
    configure(&mut manners, 40);
    for request in [attach(8), commit(), attach(0), commit()] {
        assert_eq!(manners.request(&request), Verdict::Pass);
    }
    assert_eq!(manners.request(&attach(8)), Verdict::Hold(commit()));
}

#[test]
fn what_is_no_window_yet_is_left_to_the_compositor() {
    let mut manners = begun("xdg_wm_base");
    assert_eq!(manners.request(&attach(8)), Verdict::Pass);
}

#[test]
fn a_layer_is_configured_and_placed() {
    let mut manners = begun("zwlr_layer_shell_v1");
    assert!(manners.uses_layers());
    assert_eq!(manners.request(&attach(8)), Verdict::Hold(commit()));
    assert_eq!(configure(&mut manners, 40), Some(message(ROLE, 6, &[40])));
    let placed = [message(ROLE, 1, &[5]), message(ROLE, 3, &[7, 0, 0, 3]), commit()].concat();
    assert_eq!(manners.place_layer(SURFACE, 3, 7), Some(placed));
    assert_eq!(manners.place_layer(ROLE, 3, 7), None);
}

#[test]
fn an_output_is_said_to_be_lower_by_the_stripe() {
    let mut manners = window();
    let mut mode = message(OUTPUT, 1, &[3, 1280, 1100, 60_000]);
    assert_eq!(manners.event(&mut mode), None);
    assert_eq!(mode, message(OUTPUT, 1, &[3, 1280, 1076, 60_000]));
}

#[test]
fn a_number_that_is_free_again_means_nothing() {
    let mut manners = window();
    manners.event(&mut message(DISPLAY, 1, &[ROLE]));
    assert_eq!(manners.request(&attach(8)), Verdict::Pass);
    assert_eq!(configure(&mut manners, 40), None);
}

#[test]
fn a_message_is_as_long_as_it_says_and_no_shorter_than_its_head() {
    assert_eq!(length(&attach(8)), Some(20));
    assert_eq!(length(&[0; 7]), None);
    assert_eq!(length(&[0; 8]), Some(8));
}
