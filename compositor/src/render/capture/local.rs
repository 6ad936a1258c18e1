//! Local programs that take pictures: whether they may, and what becomes of what they asked for before the user said so.

use smithay::reexports::wayland_server::Client;
use smithay::utils::{Physical, Size};
use smithay::wayland::shell::xdg::ToplevelSurface;

use super::Captures;
use crate::config::CaptureRule;
use crate::shell::window::Window;
use crate::state::{Comp, State};
use crate::trust::client;
use crate::trust::consent::{Permission, Question};
use crate::trust::origin::Origin;
use crate::trust::program::{FileId, Program};

/// A local program that takes pictures.
#[derive(Clone, Debug)]
pub(crate) struct Asker(pub(super) Program);

impl Asker {
    fn is(&self, file: FileId) -> bool {
        self.0.file() == file
    }
}

impl Captures {
    /// Whether a program waits for the answer of the user.
    fn awaits(&self, file: FileId) -> bool {
        let mut sessions = self.sessions.values();
        sessions.any(|session| session.pending && session.asker.as_ref().is_some_and(|asker| asker.is(file)))
            || self.copies.awaits(file)
    }
}

impl Comp {
    /// Whether anybody waits for the answer to a question.
    fn awaits(&self, question: &Question) -> bool {
        match question {
            Question::Pictures(program) => self.captures.awaits(program.file()),
            Question::Pointer(origin) => self.awaits_pointer(origin),
            Question::Paste(paste) => self.selections.between.awaits(paste),
        }
    }

    /// Who takes pictures, for the stripe.
    pub(super) fn capturer(&self, origin: &Origin, asker: Option<&Asker>) -> String {
        match asker {
            Some(asker) => asker.0.name().as_str().to_owned(),
            None => {
                let style = self.config.current().style(origin);
                style.map_or_else(|| origin.name().to_owned(), |style| style.label.as_str().to_owned())
            }
        }
    }

    /// The size of a local program's picture of a window, its label included; `None` if there is to be none.
    pub(super) fn framed_size(&self, window: &Window<ToplevelSurface>) -> Option<Size<i32, Physical>> {
        let shown = self.config.current().capture_rule(&window.origin) != CaptureRule::Omit;
        let (_, sum) = self.shell.layout_of(window).margins();
        let content = self.shell.content(window).size;
        shown.then(|| (content.w.saturating_add(sum.w), content.h.saturating_add(sum.h)).into())
    }

    /// Whether the configuration names a program.
    fn allows_unasked(&self, program: &Program) -> bool {
        let search_path = std::env::var_os("PATH");
        program.is_among(&self.config.current().capture.allow, search_path.as_deref())
    }
}

impl State {
    /// Whether a client that is no VM's may take pictures. The user is asked if that is not known.
    pub(crate) fn permission_of(&mut self, client: &Client) -> (Permission, Option<Asker>) {
        // The gate works for VMs, and has nothing to take pictures of.
        let Some(known) = client::state(client).filter(|_| client::is_local(client)) else {
            return (Permission::Refused, None);
        };
        let program = match known.program() {
            Ok(program) => program,
            Err(error) => {
                tracing::warn!(
                    "a program may take no pictures, because it is not known which it is: {error}"
                );
                return (Permission::Refused, None);
            }
        };
        let permission = if self.comp.allows_unasked(&program) {
            Permission::Granted
        } else {
            self.comp.captures.consent.ask(&program)
        };
        (permission, Some(Asker(program)))
    }

    /// The user has answered: what the program has asked for goes on, or ends.
    pub(crate) fn settle_consent(&mut self, file: FileId, allowed: bool) {
        let mut captures = std::mem::take(&mut self.comp.captures);
        for session in captures.sessions.values_mut() {
            if !session.pending || !session.asker.as_ref().is_some_and(|asker| asker.is(file)) {
                continue;
            }
            session.pending = false;
            // What it was to be about may be gone by now, or have another size.
            let source = session.source.as_ref().filter(|_| allowed);
            match source.and_then(|source| self.comp.capture_size(&session.origin, source)) {
                Some(size) => {
                    let scale = source.map_or(1.0, |source| self.comp.scale_of_source(source));
                    session.resize(size, scale);
                }
                None => session.stop(),
            }
        }
        captures.copies.settle(file, allowed);
        self.comp.captures = captures;
    }

    /// The configuration was read again: all answers of the user are forgotten, and the programs that took pictures by one of
    /// them have to ask again.
    pub(crate) fn reconsider_captures(&mut self) {
        let mut captures = std::mem::take(&mut self.comp.captures);
        captures.consent.forget();
        let named = |asker: &Asker| self.comp.allows_unasked(&asker.0);
        for session in captures.sessions.values_mut() {
            if session.source.is_some()
                && !session.pending
                && session.asker.as_ref().is_some_and(|asker| !named(asker))
            {
                session.stop();
            }
        }
        captures.copies.reconsider(named);
        // Whoever is named now and waits for an answer needs none.
        let mut waiting = captures.copies.pending();
        waiting.extend(
            captures.sessions.values().filter(|session| session.pending).flat_map(|s| s.asker.clone()),
        );
        waiting.retain(|asker| named(asker));
        self.comp.captures = captures;
        for asker in waiting {
            self.settle_consent(asker.0.file(), true);
        }
    }

    /// Nobody is asked about programs that wait for no answer.
    pub(crate) fn drop_questions(&mut self) {
        if self.comp.captures.consent.question().is_none() {
            return;
        }
        let mut consent = std::mem::take(&mut self.comp.captures.consent);
        consent.retain(|question| self.comp.awaits(question));
        self.comp.captures.consent = consent;
    }

    /// A client gave up something of its pictures: nobody is asked for those that nobody waits for, and the stripe does not
    /// speak of those that are over.
    pub(crate) fn capture_object_gone(&mut self) {
        let mut consent = std::mem::take(&mut self.comp.captures.consent);
        let asked = consent.is_shown();
        consent.retain(|question| self.comp.awaits(question));
        if (asked && !consent.is_shown()) || !self.comp.captures.is_fading() {
            self.comp.schedule.request();
        }
        self.comp.captures.consent = consent;
    }
}
