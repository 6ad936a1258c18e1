//! The compositor as a whole, with real clients, in one process and one thread.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, reason = "in a test a panic is the report")]

mod attention;
mod capture;
mod chords;
mod client;
mod constraints;
mod devices;
mod families;
mod fixes;
mod fixture;
mod focus;
mod gate;
mod gestures;
mod goldens;
mod hints;
mod hold;
mod hostile;
mod identity;
mod idle_inhibit;
mod idle_notify;
mod input_method;
mod labels;
mod layer_shell;
mod outputs;
mod pacing;
mod placing;
mod popups;
mod relative_pointer;
mod repaint;
mod replaced_buffers;
mod selections;
mod session_lock;
mod shortcuts_inhibit;
mod switcher;
mod tablet;
mod text_input;
mod theme;
mod toplevel_management;
mod touch;
mod traps;
mod turned;
mod virtual_keyboard;
mod visibility;
mod vm_list;
mod workspaces;
