//! What can be done with a snapshot while no job runs: look whether it is whole, list and read its states, compare it with
//! another one, and make savepoints of rows.
//!
//! All of it goes by what the manifest says of each state, and none of it needs the types of the job; the rows are those of
//! [`crate::state::rows`]. Objects are read in chunks and never held whole. A state that does not fit the memory that it is
//! given is read in several passes, each for a share of the keys.

mod diff;
mod edit;
mod operator_state;
mod piece_stream;
mod state_reader;
mod states;
mod verify;

pub use diff::{
    KeyedDifference, OperatorDifference, RowChange, RowCounts, Sides, SnapshotDifference,
};
pub use edit::{
    EditedSavepoint, ItemEdit, KeyedEdit, NewJob, OperatorStateEdit, RowEdit, SavepointDraft,
    StateEdit,
};
pub use operator_state::{OperatorStateRow, operator_state_rows};
pub use state_reader::{KeyedStateReader, ReadLimits, StoredRow, StoredRowValue};
pub use states::{StateSummary, state_summaries};
pub use verify::{Finding, Verification, verify};
