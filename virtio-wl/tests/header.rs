//! `include/virtio_wl.h` says what the library exports.

use std::fs;
use std::path::Path;

/// Set to write the header instead of comparing it.
const UPDATE: &str = "VIRTIO_WL_UPDATE_HEADER";

/// What the header has to be.
fn generated(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    // The modules that it names are followed.
    let builder = cbindgen::Builder::new().with_config(config).with_src(root.join("src/capi/mod.rs"));
    let mut header = Vec::new();
    builder.generate().expect("the sources are understood").write(&mut header);
    without_safety(&String::from_utf8(header).expect("a header is text"))
}

/// Leaves out the parts of comments that speak to Rust: from `# Safety` to the end of each.
fn without_safety(header: &str) -> String {
    let mut kept = String::new();
    let mut in_safety = false;
    for line in header.lines() {
        let is_comment = line.trim_start().starts_with("//");
        in_safety = is_comment && (in_safety || line.contains("# Safety"));
        if in_safety {
            // The empty line of the comment that led up to it.
            let end = kept.trim_end().trim_end_matches('/').trim_end().len();
            kept.truncate(end);
            kept.push('\n');
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn the_header_is_that_of_the_library() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("include/virtio_wl.h");
    let expected = generated(root);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &expected).expect("the header can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let advice = format!("to update it: {UPDATE}=1 cargo test -p virtio-wl --test header");
    assert_eq!(found, expected, "include/virtio_wl.h is not what src/capi/ says; {advice}");
}

#[test]
fn the_manual_declares_every_function_of_the_header() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("../docs/man/virtio_wl.3")).expect("the manual");
    let synopsis = manual.split(".SH DESCRIPTION").next().unwrap_or_default();
    let header = generated(root);
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['/', '*']));
    let functions: Vec<_> = code
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("virtio_wl_"))
        .collect();
    assert!(functions.len() > 10, "{functions:?}");
    for function in functions {
        assert!(synopsis.contains(&format!("{function}(")), "{function} is not in virtio_wl(3)");
    }
}

#[test]
fn the_manual_describes_every_field_of_a_structure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("../docs/man/virtio_wl.3")).expect("the manual");
    let (synopsis, description) = manual.split_once(".SH DESCRIPTION").expect("a description");
    let header = generated(root);
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['/', '*']));
    let declarations = code.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(';'));
    let fields: Vec<_> = declarations.filter(|line| !line.contains(['(', ')'])).collect();
    assert!(fields.len() >= 4, "{fields:?}");
    for field in fields {
        let name = field.rsplit(' ').next().unwrap_or_default();
        assert!(synopsis.contains(&format!("{field};")), "{field} is not in the synopsis of virtio_wl(3)");
        assert!(description.contains(&format!(".I {name}\nis ")), "virtio_wl(3) does not say what {name} is");
    }
}

#[test]
fn the_readme_installs_all_that_there_is_for_c() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    let steps: Vec<_> = readme.lines().filter(|line| line.contains(" /usr/local/")).collect();
    for file in [
        "target/release/libvirtio_wl.so",
        "virtio-wl/include/virtio_wl.h",
        "assets/virtio_wl.pc.in",
        "docs/man/virtio_wl.3",
        "target/release/libvirtio_wl_preload.so",
    ] {
        assert!(steps.iter().any(|step| step.contains(&format!(" {file} "))), "{file}: {steps:#?}");
        assert!(file.starts_with("target/") || root.join("..").join(file).is_file(), "{file} is not there");
    }
}
