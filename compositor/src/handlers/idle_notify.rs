//! `ext_idle_notifier_v1`: clients that are told when the person is away, such as a screen locker.
//!
//! # Model
//!
//! A notification is idle once nothing was done with any input device for its timeout, in whichever window, and is so until
//! something is done again. One that heeds inhibitors is not idle while a window keeps the session awake
//! ([`Comp::idle_inhibitor`](crate::state::Comp::idle_inhibitor)), and counts from the end of that. A VM that is allowed this learns that somebody is there, and
//! nothing else: its timeouts are whole seconds ([`COARSE`]).
//!
//! Input only takes down the time ([`State::note_activity`]), unless a notification is idle. The one timer is armed for the
//! earliest deadline that was known then; where there was input meanwhile it is armed again when it fires. Once all
//! notifications are idle or held back there is none, so that an idle session sleeps.
//!
//! Not by Smithay's module, which arms a timer for each notification and each input event, and is told of inhibitors by hand.

use std::collections::HashMap;
use std::time::Duration;

use calloop::RegistrationToken;
use calloop::timer::{TimeoutAction, Timer};
use smithay::reexports::wayland_protocols::ext::idle_notify::v1::server::ext_idle_notification_v1::{
    self, ExtIdleNotificationV1,
};
use smithay::reexports::wayland_protocols::ext::idle_notify::v1::server::ext_idle_notifier_v1::{
    self, ExtIdleNotifierV1,
};
use smithay::reexports::wayland_server::backend::{ClientId, ObjectId};
use smithay::reexports::wayland_server::{
    Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource,
};

use super::globals::admit;
use crate::state::State;
use crate::trust::client::{may_see, origin_of};

/// The version that is offered.
const VERSION: u32 = 2;

/// What a VM's timeouts are rounded up to, and the shortest that it has. Shorter ones would tell it when keys are pressed in
/// the windows of others.
pub const COARSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Notification {
    object: ExtIdleNotificationV1,
    timeout: Duration,
    /// It is not idle while a window keeps the session awake.
    heeds_inhibitors: bool,
    created: Duration,
    idle: bool,
}

/// The live notifications. A client has no more of them than objects that listen to input
/// ([`crate::input::listeners::MAX_LISTENERS`]), of which each is one.
#[derive(Debug, Default)]
pub struct IdleNotifications {
    by_id: HashMap<ObjectId, Notification>,
    /// How many of them heed inhibitors.
    heeding: usize,
    /// How many of them are idle.
    idle: usize,
    /// When something was last done with an input device. Times are those of the compositor's clock.
    last_input: Duration,
    /// Whether a window kept the session awake when that was last looked at.
    inhibited: bool,
    /// When that ended.
    inhibited_until: Duration,
    timer: Option<(RegistrationToken, Duration)>,
    timers_armed: u64,
    /// There may be an earlier deadline than the timer's.
    stale: bool,
}

impl IdleNotifications {
    /// When a notification becomes idle if nothing happens; `None` if it is already, or is held back.
    fn deadline(&self, notification: &Notification) -> Option<Duration> {
        let heeds = notification.heeds_inhibitors;
        if notification.idle || heeds && self.inhibited {
            return None;
        }
        let since = notification.created.max(self.last_input);
        let since = if heeds { since.max(self.inhibited_until) } else { since };
        Some(since.saturating_add(notification.timeout))
    }

    /// Whether a timer is armed.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.timer.is_some()
    }

    /// How many timers were armed so far.
    #[must_use]
    pub fn timers_armed(&self) -> u64 {
        self.timers_armed
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Ends the idleness of all notifications, or of those that heed inhibitors.
    fn resume(&mut self, only_heeding: bool) {
        if self.idle == 0 {
            return;
        }
        for notification in self.by_id.values_mut() {
            if notification.idle && (notification.heeds_inhibitors || !only_heeding) {
                notification.idle = false;
                notification.object.resumed();
                self.idle = self.idle.saturating_sub(1);
            }
        }
        self.stale = true;
    }

    /// Tells the clients whose time has come.
    fn expire(&mut self, now: Duration) {
        let deadlines = self.by_id.iter().filter_map(|(id, one)| Some((self.deadline(one)?, id.clone())));
        let mut due: Vec<(Duration, ObjectId)> = deadlines.filter(|(deadline, _)| *deadline <= now).collect();
        due.sort_by_key(|(deadline, _)| *deadline);
        for (_, id) in due {
            if let Some(notification) = self.by_id.get_mut(&id) {
                notification.idle = true;
                notification.object.idled();
                self.idle = self.idle.saturating_add(1);
            }
        }
    }
}

/// Creates the global.
pub(super) fn create(display: &DisplayHandle) {
    display.create_global::<State, ExtIdleNotifierV1, ()>(VERSION, ());
}

impl State {
    /// Something was done with an input device.
    pub(crate) fn note_activity(&mut self) {
        self.wake_outputs();
        if self.comp.protocols.idle_notify.is_empty() {
            return;
        }
        let now = self.comp.now();
        let notifications = &mut self.comp.protocols.idle_notify;
        notifications.last_input = now;
        notifications.resume(false);
    }

    /// After each turn of the event loop: takes note of windows that keep the session awake or do so no more, and arms the
    /// timer for what has come.
    pub(crate) fn plan_idle(&mut self) {
        self.heed_inhibitors();
        if std::mem::take(&mut self.comp.protocols.idle_notify.stale) {
            self.arm_idle_timer();
        }
    }

    /// Looks whether a window keeps the session awake, if a notification wants to know.
    fn heed_inhibitors(&mut self) {
        if self.comp.protocols.idle_notify.heeding == 0 {
            return;
        }
        let (inhibited, now) = (self.comp.idle_inhibitor().is_some(), self.comp.now());
        let notifications = &mut self.comp.protocols.idle_notify;
        if inhibited == notifications.inhibited {
            return;
        }
        notifications.inhibited = inhibited;
        if inhibited {
            notifications.resume(true);
        } else {
            notifications.inhibited_until = now;
            notifications.stale = true;
        }
    }

    /// Arms the timer for the earliest deadline, unless it fires before that anyway.
    fn arm_idle_timer(&mut self) {
        let notifications = &self.comp.protocols.idle_notify;
        let deadlines = notifications.by_id.values().filter_map(|one| notifications.deadline(one));
        let Some(earliest) = deadlines.min() else { return };
        match &notifications.timer {
            Some((_, armed)) if *armed <= earliest => return,
            Some((token, _)) => self.comp.events.remove(*token),
            None => {}
        }
        let timer = Timer::from_duration(earliest.saturating_sub(self.comp.now()));
        let inserted = self.comp.events.insert_source(timer, |_, (), state| {
            state.idle_timer_fired();
            TimeoutAction::Drop
        });
        let notifications = &mut self.comp.protocols.idle_notify;
        notifications.timers_armed = notifications.timers_armed.saturating_add(1);
        notifications.timer = match inserted {
            Ok(token) => Some((token, earliest)),
            Err(error) => {
                tracing::error!("error arming the idle timer: {error}");
                None
            }
        };
    }

    fn idle_timer_fired(&mut self) {
        // A window may keep the session awake since this turn of the loop.
        self.heed_inhibitors();
        let now = self.comp.now();
        let notifications = &mut self.comp.protocols.idle_notify;
        notifications.timer = None;
        notifications.expire(now);
        notifications.stale = true;
    }
}

impl GlobalDispatch<ExtIdleNotifierV1, ()> for State {
    fn bind(
        _state: &mut Self,
        display: &DisplayHandle,
        client: &Client,
        new: New<ExtIdleNotifierV1>,
        _data: &(),
        data_init: &mut DataInit<'_, Self>,
    ) {
        if let Some(new) = admit(client, display, new, data_init) {
            data_init.init(new, ());
        }
    }

    fn can_view(client: Client, _data: &()) -> bool {
        may_see(&client, ExtIdleNotifierV1::interface().name)
    }
}

impl Dispatch<ExtIdleNotifierV1, ()> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        _notifier: &ExtIdleNotifierV1,
        request: ext_idle_notifier_v1::Request,
        _data: &(),
        display: &DisplayHandle,
        data_init: &mut DataInit<'_, Self>,
    ) {
        use ext_idle_notifier_v1::Request;
        // There is one seat, so the one that is named is the one there is.
        let (id, timeout, heeds_inhibitors) = match request {
            Request::GetIdleNotification { id, timeout, .. } => (id, timeout, true),
            Request::GetInputIdleNotification { id, timeout, .. } => (id, timeout, false),
            _ => return,
        };
        if !state.comp.input.listeners.add(client, display) {
            return;
        }
        let object = data_init.init(id, ());
        let timeout = Duration::from_millis(timeout.into());
        let local = origin_of(&object).is_some_and(|origin| !origin.is_vm());
        let timeout = if local { timeout } else { coarse(timeout) };
        let created = state.comp.now();
        let notification =
            Notification { object: object.clone(), timeout, heeds_inhibitors, created, idle: false };
        let notifications = &mut state.comp.protocols.idle_notify;
        notifications.by_id.insert(object.id(), notification);
        notifications.heeding = notifications.heeding.saturating_add(heeds_inhibitors.into());
        notifications.stale = true;
    }
}

/// A timeout as a VM gets it.
fn coarse(timeout: Duration) -> Duration {
    let whole = Duration::from_secs(timeout.as_secs());
    let up = if timeout > whole { whole.saturating_add(COARSE) } else { whole };
    up.max(COARSE)
}

impl Dispatch<ExtIdleNotificationV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _notification: &ExtIdleNotificationV1,
        _request: ext_idle_notification_v1::Request,
        _data: &(),
        _display: &DisplayHandle,
        _data_init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, client: ClientId, notification: &ExtIdleNotificationV1, _data: &()) {
        state.comp.input.listeners.remove(&client);
        let notifications = &mut state.comp.protocols.idle_notify;
        let Some(gone) = notifications.by_id.remove(&notification.id()) else { return };
        notifications.idle = notifications.idle.saturating_sub(gone.idle.into());
        notifications.heeding = notifications.heeding.saturating_sub(gone.heeds_inhibitors.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeouts_of_a_vm_are_whole_seconds_and_at_least_one() {
        for (asked, given) in [(0, 1000), (1, 1000), (1000, 1000), (1001, 2000), (300_000, 300_000)] {
            assert_eq!(coarse(Duration::from_millis(asked)), Duration::from_millis(given));
        }
        let most = Duration::from_millis(u32::MAX.into());
        assert!(coarse(most) >= most);
    }
}
