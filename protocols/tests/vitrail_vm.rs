//! The document of `vitrail-vm-v1` and the code that is made of it say the same, and the document describes everything.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use vitrail_protocols::globals::{Class, lookup};
use vitrail_protocols::vitrail_vm::{DOCUMENT, client, server};
use wayland_backend::protocol::{ArgumentType, Interface, MessageDesc};
use wayland_client::Proxy as _;
use wayland_server::Resource as _;

/// Set to write the page instead of comparing it.
const UPDATE: &str = "VITRAIL_UPDATE_VM_PROTOCOL_PAGE";

/// An element of the document with its attributes, text and children.
#[derive(Debug, Default)]
struct Element {
    tag: String,
    attributes: BTreeMap<String, String>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn new(start: &BytesStart<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let attributes = start.attributes().map(Result::unwrap);
        let attributes = attributes.map(|one| (text(one.key.as_ref()), text(&one.value))).collect();
        Self { tag: text(start.name().as_ref()), attributes, ..Self::default() }
    }

    fn all<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.tag == tag)
    }

    fn get(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }
}

fn document() -> Element {
    let mut reader = Reader::from_str(DOCUMENT);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => open.push(Element::new(&start)),
            Event::Empty(start) => open.last_mut().unwrap().children.push(Element::new(&start)),
            Event::End(_) => {
                let done = open.pop().unwrap();
                open.last_mut().unwrap().children.push(done);
            }
            Event::Text(text) => {
                open.last_mut().unwrap().text.push_str(std::str::from_utf8(&text).unwrap());
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(open.len(), 1, "every element is closed");
    open.pop().unwrap().children.into_iter().find(|element| element.tag == "protocol").unwrap()
}

/// The interfaces of the generated code, as client and compositor have them.
fn generated() -> BTreeMap<&'static str, [&'static Interface; 2]> {
    let pairs = [
        [
            client::vitrail_vm_manager_v1::VitrailVmManagerV1::interface(),
            server::vitrail_vm_manager_v1::VitrailVmManagerV1::interface(),
        ],
        [client::vitrail_vm_v1::VitrailVmV1::interface(), server::vitrail_vm_v1::VitrailVmV1::interface()],
        [
            client::vitrail_window_v1::VitrailWindowV1::interface(),
            server::vitrail_window_v1::VitrailWindowV1::interface(),
        ],
    ];
    pairs.into_iter().map(|pair| (pair[0].name, pair)).collect()
}

fn assert_messages(place: &str, written: &[&Element], made: &[MessageDesc]) {
    let names = |messages: &[MessageDesc]| messages.iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names(made), written.iter().map(|one| one.get("name")).collect::<Vec<_>>(), "{place}");
    for (written, made) in written.iter().zip(made) {
        let place = format!("{place}.{}", made.name);
        assert_eq!(made.is_destructor, written.get("type") == "destructor", "{place}");
        let since = if written.get("since").is_empty() { "1" } else { written.get("since") };
        assert_eq!(made.since.to_string(), since, "{place}");
        let types: Vec<&str> = written.all("arg").map(|arg| arg.get("type")).collect();
        let kinds: Vec<&str> = made.signature.iter().map(kind).collect();
        assert_eq!(kinds, types, "{place}");
        let created = written.all("arg").find(|arg| arg.get("type") == "new_id");
        let created = created.map(|arg| arg.get("interface"));
        assert_eq!(made.child_interface.map(|interface| interface.name), created, "{place}");
    }
}

fn kind(argument: &ArgumentType) -> &'static str {
    match argument {
        ArgumentType::Int => "int",
        ArgumentType::Uint => "uint",
        ArgumentType::Fixed => "fixed",
        ArgumentType::Str(_) => "string",
        ArgumentType::Object(_) => "object",
        ArgumentType::NewId => "new_id",
        ArgumentType::Array => "array",
        ArgumentType::Fd => "fd",
    }
}

#[test]
fn the_generated_code_has_what_the_document_says() {
    let document = document();
    assert_eq!(document.get("name"), "vitrail_vm_v1");
    let mut generated = generated();
    for written in document.all("interface") {
        let name = written.get("name");
        for made in generated.remove(name).unwrap() {
            assert_eq!((made.name, made.version.to_string().as_str()), (name, written.get("version")));
            assert_messages(name, &written.all("request").collect::<Vec<_>>(), made.requests);
            assert_messages(name, &written.all("event").collect::<Vec<_>>(), made.events);
        }
    }
    assert!(generated.is_empty(), "{generated:?} is not in the document");
}

#[test]
fn everything_in_the_document_is_described() {
    let document = document();
    assert!(document.all("copyright").any(|one| one.text.contains("SPDX-License-Identifier")));
    for interface in document.all("interface") {
        for element in std::iter::once(interface).chain(&interface.children) {
            if element.tag == "description" {
                continue;
            }
            let place = format!("{} {}", interface.get("name"), element.get("name"));
            let described = element.all("description").next();
            assert!(described.is_some_and(|one| !one.get("summary").is_empty()), "{place}");
            let full = matches!(element.tag.as_str(), "interface" | "request" | "event");
            assert!(!full || described.is_some_and(|one| one.text.trim().ends_with('.')), "{place}");
            for part in element.children.iter().filter(|part| matches!(part.tag.as_str(), "arg" | "entry")) {
                assert!(!part.get("summary").is_empty(), "{place} {}", part.get("name"));
            }
        }
    }
}

#[test]
fn every_interface_can_be_destroyed() {
    for interface in document().all("interface") {
        let destructors = interface.all("request").filter(|one| one.get("type") == "destructor");
        assert_eq!(destructors.map(|one| one.get("name")).collect::<Vec<_>>(), ["destroy"]);
    }
}

/// It tells of all VMs, so that no configuration may show it to one.
#[test]
fn no_vm_may_be_shown_the_protocol() {
    let name = server::vitrail_vm_manager_v1::VitrailVmManagerV1::interface().name;
    assert_eq!(lookup(name).map(|global| (global.class, global.max_version)), Some((Class::Never, 0)));
}

const HEAD: &str = "\
# vitrail-vm-v1

Vitrail's own protocol, in version 1. This page is made from its document, `protocols/vitrail-vm-v1.xml`. After a change there,
make it anew:

```sh
VITRAIL_UPDATE_VM_PROTOCOL_PAGE=1 cargo test -p vitrail-protocols --test vitrail_vm
```
";

/// A description's paragraphs, each on one line.
fn paragraphs(element: &Element) -> String {
    let Some(description) = element.all("description").next() else { return String::new() };
    let lines: Vec<&str> = description.text.lines().map(str::trim).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    paragraphs.fold(String::new(), |text, lines| text + "\n" + &lines.join(" ") + "\n")
}

fn summary(element: &Element) -> &str {
    element.all("description").next().map_or("", |description| description.get("summary"))
}

/// The document as a page.
fn page() -> String {
    let document = document();
    let mut page = format!("{HEAD}{}", paragraphs(&document));
    for interface in document.all("interface") {
        let _ = write!(page, "\n## {}\n{}", interface.get("name"), paragraphs(interface));
        for (tag, plural) in [("request", "requests"), ("event", "events")] {
            let _ = write!(page, "\n### {plural} of {}\n", interface.get("name"));
            for message in interface.all(tag) {
                let arguments: Vec<String> = message.all("arg").map(argument).collect();
                let call = format!("{}({})", message.get("name"), arguments.join(", "));
                let _ = write!(page, "\n#### `{call}`: {}\n{}", summary(message), paragraphs(message));
                for (number, argument) in message.all("arg").enumerate() {
                    let start = if number == 0 { "\n" } else { "" };
                    let _ =
                        writeln!(page, "{start}* `{}`: {}", argument.get("name"), argument.get("summary"));
                }
            }
        }
        for values in interface.all("enum") {
            let bits = if values.get("bitfield") == "true" { " (bits)" } else { "" };
            let _ = write!(page, "\n### enum {}{bits}: {}\n", values.get("name"), summary(values));
            let _ = write!(page, "{}\n| name | value | meaning |\n|---|---|---|\n", paragraphs(values));
            for entry in values.all("entry") {
                let cells = [entry.get("name"), entry.get("value"), entry.get("summary")];
                let _ = writeln!(page, "| {} |", cells.join(" | "));
            }
        }
    }
    page
}

fn argument(argument: &Element) -> String {
    let kind = [argument.get("interface"), argument.get("enum"), argument.get("type")];
    let kind = kind.into_iter().find(|kind| !kind.is_empty()).unwrap();
    format!("{}: {kind}", argument.get("name"))
}

#[test]
fn the_page_is_that_of_the_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vm-protocol.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == page(), "{} is old: it is made anew with {UPDATE}=1", path.display());
}
