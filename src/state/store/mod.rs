//! Stores: table, delta and base of one state put together, in one of two layouts.

mod fixed;
mod layout;
mod ownership;
mod resume;
mod variable;

use std::cell::RefCell;
use std::rc::Rc;

use super::log::RecordLog;
use super::sealed::{SealedBase, SealedBytes};
use super::segment::{Region, SegmentPool};
use super::undo::UndoLog;

pub(super) use fixed::FixedStore;
pub(super) use layout::{Store, has_fixed_layout};
pub(super) use ownership::Ownership;
pub(super) use variable::VariableStore;

/// What a barrier gives of one state: its delta, and a base if one was finished.
pub(super) type SealedParts = (SealedBytes, Option<SealedBase>);

/// What a store is made of.
pub(super) struct StoreSetup {
    /// The key groups of the subtask.
    pub(super) ownership: Ownership,
    /// Where its memory comes from.
    pub(super) segments: Rc<RefCell<SegmentPool>>,
    /// An empty log, on the pool that its deltas and bases come from.
    pub(super) log: RecordLog,
    /// The number of the state in the ledger.
    pub(super) number: u32,
    /// Whether a barrier gives what was touched since the one before; otherwise each gives all there is.
    pub(super) incremental: bool,
    /// Nothing when no later process is to take the state up.
    pub(super) undo: Option<UndoLog>,
}

/// What an earlier process left of a store.
pub(super) struct SurvivingStore {
    /// The extents of its table.
    pub(super) table: Vec<Region>,
    /// The extents of its heap.
    pub(super) heap: Vec<Region>,
    /// The chunks of its undo logs.
    pub(super) undo: Vec<Region>,
}
