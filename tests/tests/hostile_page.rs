//! The page of the hostile suite says what its cases say.
//!
//! The suite itself is a program: `cargo xtask hostile`.

use std::path::Path;

use vitrail_tests::hostile::page;

#[test]
fn the_page_is_made_from_the_cases() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page::PATH);
    let found = std::fs::read_to_string(path).expect("the page");
    assert!(found == page::text(), "it is another one; cargo xtask hostile --page writes it");
}
