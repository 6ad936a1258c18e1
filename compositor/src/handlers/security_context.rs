//! `wp_security_context_v1`: how the gate tells the compositor whose connections it brings.

use smithay::delegate_security_context;
use smithay::wayland::security_context::{
    SecurityContext, SecurityContextHandler, SecurityContextListenerSource,
};

use crate::state::State;
use crate::trust::security_context;

impl SecurityContextHandler for State {
    fn context_created(&mut self, source: SecurityContextListenerSource, context: SecurityContext) {
        // Only the gate sees the global, so what is refused here is the gate's mistake.
        let origin = match security_context::origin(&context) {
            Ok(origin) => origin,
            Err(error) => {
                tracing::error!("security context refused: {error}");
                return;
            }
        };
        let inserted = self.comp.events.insert_source(source, move |stream, (), state| {
            state.accept_vm(stream, &origin);
        });
        if let Err(error) = inserted {
            tracing::error!("error adding a security context to the event loop: {error}");
        }
    }
}

delegate_security_context!(State);
