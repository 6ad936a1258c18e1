//! The texts by which programs of the GUI VM are told of windows, where a protocol knows nothing of VMs: task bars
//! ([`super::toplevel_management`]), and what chooses a window to take pictures of ([`super::foreign_toplevel_list`]).
//!
//! So that no program can show a window without saying whose it is, the label is a part of what it is told as title, and the
//! VM's name of what it is told as application id, which is no name of an application that is installed in the GUI VM: a window
//! cannot borrow the icon of one.

use crate::trust::origin::Origin;
use crate::trust::title::GuestText;

/// The title and the application id of a window, as they are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) title: String,
    pub(super) app_id: String,
}

impl Texts {
    /// For programs of the GUI VM: with the window's label, and the name of its VM.
    pub(super) fn labelled(origin: &Origin, label: &str, title: &GuestText, app_id: &GuestText) -> Self {
        Self { title: labelled_title(label, title), app_id: labelled_app_id(origin, app_id) }
    }
}

/// The label of a window, and then what its program says.
fn labelled_title(label: &str, title: &GuestText) -> String {
    if title.is_empty() { format!("[{label}]") } else { format!("[{label}] {title}") }
}

/// The application id of a window: of a local one its own, of a VM's the VM's name and what is left of its own if
/// it is to name no file.
fn labelled_app_id(origin: &Origin, app_id: &GuestText) -> String {
    let Origin::Vm(name) = origin else { return app_id.as_str().to_owned() };
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let own: String = app_id.as_str().chars().map(plain).collect();
    let separator = if own.is_empty() { "" } else { "." };
    format!("vitrail.{name}{separator}{own}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_id_of_a_vm_begins_with_the_vm_and_is_the_name_of_no_file() {
        let work = Origin::Vm("work".parse().unwrap());
        let told = |origin: &Origin, text: &str| labelled_app_id(origin, &GuestText::new(text));
        assert_eq!(told(&work, "org.keepassxc.KeePassXC"), "vitrail.work.org.keepassxc.KeePassXC");
        assert_eq!(told(&work, "/../../etc/x y"), "vitrail.work._.._.._etc_x_y");
        assert_eq!(told(&work, ""), "vitrail.work");
        assert_eq!(told(&Origin::Local, "foot"), "foot");
    }

    #[test]
    fn a_title_begins_with_the_label_whatever_its_window_says() {
        let told = |text: &str| labelled_title("Work", &GuestText::new(text));
        assert_eq!(told("[Web] bank\u{202e}\n"), "[Work] [Web] bank");
        assert_eq!(told(""), "[Work]");
    }
}
