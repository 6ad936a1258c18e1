//! Which processor each thread runs on.

use std::fmt;

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// Where the near side (client, writers of pipes, pump) and the far side (peer) may run.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    name: &'static str,
    near: CpuSet,
    far: CpuSet,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl Placement {
    /// The placements that the processors of this process allow.
    pub(crate) fn all() -> Vec<Self> {
        let allowed = sched_getaffinity(None::<Pid>).expect("the processors of this process");
        let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).map(only);
        let near = processors.next().expect("a processor");
        let mut placements = vec![Self { name: "one processor", near, far: near }];
        if let Some(far) = processors.next() {
            placements.push(Self { name: "two processors", near, far });
            placements.push(Self { name: "any processor", near: allowed, far: allowed });
        }
        placements
    }

    /// Whether all threads share one processor.
    pub(crate) fn is_shared(&self) -> bool {
        self.near.count() == 1 && self.near == self.far
    }

    /// Puts this thread and those that it starts onto the near side.
    pub(crate) fn near(&self) {
        run_on(&self.near);
    }

    /// Puts this thread and those that it starts onto the far side.
    pub(crate) fn far(&self) {
        run_on(&self.far);
    }
}

/// One processor and no other.
fn only(processor: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(processor);
    set
}

fn run_on(processors: &CpuSet) {
    sched_setaffinity(None::<Pid>, processors).expect("processors of this process");
}
