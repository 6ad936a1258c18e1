//! Which processor each thread runs on.

use std::fmt;

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// Where the near side (client, writers of pipes, pump) and the far side (peer) run.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    near: usize,
    far: usize,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.is_apart() { "two processors" } else { "one processor" })
    }
}

impl Placement {
    /// The placements that the processors of this process allow.
    pub(crate) fn all() -> Vec<Self> {
        let allowed = sched_getaffinity(None::<Pid>).expect("the processors of this process");
        let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
        let near = processors.next().expect("a processor");
        let far = processors.next().map(|far| Self { near, far });
        [Self { near, far: near }].into_iter().chain(far).collect()
    }

    /// Whether the sides have different processors.
    pub(crate) fn is_apart(&self) -> bool {
        self.near != self.far
    }

    /// Puts this thread and those that it starts onto the near side.
    pub(crate) fn near(&self) {
        run_on(self.near);
    }

    /// Puts this thread and those that it starts onto the far side.
    pub(crate) fn far(&self) {
        run_on(self.far);
    }
}

fn run_on(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None::<Pid>, &set).expect("a processor of this process");
}
