//! What `vitrailctl watch --waybar` prints: the VMs as a custom module of waybar shows them.
//!
//! Waybar reads text and tooltip as Pango markup, so everything in them that is not ours is escaped: a title is the VM's word,
//! and must not draw itself in the colour of another VM.

use std::fmt::Write as _;

use serde::Serialize;

use super::protocol::{VmInfo, VmList, VmWindow};
use crate::trust::style::Rgb;

/// Windows of one VM that the tooltip lists.
const MAX_WINDOWS: usize = 12;

/// One line for a custom module with `"return-type": "json"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Module {
    /// The VMs that have windows or are connected, each in its colour; the one with the keyboard is bold and underlined, and
    /// those that ask for attention have a `!`.
    pub text: String,
    /// The VM that has the keyboard, or `none`.
    pub alt: String,
    /// The windows of each VM.
    pub tooltip: String,
    /// Names for style sheets: `vm-NAME` for the VM with the keyboard, and `urgent` if one asks for attention.
    pub class: Vec<String>,
}

impl From<&VmList> for Module {
    fn from(list: &VmList) -> Self {
        // The bar itself is a local client, which is nothing to show.
        let shown = |vm: &&VmInfo| !vm.windows.is_empty() || (vm.vm != "local" && vm.clients > 0);
        let vms: Vec<&VmInfo> = list.vms.iter().filter(shown).collect();
        let keyboard = list.vms.iter().find(|vm| vm.keyboard).map(|vm| vm.vm.as_str());
        let mut class: Vec<String> = keyboard.iter().map(|vm| format!("vm-{vm}")).collect();
        if list.vms.iter().any(|vm| vm.urgent) {
            class.push(String::from("urgent"));
        }
        Self {
            text: vms.iter().map(|vm| chip(vm)).collect::<Vec<_>>().join(" "),
            alt: keyboard.unwrap_or("none").to_owned(),
            tooltip: vms.iter().map(|vm| entry(vm)).collect::<Vec<_>>().join("\n"),
            class,
        }
    }
}

/// The label on its colour.
fn chip(vm: &VmInfo) -> String {
    let label = escape(&vm.label);
    let label = if vm.keyboard { format!("<b><u>{label}</u></b>") } else { label };
    let mark = if vm.urgent { "!" } else { "" };
    match vm.color.parse::<Rgb>() {
        Ok(color) => {
            let ink = color.readable();
            format!("<span background=\"{color}\" foreground=\"{ink}\"> {label}{mark} </span>")
        }
        // Of a compositor that writes colours in another way.
        Err(_) => format!(" {label}{mark} "),
    }
}

/// A VM's part of the tooltip: its label, and its windows.
fn entry(vm: &VmInfo) -> String {
    let mut text = chip(vm);
    for window in vm.windows.iter().take(MAX_WINDOWS) {
        // Writing to a string does not fail.
        let _ = write!(text, "\n    {}", line(vm, window));
    }
    let rest = vm.windows.len().saturating_sub(MAX_WINDOWS);
    if rest > 0 {
        let _ = write!(text, "\n    and {rest} more");
    }
    text
}

fn line(vm: &VmInfo, window: &VmWindow) -> String {
    let title = match window.title.as_str() {
        "" => format!("({})", window.app_id),
        // As the title bar says it.
        title if window.imitating => format!("titled by {}: \"{title}\"", vm.label),
        title => title.to_owned(),
    };
    let title = escape(&title);
    let title = if window.focused { format!("<b>{title}</b>") } else { title };
    let title = if window.minimized { format!("<i>{title}</i>") } else { title };
    if window.urgent { format!("! {title}") } else { title }
}

/// Text as Pango's markup writes it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(title: &str) -> VmWindow {
        VmWindow {
            identifier: String::from("0"),
            app_id: String::from("foot"),
            title: title.to_owned(),
            focused: false,
            urgent: false,
            minimized: false,
            maximized: false,
            fullscreen: false,
            imitating: false,
        }
    }

    fn vm(name: &str, windows: Vec<VmWindow>) -> VmInfo {
        VmInfo {
            vm: name.to_owned(),
            label: name.to_uppercase(),
            color: String::from("#2e7d32"),
            pattern: String::from("solid"),
            clients: 1,
            keyboard: false,
            urgent: false,
            restraints: Vec::new(),
            windows,
        }
    }

    fn module(vms: Vec<VmInfo>) -> Module {
        Module::from(&VmList { generation: 1, vms })
    }

    #[test]
    fn a_title_is_never_markup() {
        let title = "</span><span background=\"#c62828\" foreground='x'> WEB & </span>";
        let mut window = window(title);
        window.app_id = String::from("<b>");
        window.focused = true;
        let module =
            module(vec![vm("work", vec![window.clone(), VmWindow { title: String::new(), ..window }])]);
        let (_, listed) = module.tooltip.split_once('\n').unwrap();
        let escaped = listed.replace("<b>", "").replace("</b>", "");
        assert!(!escaped.contains(['<', '>', '"', '\'']), "{escaped}");
        assert!(escaped.contains("&lt;/span&gt;") && escaped.contains("(&lt;b&gt;)"), "{escaped}");
        assert!(!module.text.contains("c62828"));
    }

    #[test]
    fn the_vm_with_the_keyboard_and_those_that_ask_for_attention_are_marked() {
        let mut work = vm("work", vec![window("a")]);
        work.keyboard = true;
        let mut web = vm("web", vec![window("b")]);
        web.urgent = true;
        let module = module(vec![work, web]);
        assert_eq!(
            module.text,
            "<span background=\"#2e7d32\" foreground=\"#ffffff\"> <b><u>WORK</u></b> </span> \
             <span background=\"#2e7d32\" foreground=\"#ffffff\"> WEB! </span>"
        );
        assert_eq!(
            (module.alt.as_str(), module.class),
            ("work", vec!["vm-work".to_owned(), "urgent".to_owned()])
        );
    }

    #[test]
    fn vms_without_connections_and_the_bar_itself_are_left_out() {
        let mut off = vm("off", Vec::new());
        off.clients = 0;
        let module = module(vec![vm("local", Vec::new()), off, vm("on", Vec::new())]);
        assert!(
            module.text.contains(" ON ") && !module.text.contains("OFF") && !module.text.contains("LOCAL")
        );
        assert_eq!((module.alt.as_str(), module.class.len()), ("none", 0));
    }

    #[test]
    fn a_title_like_another_vms_label_is_shown_as_what_it_is() {
        let imitating = VmWindow { imitating: true, ..window("WEB login") };
        let module = module(vec![vm("work", vec![imitating])]);
        assert!(module.tooltip.contains("titled by WORK: &quot;WEB login&quot;"), "{}", module.tooltip);
    }

    #[test]
    fn the_tooltip_of_many_windows_stays_short() {
        let windows = (0..50).map(|number| window(&number.to_string())).collect();
        let module = module(vec![vm("work", windows)]);
        assert_eq!(module.tooltip.lines().count(), MAX_WINDOWS + 2);
        assert!(module.tooltip.ends_with("and 38 more"));
    }
}
