//! Finds the first free block that is long enough.
//!
//! A complete binary tree over all pages, in one array: the children of node *i* are nodes 2*i* and 2*i* + 1, the leaves are the
//! pages. A leaf holds the length of the free block that begins at its page, 0 if none does; an inner node holds the
//! maximum of its children. So both changing a leaf and finding the first leaf that is large enough take one step per
//! level: 19 for the longest region.
//!
//! The array has 8 to 16 bytes for each page. It begins as zeros that the kernel provides when they are touched, so that it
//! takes up memory only for the parts of a region that were used.

/// The lengths of free blocks by their first page.
#[derive(Debug)]
pub(super) struct FirstFit {
    /// Node 0 is not used.
    nodes: Vec<u32>,
    /// How many leaves there are: a power of two. The first of them is the node of this number.
    leaves: usize,
}

impl FirstFit {
    /// No free block among `pages` pages.
    pub(super) fn new(pages: u32) -> Self {
        let leaves = usize::try_from(pages).unwrap_or(usize::MAX / 4).next_power_of_two();
        Self { nodes: vec![0; leaves * 2], leaves }
    }

    /// The block that begins at `page` is `len` pages long; 0 if no free block begins there.
    pub(super) fn set(&mut self, page: u32, len: u32) {
        let Some(mut node) = usize::try_from(page).ok().and_then(|page| self.leaves.checked_add(page)) else {
            return;
        };
        let mut value = len;
        while let Some(slot) = self.nodes.get_mut(node).filter(|_| node > 0) {
            // Nothing above changes either.
            if *slot == value {
                return;
            }
            *slot = value;
            value = value.max(self.len_at(node ^ 1));
            node /= 2;
        }
    }

    /// First page of the first block with at least `len` pages. `len` must not be 0.
    pub(super) fn find(&self, len: u32) -> Option<u32> {
        let mut node = 1;
        if self.len_at(node) < len {
            return None;
        }
        while node < self.leaves {
            node *= 2;
            node += usize::from(self.len_at(node) < len);
        }
        u32::try_from(node - self.leaves).ok()
    }

    fn len_at(&self, node: usize) -> u32 {
        self.nodes.get(node).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_single_page_is_a_tree_too() {
        let mut blocks = FirstFit::new(1);
        assert_eq!(blocks.find(1), None);
        blocks.set(0, 1);
        assert_eq!((blocks.find(1), blocks.find(2)), (Some(0), None));
        blocks.set(0, 0);
        assert_eq!(blocks.find(1), None);
    }

    proptest! {
        #[test]
        fn what_is_found_is_the_first_that_is_long_enough(
            pages in 1_u32..70,
            changes in proptest::collection::vec((any::<u32>(), 0_u32..9, 1_u32..10), 0..40),
        ) {
            let mut blocks = FirstFit::new(pages);
            let mut model = vec![0; usize::try_from(pages).unwrap()];
            for (page, len, wanted) in changes {
                let page = page % pages;
                blocks.set(page, len);
                model[usize::try_from(page).unwrap()] = len;
                let expected = model.iter().position(|len| *len >= wanted);
                prop_assert_eq!(blocks.find(wanted).map(|page| usize::try_from(page).unwrap()), expected);
            }
        }
    }
}
