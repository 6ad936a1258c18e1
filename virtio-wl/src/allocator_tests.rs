use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const PAGES: u64 = 64;

fn allocator(threshold: u64) -> Allocator {
    Allocator::new(PAGE..PAGE * (PAGES + 1), threshold).expect("whole pages")
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
    two.invariants().expect("unchanged");
}

#[test]
fn only_long_dirty_ranges_are_trimmed_and_only_once() {
    let mut allocator = allocator(4 * PAGE);
    assert_eq!(allocator.trim_candidates(), [], "nothing was ever used");
    let short = allocator.alloc(2 * PAGE).expect("space");
    let wall = allocator.alloc(PAGE).expect("space");
    let long = allocator.alloc(6 * PAGE).expect("space");
    allocator.free(short).expect("in use");
    allocator.free(long).expect("in use");
    let range = 4 * PAGE..10 * PAGE;
    assert_eq!(allocator.trim_candidates(), std::slice::from_ref(&range));
    assert_eq!(allocator.trim_candidates(), [], "already being trimmed");
    allocator.acknowledge(range).expect("being trimmed");
    assert_eq!(allocator.trim_candidates(), [], "already trimmed");
    allocator.free(wall).expect("in use");
    assert_eq!(allocator.trim_candidates(), [], "three dirty pages are below the threshold");
}

#[test]
fn memory_being_trimmed_is_not_given_out_until_it_is_acknowledged() {
    let mut allocator = allocator(PAGE);
    let all = allocator.alloc(PAGE * PAGES).expect("space");
    allocator.free(all).expect("in use");
    let ranges = allocator.trim_candidates();
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
fn a_lost_trim_connection_gives_the_memory_back_dirty() {
    let mut allocator = allocator(PAGE);
    let slot = allocator.alloc(8 * PAGE).expect("space");
    allocator.free(slot).expect("in use");
    let before = allocator.trim_candidates();
    allocator.trim_lost();
    assert_eq!(allocator.trimming_bytes(), 0);
    assert_eq!(allocator.trim_candidates(), before);
}

#[derive(Clone, Debug)]
enum Op {
    Alloc(u64),
    Free(usize),
    Trim,
    Acknowledge(usize),
    TrimLost,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..20 * PAGE).prop_map(Op::Alloc),
        4 => any::<usize>().prop_map(Op::Free),
        1 => Just(Op::Trim),
        2 => any::<usize>().prop_map(Op::Acknowledge),
        1 => Just(Op::TrimLost),
    ]
}

proptest! {
    /// Runs any sequence of steps beside a model that knows only the pages in use.
    #[test]
    fn slots_never_overlap_each_other_or_memory_being_trimmed(
        ops in vec(any_op(), 1..120),
        threshold in 1..8 * PAGE,
    ) {
        let mut allocator = allocator(threshold);
        let mut slots: Vec<Slot> = Vec::new();
        let mut trims: Vec<Range<u64>> = Vec::new();
        for op in ops {
            match op {
                Op::Alloc(len) => if let Some(slot) = allocator.alloc(len) {
                    prop_assert!(slot.len() >= len);
                    let range = slot.offset()..slot.offset() + slot.len();
                    let taken = slots.iter().map(|slot| slot.offset()..slot.offset() + slot.len());
                    for other in taken.chain(trims.iter().cloned()) {
                        prop_assert!(range.end <= other.start || other.end <= range.start);
                    }
                    slots.push(slot);
                },
                Op::Free(which) if !slots.is_empty() => {
                    let slot = slots.swap_remove(which % slots.len());
                    prop_assert_eq!(allocator.free(slot), Ok(()));
                }
                Op::Trim => {
                    for range in allocator.trim_candidates() {
                        prop_assert!(range.end - range.start >= threshold);
                        prop_assert_eq!((range.start % PAGE, range.end % PAGE), (0, 0));
                        for slot in &slots {
                            prop_assert!(range.end <= slot.offset() || slot.offset() + slot.len() <= range.start);
                        }
                        trims.push(range);
                    }
                }
                Op::Acknowledge(which) if !trims.is_empty() => {
                    let range = trims.swap_remove(which % trims.len());
                    prop_assert_eq!(allocator.acknowledge(range), Ok(()));
                }
                Op::TrimLost => {
                    allocator.trim_lost();
                    trims.clear();
                }
                Op::Free(_) | Op::Acknowledge(_) => {}
            }
            prop_assert_eq!(allocator.invariants(), Ok(()));
            let used: u64 = slots.iter().map(Slot::len).sum();
            let trimming: u64 = trims.iter().map(|range| range.end - range.start).sum();
            prop_assert_eq!(allocator.used_bytes(), used);
            prop_assert_eq!(allocator.trimming_bytes(), trimming);
            prop_assert_eq!(allocator.free_bytes(), PAGES * PAGE - used - trimming);
        }
    }
}
