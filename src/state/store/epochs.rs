//! What changed in a store, epoch by epoch, on its way into deltas and bases.

use std::sync::Arc;

use super::SealedParts;
use super::noting::{Choice, Noting, Seen};
use crate::error::Result;
use crate::state::base::{BaseSchedule, RunningBase};
use crate::state::base_outlet::BaseOutlet;
use crate::state::changes::{Changes, DeltaLog};
use crate::state::log::RecordLog;
use crate::state::piece::{Footer, PieceKind};
use crate::state::sealed::Epoch;
use crate::state::table::Table;
use crate::state::undo::UndoLog;

/// The side of a store that checkpoints see, whichever its layout.
pub(super) struct Epochs {
    changes: Changes,
    pub(super) base: BaseSchedule,
    /// Nothing when no later process is to take the state up.
    pub(super) undo: Option<UndoLog>,
    /// Whether a barrier gives what was touched since the one before; otherwise each gives all there is.
    incremental: bool,
    choice: Choice,
    /// How often a record was touched in the epoch at hand.
    touches: u64,
    /// How many of these touches came before marking ended; nothing while touches are marked.
    touches_marked: Option<u64>,
    deletions: u64,
    /// Whether values are logged now.
    logs: bool,
}

impl Epochs {
    /// Nothing has changed yet. `logs_values` says whether the store can log what it writes.
    pub(super) fn new(
        log: RecordLog,
        undo: Option<UndoLog>,
        incremental: bool,
        logs_values: bool,
        outlet: Option<Arc<dyn BaseOutlet>>,
    ) -> Self {
        Self {
            changes: Changes::new(log),
            base: BaseSchedule::new(outlet),
            undo,
            incremental,
            choice: Choice::new(logs_values),
            touches: 0,
            touches_marked: None,
            deletions: 0,
            logs: false,
        }
    }

    /// To be called at each touch, insertions too.
    #[inline(always)]
    pub(super) fn count_touch(&mut self) {
        self.touches += 1;
    }

    /// Whether what is written is to be appended to the log.
    #[inline(always)]
    pub(super) fn logs(&self) -> bool {
        self.logs
    }

    /// Where a value that was just written is logged: a record of `bytes`.
    #[inline(always)]
    pub(super) fn append_value(&mut self, bytes: usize) -> Result<&mut [u8]> {
        self.changes.append(bytes)
    }

    /// Where a deletion is to be written down, a record of `bytes`; nowhere when the barrier gives all there is.
    pub(super) fn append_deletion(&mut self, bytes: usize) -> Result<Option<&mut [u8]>> {
        self.deletions += 1;
        if self.logs {
            // In a delta deletions come first, so none can follow what is logged.
            self.give_up_log();
        }
        if !self.incremental || self.touches_marked.is_some() {
            return Ok(None);
        }
        self.changes.append_deletion(bytes).map(Some)
    }

    /// The delta of the barrier before, while it is being gathered.
    #[inline]
    pub(super) fn pending(&mut self) -> Option<&mut DeltaLog> {
        self.changes.pending()
    }

    /// Begins the base that every barrier gives when checkpoints are not incremental; says whether that is so.
    pub(super) fn begin_whole_base(&mut self, epoch: Epoch) -> bool {
        if !self.incremental {
            let log = self.changes.another_log();
            self.base.begin(epoch, log);
        }
        !self.incremental
    }

    /// Between batches: the base to copy a slice of, if one is due.
    pub(super) fn running_base(
        &mut self,
        epoch: Epoch,
        live_bytes: u64,
    ) -> Option<&mut RunningBase> {
        self.bound_log(live_bytes);
        let changes = &self.changes;
        self.base
            .running(epoch, live_bytes, || changes.another_log())
    }

    /// The barrier of `epoch`. A store whose barriers copy all has done so.
    pub(super) fn end_epoch<K, V>(
        &mut self,
        table: &mut Table<K, V>,
        live_bytes: u64,
        epoch: Epoch,
    ) -> Result<()> {
        let mostly_marked = table.is_mostly_touched();
        let unnoted = self
            .touches_marked
            .is_some_and(|marked| self.choice.noting() == Noting::Nothing && self.touches > marked);
        let gives_all = unnoted || mostly_marked && BaseSchedule::is_worth_an_object(live_bytes);
        if self.incremental && self.undo.is_none() {
            self.choice.on_barrier(Seen {
                touches: self.touches,
                deletions: self.deletions,
                marked: table.touched_buckets(),
                mostly_marked,
                live_bytes,
                records: table.records(),
            });
        }
        (self.touches, self.deletions, self.logs) = (0, 0, false);
        table.end_epoch(gives_all);
        if let Some(undo) = &mut self.undo {
            undo.end_epoch();
        }
        if gives_all {
            self.base.superseded();
            self.changes.end_epoch_with_all(epoch)?;
        } else {
            self.changes.end_epoch(self.base.on_barrier())?;
        }
        if self.incremental {
            table.start_marking();
            self.touches_marked = None;
            self.end_marking_when_gathered(table);
        }
        Ok(())
    }

    /// Gives what the last barrier was to give, if all of it is gathered.
    pub(super) fn seal<K, V>(
        &mut self,
        table: &mut Table<K, V>,
        footer: impl FnOnce(PieceKind, u64, u64, u64) -> Footer,
    ) -> Result<Option<SealedParts>> {
        if !table.is_gathered() {
            return Ok(None);
        }
        let sealed = self.changes.seal(footer)?;
        if let Some((delta, _)) = &sealed {
            self.base.on_delta(delta.len());
        }
        self.end_marking_when_gathered(table);
        Ok(sealed)
    }

    /// Gives the log up when the barrier would do better to give all there is.
    fn bound_log(&mut self, live_bytes: u64) {
        if self.logs && self.changes.current_bytes() > live_bytes / 2 {
            self.give_up_log();
        }
    }

    /// A delta of so many bytes was restored.
    pub(super) fn on_restored(&mut self, bytes: u64) {
        if self.incremental {
            self.base.on_delta(bytes);
        }
    }

    /// Nothing before the barrier that ended `epoch` will be taken back.
    pub(super) fn release(&mut self, epoch: Epoch) {
        if let Some(undo) = &mut self.undo {
            undo.release(epoch.0);
        }
    }

    /// What is written and not given away.
    pub(super) fn delta_bytes(&self) -> u64 {
        self.changes.len()
    }

    /// Only while something is still to be gathered do marks say what must be saved from the next touch.
    fn end_marking_when_gathered<K, V>(&mut self, table: &mut Table<K, V>) {
        let noting = self.choice.noting();
        if noting == Noting::Marks || self.touches_marked.is_some() || !table.is_gathered() {
            return;
        }
        table.end_marking();
        self.touches_marked = Some(self.touches);
        self.logs = noting == Noting::Log;
    }

    fn give_up_log(&mut self) {
        self.logs = false;
        self.choice.give_up();
        self.changes.drop_current();
    }
}
