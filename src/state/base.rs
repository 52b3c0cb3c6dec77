//! The base: when it is due, how far it has come, and its bytes until the next barrier takes them along.

use super::log::RecordLog;
use super::piece::Footer;
use super::sealed::{Epoch, SealedBase};
use super::table::Cursor;
use crate::error::Result;

/// No base is begun before the deltas have at least this size: a small state's deltas are read back in no time.
const DELTA_BYTES_MIN: u64 = 1 << 20;

/// The life of a state's bases, one after the other.
#[derive(Default)]
pub(super) struct BaseSchedule {
    /// The bytes of all deltas sealed since the newest base was begun.
    delta_bytes: u64,
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
    /// How many records were copied.
    pub(super) records: u64,
}

impl BaseSchedule {
    /// Counts a delta that the state was restored from: a long chain is to be followed by a base soon.
    pub(super) fn on_restored_delta(&mut self, bytes: usize) {
        self.delta_bytes += bytes as u64;
    }

    /// The base to copy a slice of, if there is one: begins one when it is due.
    ///
    /// It is due when the deltas since the last one have grown beyond the size that a new one would have.
    pub(super) fn running(
        &mut self,
        epoch: Epoch,
        base_bytes: u64,
        log: impl FnOnce() -> RecordLog,
    ) -> Option<&mut RunningBase> {
        let due = self.delta_bytes > base_bytes.max(DELTA_BYTES_MIN);
        if self.running.is_none() && self.finished.is_none() && due {
            self.delta_bytes = 0;
            self.running = Some(RunningBase {
                first_epoch: epoch,
                cursor: Cursor::default(),
                log: log(),
                records: 0,
            });
        }
        self.running.as_mut()
    }

    /// The last slice is copied: `footer` is given the bytes and the number of the records.
    pub(super) fn finish(&mut self, footer: impl FnOnce(u64, u64) -> Footer) -> Result<()> {
        if let Some(mut base) = self.running.take() {
            let records = base.records;
            self.finished = Some(SealedBase {
                first_epoch: base.first_epoch,
                bytes: base
                    .log
                    .seal(&[], |records_bytes| footer(records_bytes, records))?,
            });
        }
        Ok(())
    }

    /// A barrier has sealed a delta of so many bytes: gives the base that goes with it, if one is finished.
    pub(super) fn on_barrier(&mut self, delta_bytes: u64) -> Option<SealedBase> {
        self.delta_bytes += delta_bytes;
        self.finished.take()
    }

    /// The bytes of the base that is being copied, or waits for a barrier.
    pub(super) fn bytes(&self) -> u64 {
        let running = self.running.as_ref().map_or(0, |base| base.log.len());
        let finished = self.finished.as_ref().map_or(0, |base| base.bytes.len());
        running + finished
    }
}
