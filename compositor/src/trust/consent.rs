//! What the compositor asks the user: which local programs may take pictures, which VMs may hold the pointer, and what is pasted from
//! one VM into another.
//!
//! # Model
//!
//! A program that the configuration does not name is asked about when it first wants a picture. The answer holds until the
//! session ends or the configuration is read again, for all processes of the program. Questions are shown one at a time, in their order;
//! what is not answered waits, and goes when nobody waits for its answer any more. Answers about the pointer are kept by whoever asked. The answer
//! about a paste is for that paste alone.
//!
//! # Invariants
//!
//! * Without an answer nothing is allowed.
//! * An answer counts only if the question was shown, unchanged, at one place and undisturbed, for [`ARMING`]: what was
//!   typed or clicked for something else is no answer, and makes the time begin again.
//! * There are at most [`MAX_QUESTIONS`] questions and [`MAX_ANSWERS`] answers; a program beyond them is refused.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use smithay::utils::{Physical, Rectangle};

pub use super::arming::ARMING;

use super::arming::Arming;
use super::clipboard::Question as PasteQuestion;
use super::origin::Origin;
use super::program::{FileId, Program};

/// Questions that wait.
pub const MAX_QUESTIONS: usize = 8;
/// Answers that are kept.
pub const MAX_ANSWERS: usize = 256;

/// What the user says, or is about to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It may not, or is not done.
    #[default]
    Deny,
    /// It may, until the session ends; a paste is done.
    Allow,
}

/// What the user is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether a program may take pictures.
    Pictures(Program),
    /// Whether the windows of a VM may hold the pointer.
    Pointer(Origin),
    /// Whether something is pasted from one VM into another.
    Paste(PasteQuestion),
}

impl Question {
    fn program(&self) -> Option<&Program> {
        match self {
            Self::Pictures(program) => Some(program),
            Self::Pointer(_) | Self::Paste(_) => None,
        }
    }
}

/// Whether a program may take pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Granted,
    /// It may not.
    Refused,
    /// The user is asked.
    Asked,
}

/// The question that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    arming: Arming,
    /// The answer that Enter gives.
    choice: Answer,
}

/// Questions and answers.
#[derive(Debug, Default)]
pub struct Consent {
    answers: HashMap<FileId, Answer>,
    questions: VecDeque<Question>,
    shown: Option<Shown>,
}

impl Consent {
    /// Whether a program may take pictures, which the configuration says nothing of. Asks if that is not known.
    pub fn ask(&mut self, program: &Program) -> Permission {
        match self.answers.get(&program.file()) {
            Some(Answer::Allow) => return Permission::Granted,
            Some(Answer::Deny) => return Permission::Refused,
            None => {}
        }
        let mut programs = self.questions.iter().filter_map(Question::program);
        if programs.any(|asked| asked.file() == program.file()) {
            return Permission::Asked;
        }
        if self.questions.len() >= MAX_QUESTIONS || self.answers.len() >= MAX_ANSWERS {
            return Permission::Refused;
        }
        self.questions.push_back(Question::Pictures(program.clone()));
        Permission::Asked
    }

    /// Asks whether a VM may hold the pointer, unless that is asked already or too much is.
    pub fn ask_pointer(&mut self, origin: &Origin) {
        let question = Question::Pointer(origin.clone());
        if self.questions.len() < MAX_QUESTIONS && !self.questions.contains(&question) {
            self.questions.push_back(question);
        }
    }

    /// Asks about a paste; false if too many questions wait.
    #[must_use]
    pub fn ask_paste(&mut self, question: PasteQuestion) -> bool {
        let room = self.questions.len() < MAX_QUESTIONS;
        if room {
            self.questions.push_back(Question::Paste(question));
        }
        room
    }

    /// What is asked next, or now.
    #[must_use]
    pub fn question(&self) -> Option<&Question> {
        self.questions.front()
    }

    /// Drops the questions whose answer nobody waits for.
    pub fn retain(&mut self, awaited: impl Fn(&Question) -> bool) {
        // Only what is shown is looked at; the others are behind it.
        let first_goes = self.question().is_some_and(|first| !awaited(first));
        self.questions.retain(awaited);
        if first_goes {
            self.shown = None;
        }
    }

    /// The next question is in sight from now on; false if there is none or it was before.
    pub fn show(&mut self, now: Duration) -> bool {
        if self.questions.is_empty() || self.shown.is_some() {
            return false;
        }
        self.shown = Some(Shown { arming: Arming::new(now), choice: Answer::default() });
        true
    }

    /// The question is out of sight, and will be new when it is seen again.
    pub fn hide(&mut self) {
        self.shown = None;
    }

    /// Whether a question is in sight.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.shown.is_some() && !self.questions.is_empty()
    }

    /// When the question that is shown takes an answer.
    #[must_use]
    pub fn armed_at(&self) -> Option<Duration> {
        self.shown.as_ref().map(|shown| shown.arming.armed_at())
    }

    /// Whether the question that is shown takes an answer.
    #[must_use]
    pub fn is_armed(&self, now: Duration) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.arming.is_armed(now))
    }

    /// The answer that Enter gives.
    #[must_use]
    pub fn choice(&self) -> Answer {
        self.shown.as_ref().map(|shown| shown.choice).unwrap_or_default()
    }

    /// Something was pressed. True if the question takes an answer; otherwise that was for something else, and the time
    /// begins again.
    pub fn press(&mut self, now: Duration) -> bool {
        self.shown.as_mut().is_some_and(|shown| shown.arming.press(now))
    }

    /// Something was pressed that is no answer, so the user is at something else: the time begins again.
    pub fn disturb(&mut self, now: Duration) {
        if let Some(shown) = &mut self.shown {
            shown.arming.disturb(now);
        }
    }

    /// The question is at a place. True if it was elsewhere before: then nobody has seen it there yet, and the time begins
    /// again.
    pub fn place(&mut self, panel: Rectangle<i32, Physical>, now: Duration) -> bool {
        self.shown.as_mut().is_some_and(|shown| shown.arming.place(panel, now))
    }

    /// The user moves on to the other answer.
    pub fn turn_choice(&mut self) {
        if let Some(shown) = &mut self.shown {
            shown.choice = match shown.choice {
                Answer::Deny => Answer::Allow,
                Answer::Allow => Answer::Deny,
            };
        }
    }

    /// The user answers the question that is shown; returns what it was about.
    pub fn answer(&mut self, answer: Answer) -> Option<Question> {
        self.shown.take()?;
        let question = self.questions.pop_front()?;
        if let Some(program) = question.program() {
            self.answers.insert(program.file(), answer);
        }
        Some(question)
    }

    /// Forgets all answers: whoever wants more pictures is asked about again.
    pub fn forget(&mut self) {
        self.answers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(u64) -> Duration = Duration::from_millis;

    fn program() -> Program {
        Program::of(i32::try_from(std::process::id()).ok()).unwrap()
    }

    fn pictures(program: &Program) -> Question {
        Question::Pictures(program.clone())
    }

    #[test]
    fn a_program_is_asked_about_once_and_the_answer_holds() {
        for (answer, permission) in
            [(Answer::Allow, Permission::Granted), (Answer::Deny, Permission::Refused)]
        {
            let mut consent = Consent::default();
            assert_eq!(consent.ask(&program()), Permission::Asked);
            assert_eq!(consent.ask(&program()), Permission::Asked);
            assert!(consent.answer(answer).is_none(), "nobody has seen the question");
            assert!(consent.show(T(0)) && !consent.show(T(5)));
            assert_eq!(consent.answer(answer), Some(pictures(&program())));
            assert_eq!(consent.ask(&program()), permission);
            assert!(consent.question().is_none() && !consent.is_shown());
            consent.forget();
            assert_eq!(consent.ask(&program()), Permission::Asked);
        }
    }

    #[test]
    fn what_is_pressed_before_the_question_was_seen_makes_the_time_begin_again() {
        let mut consent = Consent::default();
        consent.ask(&program());
        assert!(!consent.press(T(0)));
        consent.show(T(0));
        assert!(!consent.press(T(999)) && !consent.is_armed(T(1000)));
        assert!(!consent.press(T(1998)) && !consent.press(T(2997)));
        assert!(consent.is_armed(T(3997)) && consent.press(T(3997)));
        // Out of sight and back: all of it again.
        consent.hide();
        assert!(consent.show(T(4000)) && !consent.press(T(4500)));
    }

    #[test]
    fn what_is_no_answer_and_another_place_make_the_time_begin_again() {
        let at = |x| Rectangle::new((x, 40).into(), (520, 200).into());
        let mut consent = Consent::default();
        assert!(!consent.place(at(0), T(0)));
        consent.ask(&program());
        consent.show(T(0));
        assert!(!consent.place(at(100), T(10)) && !consent.place(at(100), T(900)));
        assert!(consent.is_armed(T(1000)) && consent.press(T(1000)));
        consent.disturb(T(1000));
        assert!(!consent.is_armed(T(1999)) && consent.is_armed(T(2000)));
        assert!(consent.place(at(1400), T(2500)) && !consent.is_armed(T(3499)) && consent.is_armed(T(3500)));
    }

    #[test]
    fn the_answer_that_enter_gives_is_no_until_the_user_moves_on() {
        let mut consent = Consent::default();
        consent.ask(&program());
        consent.show(T(0));
        assert_eq!(consent.choice(), Answer::Deny);
        consent.turn_choice();
        assert_eq!(consent.choice(), Answer::Allow);
        consent.hide();
        consent.show(T(9));
        assert_eq!(consent.choice(), Answer::Deny);
    }

    /// Enter for the first question, pressed twice, is no answer to the second.
    #[test]
    fn two_programs_that_ask_at_once_are_asked_about_one_after_the_other_and_each_is_looked_at() {
        use std::process::{Command, Stdio};
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let other = Program::of(i32::try_from(child.id()).ok()).unwrap();
        let mut consent = Consent::default();
        assert_eq!(consent.ask(&program()), Permission::Asked);
        consent.show(T(0));
        assert_eq!(consent.ask(&other), Permission::Asked);
        let first = pictures(&program());
        assert_eq!(consent.question(), Some(&first), "the question that is seen is not exchanged");
        consent.turn_choice();
        assert!(consent.press(T(1000)));
        assert_eq!(consent.answer(Answer::Allow), Some(first));
        assert!(consent.answer(Answer::Allow).is_none(), "nobody has seen the other one");
        assert!(consent.show(T(1000)) && !consent.press(T(1001)));
        assert_eq!((consent.question(), consent.choice()), (Some(&pictures(&other)), Answer::Deny));
        assert_eq!(consent.ask(&program()), Permission::Granted);
        // The first of two goes with its program.
        let mut consent = Consent::default();
        consent.ask(&other);
        consent.ask(&program());
        consent.show(T(0));
        consent.retain(|question| *question == pictures(&program()));
        assert!(!consent.is_armed(T(5000)) && consent.show(T(5000)) && !consent.is_armed(T(5999)));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn questions_are_bounded() {
        let mut consent = Consent::default();
        let program = program();
        consent.questions.extend(std::iter::repeat_n(pictures(&program), MAX_QUESTIONS));
        let mut child =
            std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let other = Program::of(i32::try_from(child.id()).ok()).unwrap();
        assert_eq!(consent.ask(&other), Permission::Refused);
        consent.questions.pop_back();
        assert_eq!(consent.ask(&other), Permission::Asked);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_question_goes_with_whoever_waited_for_it() {
        let mut consent = Consent::default();
        consent.ask(&program());
        consent.show(T(0));
        consent.retain(|_| true);
        assert!(consent.is_shown());
        consent.retain(|_| false);
        assert!(!consent.is_shown() && consent.question().is_none());
        assert_eq!(consent.ask(&program()), Permission::Asked);
    }
}
