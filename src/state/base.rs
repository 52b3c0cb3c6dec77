//! The base: when it is due, how far it has come, and its bytes until the next barrier takes them along.

use super::log::RecordLog;
use super::piece::Footer;
use super::sealed::{Epoch, SealedBase};
use super::table::Cursor;
use crate::error::Result;

/// No base is begun before the deltas have at least this size: a small state's deltas are read back in no time.
const DELTA_BYTES_MIN: u64 = 1 << 20;

/// Each delta counts for at least this: a small one still has its line in every manifest and its read at a restore.
const DELTA_BYTES_COUNTED_MIN: u64 = 16 << 10;

/// A base is begun after this many deltas, however small they were beside the state.
const DELTAS_MAX: u32 = 1000;

/// No barrier gives all of a state that is smaller than this.
const EXACT_BASE_BYTES_MIN: u64 = 64 << 10;

/// The life of a state's bases, one after the other.
#[derive(Default)]
pub(super) struct BaseSchedule {
    /// The bytes of all deltas sealed since the newest base was begun, as they count.
    delta_bytes: u64,
    /// How many these are; an epoch in which nothing was touched has none.
    deltas: u32,
    running: Option<RunningBase>,
    /// Finished, and waiting for a barrier.
    finished: Option<SealedBase>,
}

/// What one call has done for a base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BaseProgress {
    /// How many bytes were copied.
    pub(super) bytes: usize,
    /// Whether there is more to copy.
    pub(super) running: bool,
}

/// A base that is being copied.
pub(super) struct RunningBase {
    first_epoch: Epoch,
    /// Where the next slice goes on.
    pub(super) cursor: Cursor,
    /// What is copied so far.
    pub(super) log: RecordLog,
}

impl BaseSchedule {
    /// The base to copy a slice of, if there is one: begins one when it is due.
    ///
    /// It is due when the deltas since the last one have grown beyond three quarters of the size that a new one would
    /// have, or have become too many: while it is copied, its predecessor and all these deltas are still in the store.
    pub(super) fn running(
        &mut self,
        epoch: Epoch,
        base_bytes: u64,
        log: impl FnOnce() -> RecordLog,
    ) -> Option<&mut RunningBase> {
        if self.running.is_none() && self.finished.is_none() && self.due(base_bytes) {
            self.begin(epoch, log());
        }
        self.running.as_mut()
    }

    /// The last slice is copied: `footer` is given the bytes and the number of the records.
    pub(super) fn finish(&mut self, footer: impl FnOnce(u64, u64) -> Footer) -> Result<()> {
        if let Some(base) = self.running.take() {
            self.finished = Some(SealedBase {
                first_epoch: base.first_epoch,
                bytes: base.log.seal(footer)?,
            });
        }
        Ok(())
    }

    /// A barrier: gives the base that goes with it, if one is finished.
    pub(super) fn on_barrier(&mut self) -> Option<SealedBase> {
        self.finished.take()
    }

    /// A delta of so many bytes was given away, or restored: a long chain is to be followed by a base soon.
    pub(super) fn on_delta(&mut self, bytes: u64) {
        self.count_delta(bytes);
    }

    /// Begins a base, due or not, and drops what was copied of another one.
    pub(super) fn begin(&mut self, epoch: Epoch, log: RecordLog) {
        self.delta_bytes = 0;
        self.deltas = 0;
        self.finished = None;
        self.running = Some(RunningBase {
            first_epoch: epoch,
            cursor: Cursor::default(),
            log,
        });
    }

    /// A barrier gives all there is, exactly: no base that was begun before is of use any more.
    pub(super) fn superseded(&mut self) {
        *self = Self::default();
    }

    /// Whether a state of this size is worth a base of its own at a barrier: a base is an object, while the deltas of all
    /// states of a subtask share one.
    pub(super) fn is_worth_an_object(base_bytes: u64) -> bool {
        base_bytes >= EXACT_BASE_BYTES_MIN
    }

    fn due(&self, base_bytes: u64) -> bool {
        let delta_bytes_max = (base_bytes / 4 * 3).max(DELTA_BYTES_MIN);
        self.delta_bytes > delta_bytes_max || self.deltas > DELTAS_MAX
    }

    fn count_delta(&mut self, bytes: u64) {
        if bytes > 0 {
            self.delta_bytes += bytes.max(DELTA_BYTES_COUNTED_MIN);
            self.deltas += 1;
        }
    }

    /// The bytes of the base that is being copied, or waits for a barrier.
    pub(super) fn bytes(&self) -> u64 {
        let running = self.running.as_ref().map_or(0, |base| base.log.len());
        let finished = self.finished.as_ref().map_or(0, |base| base.bytes.len());
        running + finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many barriers with deltas of this size it takes until a base of this size is due.
    fn barriers_until_due(delta_bytes: u64, base_bytes: u64) -> u64 {
        let mut schedule = BaseSchedule::default();
        let mut barriers = 0;
        while !schedule.due(base_bytes) {
            schedule.on_delta(delta_bytes);
            barriers += 1;
        }
        barriers
    }

    #[test]
    fn a_base_is_due_when_the_deltas_outgrow_it_or_become_many() {
        let check = |delta_bytes, base_bytes, expected| {
            let found = barriers_until_due(delta_bytes, base_bytes);
            assert_eq!(
                found, expected,
                "deltas of {delta_bytes}, base of {base_bytes}"
            );
        };
        check(1 << 20, 100, 2);
        check(1 << 20, 12 << 20, 10);
        // Small deltas of a small state count for more than they are.
        check(100, 4000, 65);
        // Small deltas of a large state do not make it be copied for each few of them.
        check(100, 1 << 30, 1001);
    }

    #[test]
    fn epochs_without_a_delta_never_bring_a_base_about() {
        let mut schedule = BaseSchedule::default();
        for _ in 0..100_000 {
            schedule.on_delta(0);
        }
        assert!(!schedule.due(100));
    }
}
