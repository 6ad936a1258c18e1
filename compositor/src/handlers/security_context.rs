//! `wp_security_context_v1`: how the gate tells the compositor whose connections it brings.

use smithay::reexports::wayland_protocols::wp::security_context::v1::server::wp_security_context_manager_v1::WpSecurityContextManagerV1;
use smithay::reexports::wayland_protocols::wp::security_context::v1::server::wp_security_context_v1::WpSecurityContextV1;
use smithay::reexports::wayland_server::delegate_dispatch;
use smithay::wayland::security_context::{
    SecurityContext, SecurityContextGlobalData, SecurityContextHandler, SecurityContextListenerSource,
    SecurityContextState, SecurityContextUserData,
};

use crate::handlers::globals::delegate_global;
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

delegate_global!(WpSecurityContextManagerV1: SecurityContextGlobalData => SecurityContextState);
delegate_dispatch!(State: [WpSecurityContextManagerV1: ()] => SecurityContextState);
delegate_dispatch!(State: [WpSecurityContextV1: SecurityContextUserData] => SecurityContextState);
