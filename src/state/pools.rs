//! What all states of a subtask share: the segments, the chunks, and what an earlier process left of them.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tracing::{debug, warn};

use super::archive::{RecordKey, StateValue};
use super::backend::{LocalRecovery, StateSettings};
use super::base_outlet::BaseOutlet;
use super::chunk::ChunkPool;
use super::ledger::{Ledger, LedgerIdentity, Owner};
use super::log::RecordLog;
use super::piece::corrupt;
use super::sealed::{Epoch, LocalBarrier};
use super::segment::{SegmentPool, Survivors};
use super::store::{Ownership, Store, StoreSetup, SurvivingStore};
use super::undo::UndoLog;
use crate::error::{Error, ErrorKind, Result};

/// What all states of a subtask share.
pub(super) struct Pools {
    pub(super) segments: Rc<RefCell<SegmentPool>>,
    chunks: Rc<RefCell<ChunkPool>>,
    /// The epoch that is at hand at the start.
    pub(super) first_epoch: Epoch,
    survivors: Option<(Survivors, LocalBarrier)>,
    /// Where a large base goes while it is copied; nothing when all are kept in memory.
    pub(super) outlet: Option<Arc<dyn BaseOutlet>>,
}

impl Pools {
    /// Takes up what an earlier process left, if that is wanted and possible, and else begins with nothing.
    pub(super) fn open(settings: &StateSettings) -> Result<Self> {
        let Some(directory) = &settings.directory else {
            let segments = Rc::new(RefCell::new(SegmentPool::anonymous()));
            return Ok(Self::of(segments, Epoch(1), None));
        };
        let local = settings.local_recovery.filter(|_| settings.incremental);
        if let Some(local) = local
            && let Some(barrier) = local.take_back
        {
            match Self::take_up(settings, directory, local, barrier) {
                Ok(pools) => return Ok(pools),
                Err(_) if SegmentPool::peek_at_ledger(directory).is_empty() => {
                    debug!("no working segments are left");
                }
                Err(error) => {
                    let reason = error.full_message();
                    warn!(reason, "no working segments survive that could be taken up");
                }
            }
        }
        let identity = local.map(|local| identity(settings, local, local.lineage));
        let segments = Rc::new(RefCell::new(SegmentPool::open(directory, identity)?));
        Ok(Self::of(segments, Epoch(1), None))
    }

    /// See [`super::KeyedStateBackend::may_survive`].
    pub(super) fn may_survive(settings: &StateSettings) -> bool {
        let wanted = settings.local_recovery.filter(|_| settings.incremental);
        let Some((local, barrier)) = wanted.and_then(|local| Some((local, local.take_back?)))
        else {
            return false;
        };
        let Some(directory) = &settings.directory else {
            return false;
        };
        let ledger = SegmentPool::peek_at_ledger(directory);
        Ledger::may_go_back(
            &ledger,
            identity(settings, local, barrier.lineage),
            barrier.epoch.0,
        )
    }

    fn take_up(
        settings: &StateSettings,
        directory: &Path,
        local: LocalRecovery,
        barrier: LocalBarrier,
    ) -> Result<Self> {
        let identity = identity(settings, local, barrier.lineage);
        let (mut pool, mut survivors) = SegmentPool::reopen(directory, identity)?;
        let epoch = survivors.epoch;
        let Some(ledger) = pool.ledger() else {
            return Err(corrupt("the working segments have no ledger"));
        };
        if !(ledger.floor()..epoch).contains(&barrier.epoch.0) {
            return Err(corrupt(format!(
                "the working segments can go back to the barriers of epochs {} to {}, not to that of epoch {}",
                ledger.floor(),
                epoch.saturating_sub(1),
                barrier.epoch.0
            )));
        }
        // What is taken back stays noted until it is: another process can do it again.
        ledger.set_epoch(epoch + 1);
        ledger.set_floor(barrier.epoch.0);
        debug!(
            epoch,
            barrier = barrier.epoch.0,
            "surviving segments are taken up"
        );
        let chunks = survivors.take(Owner::Chunks);
        let pools = Self::of(
            Rc::new(RefCell::new(pool)),
            Epoch(epoch + 1),
            Some((survivors, barrier)),
        );
        pools
            .chunks
            .try_borrow_mut()
            .map_err(|_| in_use("chunk"))?
            .add(chunks);
        Ok(pools)
    }

    fn of(
        segments: Rc<RefCell<SegmentPool>>,
        first_epoch: Epoch,
        survivors: Option<(Survivors, LocalBarrier)>,
    ) -> Self {
        let chunks = ChunkPool::new(Rc::clone(&segments), Owner::Chunks);
        Self {
            segments,
            chunks: Rc::new(RefCell::new(chunks)),
            first_epoch,
            survivors,
            outlet: None,
        }
    }

    /// Changes the ledger, if one is kept.
    pub(super) fn change_ledger(&self, change: impl FnOnce(&mut Ledger)) -> Result<()> {
        let mut segments = self
            .segments
            .try_borrow_mut()
            .map_err(|_| in_use("segment"))?;
        if let Some(ledger) = segments.ledger() {
            change(ledger);
        }
        Ok(())
    }

    /// The store of the state with this hash of name and types, at the barrier that is gone back to, if it survives.
    pub(super) fn resume_store<R: RecordKey, V: StateValue>(
        &mut self,
        settings: &StateSettings,
        epoch: Epoch,
        hash: u64,
    ) -> Result<Option<Store<R, V>>> {
        let Some((survivors, barrier)) = &mut self.survivors else {
            return Ok(None);
        };
        let mut segments = self
            .segments
            .try_borrow_mut()
            .map_err(|_| in_use("segment"))?;
        let Some(ledger) = segments.ledger() else {
            return Ok(None);
        };
        let Some(number) = ledger.state(hash) else {
            return Ok(None);
        };
        let left = SurvivingStore {
            table: survivors.take(Owner::Table(number)),
            table_sum: ledger.sum(Owner::Table(number)),
            heap: survivors.take(Owner::Heap(number)),
            undo: survivors.take(Owner::Undo(number)),
            undo_sum: ledger.sum(Owner::Undo(number)),
        };
        drop(segments);
        let barrier = barrier.epoch;
        let mut store = Store::new(self.setup(settings, epoch, number));
        store.resume(left, barrier)?;
        Ok(Some(store))
    }

    /// An empty store for the state with this hash of name and types.
    pub(super) fn new_store<R: RecordKey, V: StateValue>(
        &mut self,
        settings: &StateSettings,
        epoch: Epoch,
        hash: u64,
    ) -> Result<Store<R, V>> {
        let mut number = 0;
        self.change_ledger(|ledger| {
            while let Some(former) = ledger.state(hash) {
                ledger.forget_state(former);
            }
            number = ledger.add_state(hash);
        })?;
        Ok(Store::new(self.setup(settings, epoch, number)))
    }

    fn setup(&self, settings: &StateSettings, epoch: Epoch, number: u32) -> StoreSetup {
        let keeps_ledger = settings.directory.is_some()
            && settings.local_recovery.is_some()
            && settings.incremental;
        StoreSetup {
            ownership: Ownership {
                max_parallelism: settings.max_parallelism,
                key_groups: settings.key_groups,
            },
            segments: Rc::clone(&self.segments),
            log: RecordLog::new(Rc::clone(&self.chunks)),
            number,
            incremental: settings.incremental,
            outlet: self.outlet.clone(),
            undo: keeps_ledger.then(|| UndoLog::new(Rc::clone(&self.segments), number, epoch.0)),
        }
    }
}

fn identity(settings: &StateSettings, local: LocalRecovery, lineage: u64) -> LedgerIdentity {
    LedgerIdentity {
        lineage,
        boot: local.boot,
        max_parallelism: settings.max_parallelism,
        key_groups: settings.key_groups,
    }
}

fn in_use(what: &str) -> Error {
    Error::new(
        ErrorKind::Bug,
        format!("the {what} pool is used twice at once"),
    )
}
