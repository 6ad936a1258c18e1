//! What a reload of the configuration changes about how things look.

use crate::config::theme::ThemeConfig;
use crate::state::State;

impl State {
    /// Lets everything look as it is configured now. `before` is what was configured. Frames that are larger leave less to
    /// windows that fill something, so those are told.
    pub(crate) fn configure_theme(&mut self, before: &ThemeConfig) {
        let config = self.comp.config.current().clone();
        if config.theme.metrics == before.metrics {
            return;
        }
        self.change_outputs(|outputs| outputs.set_metrics(config.theme.metrics));
    }
}
