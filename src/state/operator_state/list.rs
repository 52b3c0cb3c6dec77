//! List state and union list state.

use std::cell::Ref;
use std::rc::Rc;

use super::cell::{Content, OperatorStateCell};
use super::descriptor::OperatorStateKind;
use super::section::SectionWriter;
use crate::error::Result;
use crate::state::archive::StateValue;

/// A list that belongs to an operator subtask. Clones are handles on the same list.
///
/// ```
/// use floodmark::state::OperatorStateBackend;
///
/// let mut backend = OperatorStateBackend::new(0, 1, Vec::new());
/// let files = backend.list_state::<String>("files")?;
/// files.add("a.csv".to_owned())?;
/// files.add("b.csv".to_owned())?;
/// assert_eq!(*files.get(), ["a.csv", "b.csv"]);
/// # Ok::<(), floodmark::error::Error>(())
/// ```
pub struct OperatorListState<T> {
    cell: Rc<OperatorStateCell<Vec<T>>>,
}

impl<T: StateValue> OperatorListState<T> {
    pub(super) fn new(cell: Rc<OperatorStateCell<Vec<T>>>) -> Self {
        Self { cell }
    }

    /// The items, in their order. They cannot be changed while what is returned is held.
    pub fn get(&self) -> Ref<'_, [T]> {
        Ref::map(self.cell.read(), Vec::as_slice)
    }

    /// Appends an item.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Operator`] while what [`OperatorListState::get`] returned is held.
    pub fn add(&self, item: T) -> Result<()> {
        self.cell.change(|items| items.push(item))
    }

    /// Puts other items in the place of all that are there.
    ///
    /// # Errors
    /// As for [`OperatorListState::add`].
    pub fn update(&self, items: Vec<T>) -> Result<()> {
        self.cell.change(|list| *list = items)
    }

    /// Removes all items.
    ///
    /// # Errors
    /// As for [`OperatorListState::add`].
    pub fn clear(&self) -> Result<()> {
        self.cell.change(Vec::clear)
    }
}

impl<T> Clone for OperatorListState<T> {
    fn clone(&self) -> Self {
        Self {
            cell: Rc::clone(&self.cell),
        }
    }
}

impl<T: StateValue> Content for Vec<T> {
    fn to_section(&self, kind: OperatorStateKind) -> Result<SectionWriter> {
        let mut section = SectionWriter::new(kind, self.len());
        for item in self {
            section.push(item)?;
        }
        Ok(section)
    }
}
