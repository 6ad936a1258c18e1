//! The tree of subsurfaces, as a model: who is whose parent, how deep, and never in a circle.
//!
//! Surfaces are numbers that are never used twice. A surface that is not in the maps is a root without
//! children. Invariants: every entry of `parents` has its counterpart in `children` and the other way round;
//! following `parents` always ends; no path is longer than the limit given to [`SubsurfaceTree::attach`].

use std::collections::{BTreeMap, BTreeSet};

/// A surface. The number is the proxy's own, unique for the life of its connection.
pub type SurfaceKey = u64;

/// Why a surface cannot become a subsurface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The surface would be its own ancestor.
    #[error("a surface cannot be its own ancestor")]
    Circle,
    /// The surface is a subsurface already.
    #[error("the surface is a subsurface already")]
    HasParent,
    /// The tree would become deeper than allowed.
    #[error("subsurfaces may be nested {0} deep")]
    TooDeep(u32),
}

/// The subsurface trees of one connection.
#[derive(Debug, Default)]
pub struct SubsurfaceTree {
    parents: BTreeMap<SurfaceKey, SurfaceKey>,
    children: BTreeMap<SurfaceKey, BTreeSet<SurfaceKey>>,
}

impl SubsurfaceTree {
    /// Makes `child` a subsurface of `parent`, if no surface is then more than `max_depth` subsurfaces below
    /// its root.
    ///
    /// # Errors
    /// The tree stays as it was.
    pub fn attach(&mut self, child: SurfaceKey, parent: SurfaceKey, max_depth: u32) -> Result<(), TreeError> {
        if self.parents.contains_key(&child) {
            return Err(TreeError::HasParent);
        }
        let mut depth: u32 = 1;
        let mut ancestor = parent;
        loop {
            if ancestor == child {
                return Err(TreeError::Circle);
            }
            let Some(&next) = self.parents.get(&ancestor) else { break };
            ancestor = next;
            depth = depth.saturating_add(1);
        }
        if depth.saturating_add(self.height(child)) > max_depth {
            return Err(TreeError::TooDeep(max_depth));
        }
        self.parents.insert(child, parent);
        self.children.entry(parent).or_default().insert(child);
        Ok(())
    }

    /// Forgets that `child` is a subsurface; what is below it stays below it.
    pub fn detach(&mut self, child: SurfaceKey) {
        let Some(parent) = self.parents.remove(&child) else { return };
        if let Some(siblings) = self.children.get_mut(&parent) {
            siblings.remove(&child);
            if siblings.is_empty() {
                self.children.remove(&parent);
            }
        }
    }

    /// Forgets a surface that is gone; its children become roots.
    pub fn remove(&mut self, surface: SurfaceKey) {
        self.detach(surface);
        for child in self.children.remove(&surface).unwrap_or_default() {
            self.parents.remove(&child);
        }
    }

    /// How many subsurfaces are below `surface` on the longest way down. Visits each of them once, level by
    /// level, so that a deep tree cannot exhaust the stack.
    fn height(&self, surface: SurfaceKey) -> u32 {
        let mut level = vec![surface];
        let mut height: u32 = 0;
        loop {
            level = level.iter().filter_map(|above| self.children.get(above)).flatten().copied().collect();
            if level.is_empty() {
                return height;
            }
            height = height.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl SubsurfaceTree {
        fn verify(&self, max_depth: u32) {
            for (child, parent) in &self.parents {
                assert!(self.children[parent].contains(child));
            }
            for (parent, children) in &self.children {
                assert!(!children.is_empty());
                assert!(children.iter().all(|child| self.parents[child] == *parent));
            }
            for start in self.parents.keys() {
                let (mut at, mut steps) = (*start, 0);
                while let Some(&up) = self.parents.get(&at) {
                    (at, steps) = (up, steps + 1);
                    assert!(steps <= max_depth, "too deep, or a circle");
                }
            }
        }
    }

    #[test]
    fn a_chain_ends_at_the_limit() {
        let mut tree = SubsurfaceTree::default();
        for level in 0..3 {
            tree.attach(level + 1, level, 3).unwrap();
        }
        assert_eq!(tree.attach(4, 3, 3), Err(TreeError::TooDeep(3)));
    }

    #[test]
    fn a_chain_built_from_below_ends_at_the_limit_too() {
        let mut tree = SubsurfaceTree::default();
        for level in (1..=3).rev() {
            tree.attach(level, level - 1, 3).unwrap();
        }
        assert_eq!(tree.attach(0, 100, 3), Err(TreeError::TooDeep(3)));
    }

    #[test]
    fn circles_are_refused() {
        let mut tree = SubsurfaceTree::default();
        assert_eq!(tree.attach(1, 1, 9), Err(TreeError::Circle));
        tree.attach(2, 1, 9).unwrap();
        tree.attach(3, 2, 9).unwrap();
        assert_eq!(tree.attach(1, 3, 9), Err(TreeError::Circle));
        assert_eq!(tree.attach(3, 1, 9), Err(TreeError::HasParent));
    }

    #[test]
    fn removal_frees_the_children() {
        let mut tree = SubsurfaceTree::default();
        tree.attach(2, 1, 2).unwrap();
        tree.attach(3, 2, 2).unwrap();
        tree.remove(2);
        tree.attach(3, 1, 2).unwrap();
        tree.verify(2);
    }

    proptest! {
        #[test]
        fn no_sequence_of_requests_makes_it_circular_or_deep(
            requests in proptest::collection::vec((0_u8..4, 0_u64..12, 0_u64..12), 0..120),
        ) {
            let mut tree = SubsurfaceTree::default();
            for (request, child, parent) in requests {
                match request {
                    0 => tree.detach(child),
                    1 => tree.remove(child),
                    _ => { let _ = tree.attach(child, parent, 4); }
                }
                tree.verify(4);
            }
        }
    }
}
