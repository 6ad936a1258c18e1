//! Composing text: what text inputs say of themselves, what the input method makes of it, and which of the two hears what.
//!
//! Nothing here knows Wayland. A text input is named by a `K`, the client that has it by a `C`, a surface by an `S`;
//! in the compositor these are objects, in the property tests plain numbers. Each change answers with the events that
//! follow from it, in order, and the handlers send them.
//!
//! # Model
//!
//! The *focus* is the surface that has the keyboard, with its client. The text inputs of that client have entered it;
//! all others are deaf and mute: what they ask for is thrown away, and only their commits are counted, because both
//! sides count them. One text input of the focused client can be *active*, which is when it committed `enable`. The input
//! method hears of the active one alone, and what it writes goes to the active one alone.
//!
//! The input method counts the `done` events that it was sent, and says in each commit how many it has seen. So a commit
//! tells for which activation it was meant: what was composed for one text input and comes when another one is active is
//! thrown away, even if both are of one client. Within an activation a commit may be behind the count; it is then
//! carried out as well, or fast typing would lose letters.
//!
//! A client may commit as often as it likes, and the input method is another program that may be slower. So it is told at
//! most [`BUDGET`] times between two calls of [`Composition::refill`], and then of what is so by then. That an activation has
//! ended it is told at once.
//!
//! # Invariants
//!
//! * A text input that is active is of the client that has the focus ([`Composition::check`]).
//! * The input method is told `activate` and `deactivate` in turn, and of a field only between the two. Between the two the
//!   text input that it was told of is active.
//! * Text longer than [`MAX_TEXT`], or with a cursor that is not between two characters of it, goes nowhere.
//! * The text around the cursor of a field that is for secrets is not told to the input method.

use std::collections::HashMap;
use std::hash::Hash;

use smithay::utils::{Logical, Rectangle};

/// The longest text in either direction, in bytes; both protocols name it. A message of the protocol has no room for more
/// than 4096 bytes, and a client that is sent a longer one loses its connection.
pub const MAX_TEXT: usize = 4000;

/// How often the input method is told of a field between two calls of [`Composition::refill`].
pub const BUDGET: u32 = 4;

/// The text around a cursor: at most [`MAX_TEXT`] bytes, with both offsets between two characters of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surrounding {
    text: String,
    cursor: u32,
    anchor: u32,
}

impl Surrounding {
    /// The text with its offsets in bytes; `None` if a client made them up.
    #[must_use]
    pub fn new(text: String, cursor: i32, anchor: i32) -> Option<Self> {
        let within = |offset: i32| {
            let offset = u32::try_from(offset).ok()?;
            text.is_char_boundary(usize::try_from(offset).ok()?).then_some(offset)
        };
        let (cursor, anchor) = (within(cursor)?, within(anchor)?);
        (text.len() <= MAX_TEXT).then_some(Self { text, cursor, anchor })
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the cursor is, in bytes.
    #[must_use]
    pub fn cursor(&self) -> u32 {
        self.cursor
    }

    /// Where the selection began, in bytes; without one, where the cursor is.
    #[must_use]
    pub fn anchor(&self) -> u32 {
        self.anchor
    }
}

/// Why the text around a cursor has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// The input method wrote.
    #[default]
    InputMethod,
    /// Something else.
    Other,
}

/// What a field is for, in the numbers of `zwp_text_input_v3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Bits of `content_hint`.
    pub hint: u32,
    /// One of `content_purpose`.
    pub purpose: u32,
}

impl Kind {
    const HIDDEN_TEXT: u32 = 0x40;
    const SENSITIVE_DATA: u32 = 0x80;
    const PASSWORD: u32 = 8;
    const PIN: u32 = 9;

    /// Whether the field is for secrets.
    #[must_use]
    pub fn is_secret(self) -> bool {
        self.hint & (Self::HIDDEN_TEXT | Self::SENSITIVE_DATA) != 0
            || matches!(self.purpose, Self::PASSWORD | Self::PIN)
    }
}

/// What an active text input has said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// The text around the cursor, if the application tells it.
    pub surrounding: Option<Surrounding>,
    /// Why it has changed.
    pub cause: Cause,
    /// What it is for.
    pub kind: Kind,
    /// Where the cursor is, in coordinates of the focused surface, if the application tells it. Its numbers are the
    /// client's, and may be anything.
    pub cursor: Option<Rectangle<i32, Logical>>,
}

/// What a text input asks for. All but [`Request::Commit`] waits for the next commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Begins anew.
    Enable,
    /// Ends.
    Disable,
    /// Says what is around the cursor; `None` is what makes no sense, and the input method then knows nothing of it.
    Surrounding(Option<Surrounding>),
    /// Says why that has changed.
    Cause(Cause),
    /// Says what the field is for.
    Kind(Kind),
    /// Says where the cursor is.
    Cursor(Rectangle<i32, Logical>),
    /// Makes all of that so.
    Commit,
}

/// Text that is being composed, and where the cursor is in it, in bytes; both -1 hide the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preedit {
    /// The text.
    pub text: String,
    /// Where the cursor begins.
    pub begin: i32,
    /// Where it ends.
    pub end: i32,
}

impl Preedit {
    /// The same with a cursor that the application can use: one that is not between two characters is hidden.
    fn sound(self) -> Self {
        let within = |offset: i32| usize::try_from(offset).is_ok_and(|at| self.text.is_char_boundary(at));
        if within(self.begin) && within(self.end) { self } else { Self { begin: -1, end: -1, ..self } }
    }
}

/// What the input method asks for. All but [`MethodRequest::Commit`] waits for the next commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MethodRequest {
    /// Text is to be inserted.
    Insert(String),
    /// Text is being composed.
    Preedit(Preedit),
    /// So many bytes before and behind the cursor are to go.
    Delete(u32, u32),
    /// Makes all of that so; with the number of `done` events that the input method has seen.
    Commit(u32),
}

/// What one commit of the input method does to a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// The text that is being composed now; `None` takes away what was.
    pub preedit: Option<Preedit>,
    /// What is inserted.
    pub insert: Option<String>,
    /// What is deleted before and behind the cursor, in bytes.
    pub delete: Option<(u32, u32)>,
}

/// What someone is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<K, S> {
    /// A text input's client got the keyboard.
    Enter(K, S),
    /// A text input's client lost the keyboard.
    Leave(K, S),
    /// A text input is written to. The number is that of the commits that it has sent.
    Edit(K, Edit, u32),
    /// The input method is wanted.
    Activate,
    /// The input method is not wanted any more.
    Deactivate,
    /// The input method is told of the field.
    Field(Field),
    /// What the input method was told since the last one counts now.
    Done,
}

/// What waits for a text input's next commit.
#[derive(Debug, Default)]
struct Pending {
    switch: Option<bool>,
    surrounding: Option<Option<Surrounding>>,
    cause: Cause,
    kind: Option<Kind>,
    cursor: Option<Rectangle<i32, Logical>>,
}

#[derive(Debug)]
struct Input<C> {
    client: C,
    commits: u32,
    pending: Pending,
}

/// The text input that is active.
#[derive(Debug)]
struct Active<K> {
    key: K,
    field: Field,
    /// The input method, if there is one, is to be told of the field.
    untold: bool,
}

/// The input method that there is.
#[derive(Debug)]
struct Method {
    /// `done` events that it was sent; it wraps around.
    done: u32,
    /// How many it had been sent when it knew of the activation that goes on; `None` while it does not know of any.
    active: Option<u32>,
    pending: Edit,
    /// The text input shows text that is being composed.
    composing: bool,
    /// How often it may still be told of a field.
    budget: u32,
}

/// All text inputs and the input method of a seat. There are as many text inputs as may listen to input.
#[derive(Debug)]
pub struct Composition<K, C, S> {
    inputs: HashMap<K, Input<C>>,
    focus: Option<(C, S)>,
    active: Option<Active<K>>,
    method: Option<Method>,
}

impl<K, C, S> Default for Composition<K, C, S> {
    fn default() -> Self {
        Self { inputs: HashMap::new(), focus: None, active: None, method: None }
    }
}

impl<K: Clone + Eq + Hash, C: PartialEq, S: Clone + PartialEq> Composition<K, C, S> {
    /// The active text input's surface and what it has said of itself.
    #[must_use]
    pub fn active(&self) -> Option<(&S, &Field)> {
        let (_, surface) = self.focus.as_ref()?;
        self.active.as_ref().map(|active| (surface, &active.field))
    }

    /// Whether there is an input method and it knows that it is wanted.
    #[must_use]
    pub fn method_is_active(&self) -> bool {
        self.method.as_ref().is_some_and(|method| method.active.is_some())
    }

    /// Whether there is something that an input method is still to be told.
    #[must_use]
    pub fn method_waits(&self) -> bool {
        self.method.is_some() && self.active.as_ref().is_some_and(|active| active.untold)
    }

    /// Whether the input method was told something since the last [`refill`](Self::refill), which is then to come.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.method.as_ref().is_some_and(|method| method.budget < BUDGET)
    }

    /// Time has passed, and the input method may be told [`BUDGET`] times again.
    pub fn refill(&mut self) -> Vec<Event<K, S>> {
        if let Some(method) = &mut self.method {
            method.budget = BUDGET;
        }
        self.tell_method()
    }

    /// The keyboard is now with this client's surface.
    pub fn set_focus(&mut self, focus: Option<(C, S)>) -> Vec<Event<K, S>> {
        if self.focus == focus {
            return Vec::new();
        }
        let mut events = self.end_activation();
        if let Some((client, surface)) = std::mem::replace(&mut self.focus, focus) {
            for (key, input) in self.inputs.iter_mut().filter(|(_, input)| input.client == client) {
                input.pending = Pending::default();
                events.push(Event::Leave(key.clone(), surface.clone()));
            }
        }
        if let Some((client, surface)) = &self.focus {
            let entering = self.inputs.iter().filter(|(_, input)| input.client == *client);
            events.extend(entering.map(|(key, _)| Event::Enter(key.clone(), surface.clone())));
        }
        events
    }

    /// There is a new text input.
    pub fn add(&mut self, key: K, client: C) -> Vec<Event<K, S>> {
        let focused = self.focus.as_ref().filter(|(focused, _)| *focused == client);
        let events = focused.map(|(_, surface)| Event::Enter(key.clone(), surface.clone()));
        let events = events.into_iter().collect();
        self.inputs.insert(key, Input { client, commits: 0, pending: Pending::default() });
        events
    }

    /// A text input is gone.
    pub fn remove(&mut self, key: &K) -> Vec<Event<K, S>> {
        self.inputs.remove(key);
        if self.is_active(key) { self.end_activation() } else { Vec::new() }
    }

    /// A text input asks for something.
    pub fn request(&mut self, key: &K, request: Request) -> Vec<Event<K, S>> {
        let Some(input) = self.inputs.get_mut(key) else { return Vec::new() };
        if request == Request::Commit {
            input.commits = input.commits.wrapping_add(1);
        }
        if self.focus.as_ref().is_none_or(|(focused, _)| *focused != input.client) {
            return Vec::new();
        }
        let pending = &mut input.pending;
        match request {
            Request::Enable => *pending = Pending { switch: Some(true), ..Pending::default() },
            Request::Disable => *pending = Pending { switch: Some(false), ..Pending::default() },
            Request::Surrounding(text) => pending.surrounding = Some(text),
            Request::Cause(cause) => pending.cause = cause,
            Request::Kind(kind) => pending.kind = Some(kind),
            Request::Cursor(rectangle) => pending.cursor = Some(rectangle),
            Request::Commit => {
                let pending = std::mem::take(pending);
                return self.commit(key, pending);
            }
        }
        Vec::new()
    }

    fn commit(&mut self, key: &K, pending: Pending) -> Vec<Event<K, S>> {
        let Pending { switch, surrounding, cause, kind, cursor } = pending;
        match switch {
            // The protocol wants a second one of a seat to be ignored.
            Some(true) if self.active.as_ref().is_some_and(|active| active.key != *key) => Vec::new(),
            Some(true) => {
                let mut events = self.end_activation();
                let surrounding = surrounding.flatten();
                let field = Field { surrounding, cause, kind: kind.unwrap_or_default(), cursor };
                self.active = Some(Active { key: key.clone(), field, untold: true });
                events.extend(self.tell_method());
                events
            }
            Some(false) if self.is_active(key) => self.end_activation(),
            Some(false) => Vec::new(),
            None => {
                let Some(active) = self.active.as_mut().filter(|active| active.key == *key) else {
                    return Vec::new();
                };
                active.untold = true;
                let field = &mut active.field;
                if let Some(surrounding) = surrounding {
                    field.surrounding = surrounding;
                }
                field.cause = cause;
                field.kind = kind.unwrap_or(field.kind);
                field.cursor = cursor.or(field.cursor);
                self.tell_method()
            }
        }
    }

    /// An input method is there. `None` if there is one already; then nothing has changed.
    pub fn add_method(&mut self) -> Option<Vec<Event<K, S>>> {
        if self.method.is_some() {
            return None;
        }
        let (active, pending, composing) = (None, Edit::default(), false);
        self.method = Some(Method { done: 0, active, pending, composing, budget: BUDGET });
        if let Some(active) = &mut self.active {
            active.untold = true;
        }
        Some(self.tell_method())
    }

    /// The input method is gone, and what it was composing goes with it.
    pub fn remove_method(&mut self) -> Vec<Event<K, S>> {
        let composing = self.method.take().is_some_and(|method| method.composing);
        let cleared = self.active.as_ref().filter(|_| composing);
        let cleared =
            cleared.map(|active| Event::Edit(active.key.clone(), Edit::default(), self.commits(&active.key)));
        cleared.into_iter().collect()
    }

    /// The input method asks for something.
    pub fn method_request(&mut self, request: MethodRequest) -> Vec<Event<K, S>> {
        let Some(method) = self.method.as_mut() else { return Vec::new() };
        match request {
            MethodRequest::Insert(text) if text.len() <= MAX_TEXT => method.pending.insert = Some(text),
            MethodRequest::Preedit(preedit) if preedit.text.len() <= MAX_TEXT => {
                method.pending.preedit = Some(preedit.sound());
            }
            MethodRequest::Insert(_) | MethodRequest::Preedit(_) => {
                tracing::debug!("the input method writes more than {MAX_TEXT} bytes at once");
            }
            MethodRequest::Delete(before, after) => method.pending.delete = Some((before, after)),
            MethodRequest::Commit(seen) => {
                let edit = std::mem::take(&mut method.pending);
                let Some(since) = method.active else { return Vec::new() };
                if seen.wrapping_sub(since) > method.done.wrapping_sub(since) {
                    // It was composed for another text input, or for nobody.
                    return Vec::new();
                }
                let Some(Active { key, .. }) = &self.active else { return Vec::new() };
                method.composing = edit.preedit.as_ref().is_some_and(|preedit| !preedit.text.is_empty());
                return vec![Event::Edit(key.clone(), edit, self.commits(key))];
            }
        }
        Vec::new()
    }

    /// Nothing is active any more.
    fn end_activation(&mut self) -> Vec<Event<K, S>> {
        let ended = self.active.take().is_some();
        let Some(method) = self.method.as_mut().filter(|method| ended && method.active.is_some()) else {
            return Vec::new();
        };
        method.active = None;
        method.composing = false;
        method.pending = Edit::default();
        method.done = method.done.wrapping_add(1);
        vec![Event::Deactivate, Event::Done]
    }

    /// Tells the input method what the active text input says of itself, if that is new and it may be told: all of it,
    /// because the protocol forgets most with each `done`.
    fn tell_method(&mut self) -> Vec<Event<K, S>> {
        let (Some(active), Some(method)) = (self.active.as_mut(), self.method.as_mut()) else {
            return Vec::new();
        };
        if !active.untold || method.budget == 0 {
            return Vec::new();
        }
        active.untold = false;
        method.budget -= 1;
        let mut events = Vec::new();
        if method.active.is_none() {
            method.pending = Edit::default();
            method.active = Some(method.done.wrapping_add(1));
            events.push(Event::Activate);
        }
        let mut field = active.field.clone();
        if field.kind.is_secret() {
            field.surrounding = None;
        }
        method.done = method.done.wrapping_add(1);
        events.extend([Event::Field(field), Event::Done]);
        events
    }

    fn is_active(&self, key: &K) -> bool {
        self.active.as_ref().is_some_and(|active| active.key == *key)
    }

    fn commits(&self, key: &K) -> u32 {
        self.inputs.get(key).map_or(0, |input| input.commits)
    }

    /// Panics unless the invariants hold. For tests.
    ///
    /// # Panics
    ///
    /// If the active text input is not of the focused client, or the input method believes to be wanted by nobody.
    pub fn check(&self) {
        if let Some(Active { key, .. }) = &self.active {
            let client = self.inputs.get(key).map(|input| &input.client);
            let focused = self.focus.as_ref().map(|(client, _)| client);
            assert!(client.is_some() && client == focused, "the active text input has the focus");
        }
        let knows = self.method_is_active();
        assert!(!knows || self.active.is_some(), "the input method is wanted by somebody");
        let untold = self.active.as_ref().is_some_and(|active| active.untold);
        assert!(self.method.is_none() || self.active.is_none() || knows || untold, "it is told, or will be");
    }
}

#[cfg(test)]
mod tests;
