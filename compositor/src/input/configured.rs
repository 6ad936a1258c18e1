//! What a reload of the configuration changes at the devices, without anybody having to plug them in again.

use super::keymap::Keymap;
use crate::config::Config;
use crate::config::input::KeyboardConfig;
use crate::state::State;

impl State {
    /// Sets the devices up as they are configured now. `before` is what was configured.
    pub(crate) fn configure_input(&mut self, before: &Config) {
        let config = self.comp.config.current().clone();
        if config.input.keyboard != before.input.keyboard {
            self.configure_keyboard(&config.input.keyboard, &before.input.keyboard);
        }
        self.configure_repeat(before);
        if config.input != before.input {
            self.backend.configure_devices(&config.input);
        }
    }

    /// Gives the seat another keymap, if it is another one, and tells clients and the input method.
    fn configure_keyboard(&mut self, config: &KeyboardConfig, before: &KeyboardConfig) {
        let Some(keyboard) = self.comp.seat.get_keyboard() else { return };
        let layout = &config.layout;
        if *layout != before.layout {
            let keymap = Keymap::of_layout(layout);
            // The one that types with a keymap of its own shows it again with its next key.
            self.hear_seat();
            match keymap.map(|keymap| (keymap, keyboard.set_xkb_config(self, layout.names()))) {
                Ok((keymap, Ok(()))) => self.comp.input.keymap = keymap,
                // It was checked when the file was read, so the files of libxkbcommon have changed since.
                Ok((_, Err(error))) => tracing::error!("error changing the keyboard's layout: {error}"),
                Err(error) => tracing::error!("error changing the keyboard's layout: {error}"),
            }
        }
        self.comp.tell_method_keyboard();
    }
}
