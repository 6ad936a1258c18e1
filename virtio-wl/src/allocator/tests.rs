//! The allocator beside a model that knows nothing but the state of every page.

use std::iter;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const PAGES: u64 = 64;

fn allocator(threshold: u64) -> Allocator {
    Allocator::new(PAGE..PAGE * (PAGES + 1), threshold).expect("whole pages")
}

fn trims(allocator: &mut Allocator) -> Vec<Range<u64>> {
    iter::from_fn(|| allocator.next_trim(u64::MAX)).collect()
}

/// Says what is wrong with the books, if anything is.
fn check(allocator: &Allocator) -> Result<(), String> {
    let (mut next, mut used, mut trimming, mut previous_free) = (0, 0, 0, false);
    for (start, block) in &allocator.blocks {
        if *start != next || block.len == 0 {
            return Err(format!("{block:?} at {start} where one was expected at {next}"));
        }
        next = start + block.len;
        let free = matches!(block.state, State::Free(_));
        if free && previous_free {
            return Err(format!("two free blocks touch at {start}"));
        }
        previous_free = free;
        match block.state {
            State::Used => used += block.len,
            State::Trimming => trimming += block.len,
            State::Free(dirty) => {
                let ripe = dirty.pages >= allocator.threshold;
                let outside = dirty.pages > 0 && (dirty.start < *start || dirty.end > next);
                if outside || dirty.pages > dirty.end - dirty.start || ripe != allocator.ripe.contains(start)
                {
                    return Err(format!("{block:?} at {start}, ripe: {:?}", allocator.ripe));
                }
            }
        }
        if allocator.trimming.contains(start) != (block.state == State::Trimming) {
            return Err(format!("{block:?} at {start}, trimming: {:?}", allocator.trimming));
        }
    }
    let counted = (allocator.pages, allocator.used_pages, allocator.trimming_pages);
    if (next, used, trimming) != counted {
        return Err(format!("{:?} where {counted:?} was counted", (next, used, trimming)));
    }
    Ok(())
}

#[test]
fn only_whole_pages_that_a_region_can_have_are_managed() {
    for (start, end) in [(0, 0), (2 * PAGE, PAGE), (PAGE, PAGE + 1), (0, MAX_MEMORY + PAGE), (0, u64::MAX)] {
        assert_eq!(Allocator::new(start..end, PAGE).err(), Some(AllocatorError::Range { start, end }));
    }
    let mut longest = Allocator::new(PAGE..MAX_MEMORY, PAGE).expect("the longest region");
    let slot = longest.alloc(MAX_MEMORY - PAGE).expect("all of it");
    assert_eq!((slot.offset(), longest.free_bytes()), (PAGE, 0));
}

#[test]
fn slots_are_whole_pages_from_the_beginning() {
    let mut allocator = allocator(PAGE);
    let one = allocator.alloc(1).expect("space");
    let two = allocator.alloc(PAGE + 1).expect("space");
    assert_eq!((one.offset(), one.len()), (PAGE, PAGE));
    assert_eq!((two.offset(), two.len()), (2 * PAGE, 2 * PAGE));
    allocator.free(one).expect("in use");
    assert_eq!(allocator.alloc(PAGE).expect("space").offset(), PAGE);
}

#[test]
fn more_than_is_free_gives_nothing_and_changes_nothing() {
    let mut allocator = allocator(PAGE);
    for len in [0, PAGE * PAGES + 1, u64::MAX] {
        assert_eq!(allocator.alloc(len), None);
    }
    let all = allocator.alloc(PAGE * PAGES).expect("exactly everything");
    assert_eq!(allocator.alloc(1), None);
    allocator.free(all).expect("in use");
    assert_eq!(allocator.free_bytes(), PAGE * PAGES);
}

#[test]
fn a_slot_of_another_allocator_is_refused() {
    let mut one = allocator(PAGE);
    let mut two = allocator(PAGE);
    let slot = one.alloc(PAGE).expect("space");
    let (offset, len) = (slot.offset(), slot.len());
    assert_eq!(two.free(slot), Err(AllocatorError::Free { offset, len }));
    let _longer = two.alloc(3 * PAGE).expect("space");
    let slot = one.alloc(PAGE).expect("space");
    let (offset, len) = (slot.offset(), slot.len());
    assert_eq!(two.free(slot), Err(AllocatorError::Free { offset, len }));
    check(&two).expect("unchanged");
}

#[test]
fn little_content_is_not_worth_a_request_and_what_was_trimmed_is_not_trimmed_again() {
    let mut allocator = allocator(4 * PAGE);
    assert_eq!(trims(&mut allocator), [], "nothing was ever used");
    let short = allocator.alloc(2 * PAGE).expect("space");
    let wall = allocator.alloc(PAGE).expect("space");
    let long = allocator.alloc(6 * PAGE).expect("space");
    allocator.free(short).expect("in use");
    allocator.free(long).expect("in use");
    let range = 4 * PAGE..10 * PAGE;
    assert_eq!(trims(&mut allocator), std::slice::from_ref(&range));
    assert_eq!(trims(&mut allocator), [], "already being trimmed");
    allocator.acknowledge(range).expect("being trimmed");
    assert_eq!(trims(&mut allocator), [], "already trimmed");
    allocator.free(wall).expect("in use");
    assert_eq!(trims(&mut allocator), [], "three dirty pages are below the threshold");
}

#[test]
fn memory_being_trimmed_is_not_given_out_until_it_is_acknowledged() {
    let mut allocator = allocator(PAGE);
    let all = allocator.alloc(PAGE * PAGES).expect("space");
    allocator.free(all).expect("in use");
    let ranges = trims(&mut allocator);
    assert_eq!(allocator.alloc(PAGE), None);
    assert_eq!(
        allocator.acknowledge(PAGE..2 * PAGE),
        Err(AllocatorError::Acknowledge { start: PAGE, end: 2 * PAGE }),
        "only a whole range can be acknowledged"
    );
    for range in ranges {
        allocator.acknowledge(range).expect("being trimmed");
    }
    let _slot = allocator.alloc(PAGE).expect("free again");
}

#[test]
fn a_long_range_is_trimmed_in_pieces_so_that_the_rest_can_be_used() {
    let mut allocator = allocator(PAGE);
    let all = allocator.alloc(PAGE * PAGES).expect("space");
    allocator.free(all).expect("in use");
    assert_eq!(allocator.next_trim(8 * PAGE), Some(PAGE..9 * PAGE));
    let slot = allocator.alloc(PAGE).expect("behind what is being trimmed");
    assert_eq!(slot.offset(), 9 * PAGE);
    assert_eq!(allocator.next_trim(8 * PAGE), Some(10 * PAGE..18 * PAGE));
}

#[test]
fn a_lost_trim_connection_gives_the_memory_back_dirty() {
    let mut allocator = allocator(PAGE);
    let slot = allocator.alloc(8 * PAGE).expect("space");
    allocator.free(slot).expect("in use");
    let before = trims(&mut allocator);
    allocator.trim_lost();
    assert_eq!(allocator.trimming_bytes(), 0);
    assert_eq!(trims(&mut allocator), before);
}

#[derive(Clone, Debug)]
enum Op {
    Alloc(u64),
    Free(usize),
    Trim(u64),
    Acknowledge(usize),
    TrimLost,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..20 * PAGE).prop_map(Op::Alloc),
        8 => any::<usize>().prop_map(Op::Free),
        2 => (1..30 * PAGE).prop_map(Op::Trim),
        3 => any::<usize>().prop_map(Op::Acknowledge),
        1 => Just(Op::TrimLost),
    ]
}

/// What a page is, as far as the model knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Clean,
    Dirty,
    Used,
    Trimming,
}

/// Every page by itself, searched from the beginning.
struct Model(Vec<Page>);

impl Model {
    fn is_free(page: Page) -> bool {
        matches!(page, Page::Clean | Page::Dirty)
    }

    /// Where the first run of so many free pages begins.
    fn first_fit(&self, len: usize) -> Option<usize> {
        self.0.windows(len).position(|pages| pages.iter().copied().all(Self::is_free))
    }

    /// The pages of a range, which must be whole ones of the region.
    fn pages(&mut self, range: &Range<u64>) -> &mut [Page] {
        assert_eq!((range.start % PAGE, range.end % PAGE), (0, 0));
        let page = |bytes: u64| usize::try_from(bytes / PAGE - 1).expect("few");
        &mut self.0[page(range.start)..page(range.end)]
    }

    fn free_runs(&self) -> impl Iterator<Item = &[Page]> {
        self.0.split(|page| !Self::is_free(*page)).filter(|run| !run.is_empty())
    }

    fn count(&self, page: Page) -> u64 {
        self.0.iter().filter(|other| **other == page).map(|_| PAGE).sum()
    }
}

struct Scene {
    allocator: Allocator,
    model: Model,
    slots: Vec<Slot>,
    trims: Vec<Range<u64>>,
    threshold: u64,
}

impl Scene {
    fn new(threshold: u64) -> Self {
        let pages = usize::try_from(PAGES).expect("few");
        Self {
            allocator: allocator(threshold),
            model: Model(vec![Page::Clean; pages]),
            slots: Vec::new(),
            trims: Vec::new(),
            threshold,
        }
    }

    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Alloc(len) => self.alloc(*len)?,
            Op::Free(which) if !self.slots.is_empty() => {
                let slot = self.slots.swap_remove(which % self.slots.len());
                self.model.pages(&(slot.offset()..slot.offset() + slot.len())).fill(Page::Dirty);
                prop_assert_eq!(self.allocator.free(slot), Ok(()));
            }
            Op::Trim(limit) => self.trim(*limit)?,
            Op::Acknowledge(which) if !self.trims.is_empty() => {
                let range = self.trims.swap_remove(which % self.trims.len());
                self.model.pages(&range).fill(Page::Clean);
                prop_assert_eq!(self.allocator.acknowledge(range), Ok(()));
            }
            Op::TrimLost => {
                self.allocator.trim_lost();
                for range in self.trims.drain(..) {
                    self.model.pages(&range).fill(Page::Dirty);
                }
            }
            Op::Free(_) | Op::Acknowledge(_) => {}
        }
        prop_assert_eq!(check(&self.allocator), Ok(()));
        prop_assert_eq!(self.allocator.used_bytes(), self.model.count(Page::Used));
        prop_assert_eq!(self.allocator.trimming_bytes(), self.model.count(Page::Trimming));
        let free = self.model.count(Page::Clean) + self.model.count(Page::Dirty);
        prop_assert_eq!(self.allocator.free_bytes(), free);
        Ok(())
    }

    fn alloc(&mut self, len: u64) -> Result<(), TestCaseError> {
        let pages = usize::try_from(len.div_ceil(PAGE)).expect("few");
        let expected = if pages == 0 { None } else { self.model.first_fit(pages) };
        let slot = self.allocator.alloc(len);
        let place = slot.as_ref().map(|slot| usize::try_from(slot.offset() / PAGE - 1).expect("few"));
        prop_assert_eq!(place, expected);
        let Some(slot) = slot else {
            // The bound on fragmentation that the module promises.
            let walls = u64::try_from(self.slots.len() + self.trims.len()).expect("few");
            prop_assert!(len == 0 || self.allocator.free_bytes() < (walls + 1) * len.next_multiple_of(PAGE));
            return Ok(());
        };
        prop_assert_eq!(slot.len(), len.next_multiple_of(PAGE));
        self.model.pages(&(slot.offset()..slot.offset() + slot.len())).fill(Page::Used);
        self.slots.push(slot);
        Ok(())
    }

    /// Takes one range, or finds that there was none worth taking.
    fn trim(&mut self, limit: u64) -> Result<(), TestCaseError> {
        let Some(range) = self.allocator.next_trim(limit) else {
            for run in self.model.free_runs() {
                let dirty = run.iter().filter(|page| **page == Page::Dirty).count();
                prop_assert!(
                    u64::try_from(dirty).expect("few") * PAGE < self.threshold.next_multiple_of(PAGE)
                );
            }
            return Ok(());
        };
        prop_assert!(!range.is_empty() && range.end - range.start <= limit.next_multiple_of(PAGE));
        let pages = self.model.pages(&range);
        prop_assert!(pages.iter().copied().all(Model::is_free), "{:?}", pages);
        pages.fill(Page::Trimming);
        self.trims.push(range);
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_allocator_does_what_a_search_of_all_pages_from_the_beginning_does(
        ops in vec(any_op(), 1..150),
        threshold in 1..8 * PAGE,
    ) {
        let mut scene = Scene::new(threshold);
        for op in ops {
            scene.step(&op)?;
        }
        // Whatever happened, everything can be given back and trimmed.
        while !scene.slots.is_empty() {
            scene.step(&Op::Free(0))?;
        }
        while !scene.trims.is_empty() {
            scene.step(&Op::Acknowledge(0))?;
        }
        while let Some(range) = scene.allocator.next_trim(u64::MAX) {
            scene.allocator.acknowledge(range).expect("being trimmed");
        }
        prop_assert_eq!(scene.allocator.blocks.len(), 1);
        prop_assert_eq!(scene.allocator.free_bytes(), PAGES * PAGE);
    }
}
