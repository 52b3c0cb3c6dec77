//! What a store is made of, and what comes out of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::Ownership;
use crate::state::base_outlet::BaseOutlet;
use crate::state::log::RecordLog;
use crate::state::sealed::{SealedBase, SealedBytes};
use crate::state::segment::{Region, SegmentPool};
use crate::state::undo::UndoLog;

/// What a barrier gives of one state: its delta, and a base if one was finished.
pub(in crate::state) type SealedParts = (SealedBytes, Option<SealedBase>);

/// What a store is made of.
pub(in crate::state) struct StoreSetup {
    /// The key groups of the subtask.
    pub(in crate::state) ownership: Ownership,
    /// Where its memory comes from.
    pub(in crate::state) segments: Rc<RefCell<SegmentPool>>,
    /// An empty log, on the pool that its deltas and bases come from.
    pub(in crate::state) log: RecordLog,
    /// The number of the state in the ledger.
    pub(in crate::state) number: u32,
    /// Whether a barrier gives what was touched since the one before; otherwise each gives all there is.
    pub(in crate::state) incremental: bool,
    /// Nothing when no later process is to take the state up.
    pub(in crate::state) undo: Option<UndoLog>,
    /// Where a large base goes while it is copied; nothing when all are kept in memory.
    pub(in crate::state) outlet: Option<Arc<dyn BaseOutlet>>,
}

/// What an earlier process left of a store.
pub(in crate::state) struct SurvivingStore {
    /// The extents of its table.
    pub(in crate::state) table: Vec<Region>,
    /// What the ledger says of its sub-tables.
    pub(in crate::state) table_sum: u64,
    /// The extents of its heap.
    pub(in crate::state) heap: Vec<Region>,
    /// The chunks of its undo logs.
    pub(in crate::state) undo: Vec<Region>,
    /// What the ledger says of these.
    pub(in crate::state) undo_sum: u64,
}
