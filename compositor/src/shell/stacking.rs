//! The stacking order.

use super::window::WindowId;
use crate::trust::origin::Origin;

/// What the stack needs to know of its elements.
pub trait Element {
    /// Its name, unique in the stack.
    fn id(&self) -> WindowId;
    /// Where it comes from.
    fn origin(&self) -> &Origin;
    /// Whether it is on the screen.
    fn shown(&self) -> bool;
    /// Whether it is kept above those that are not.
    fn above(&self) -> bool;
}

/// Elements in the order in which they cover each other.
#[derive(Debug)]
pub struct Stack<E> {
    /// From the bottom up.
    elements: Vec<E>,
}

impl<E> Default for Stack<E> {
    fn default() -> Self {
        Self { elements: Vec::new() }
    }
}

impl<E: Element> Stack<E> {
    /// Adds an element below all others.
    pub fn push_bottom(&mut self, element: E) {
        self.elements.insert(0, element);
    }

    /// Takes an element out.
    pub fn remove(&mut self, id: WindowId) -> Option<E> {
        self.position(id).map(|index| self.elements.remove(index))
    }

    /// An element by its name.
    #[must_use]
    pub fn get(&self, id: WindowId) -> Option<&E> {
        self.elements.iter().find(|element| element.id() == id)
    }

    /// An element by its name, to be changed.
    pub fn get_mut(&mut self, id: WindowId) -> Option<&mut E> {
        self.elements.iter_mut().find(|element| element.id() == id)
    }

    /// Puts an element above all others.
    pub fn raise(&mut self, id: WindowId) {
        if let Some(element) = self.remove(id) {
            self.elements.push(element);
        }
    }

    /// Puts an element directly below another one; without the other, nothing changes.
    pub fn move_below(&mut self, id: WindowId, other: WindowId) {
        if id == other || self.position(other).is_none() {
            return;
        }
        if let Some(element) = self.remove(id) {
            let index = self.position(other).unwrap_or(self.elements.len());
            self.elements.insert(index, element);
        }
    }

    /// Puts an element directly above another one; without the other, nothing changes.
    pub fn move_above(&mut self, id: WindowId, other: WindowId) {
        if id == other || self.position(other).is_none() {
            return;
        }
        if let Some(element) = self.remove(id) {
            let index = self.position(other).map_or(self.elements.len(), |index| index + 1);
            self.elements.insert(index, element);
        }
    }

    /// Puts what is kept above over everything else, in the order that it has.
    pub fn settle(&mut self) {
        self.elements.sort_by_key(Element::above);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// All elements, to be changed.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.elements.iter_mut()
    }

    /// All elements from the bottom up.
    pub fn bottom_up(&self) -> impl DoubleEndedIterator<Item = &E> {
        self.elements.iter()
    }

    /// The place of an element in the stack, 0 for the lowest.
    #[must_use]
    pub fn position(&self, id: WindowId) -> Option<usize> {
        self.elements.iter().position(|element| element.id() == id)
    }

    /// Panics if an element is in the stack twice, or below one that it is kept above. For tests.
    ///
    /// # Panics
    ///
    /// As said.
    pub fn check(&self) {
        for (index, element) in self.elements.iter().enumerate() {
            assert_eq!(self.position(element.id()), Some(index), "an element is in the stack once");
        }
        let layers = || self.elements.iter().map(Element::above);
        assert!(layers().is_sorted(), "what is kept above is above");
    }
}
