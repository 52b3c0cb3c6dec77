//! Makes savepoints of rows: a snapshot with other rows in one of its states, or a new one that holds nothing else.
//!
//! A [`SavepointDraft`] says what the savepoint is made of: all that a snapshot refers to, which is copied as it is; the
//! same operators and states without a row; or the operators of a job that never ran. A [`StateEdit`] says what becomes
//! of which rows. Those of a keyed state become one more delta behind everything else, in the subtask that owns their keys.
//! What belongs to the index of a map and the bounds of a list is brought in step: for a key that is touched it is made
//! anew. An operator state is written anew as a whole.

mod draft;
mod keyed_edit;
mod keyed_records;
mod operator_edit;
mod state_edit;
mod writing;

#[cfg(test)]
mod tests;

pub use draft::{NewJob, SavepointDraft};
pub use keyed_edit::{KeyedEdit, RowEdit};
pub use operator_edit::{ItemEdit, OperatorStateEdit};
pub use state_edit::StateEdit;
pub use writing::EditedSavepoint;
