//! What was touched since the last barriers, on its way into deltas.
//!
//! Of a marked epoch the table knows which records were touched. At a barrier nothing is copied: that epoch becomes
//! the *pending* one, and its records are gathered from the table into its delta in slices, between batches. A record
//! that is touched again before its turn comes is written to the pending delta first, as it was at the barrier. What
//! is deleted is written down at once, and values are logged only while nothing is; so in each delta the deletions come
//! first. A record can be there several times: the last one counts.

use super::log::RecordLog;
use super::piece::{Footer, PieceKind};
use super::sealed::{BaseContent, Epoch, SealedBase, SealedBytes};
use super::store::SealedParts;
use crate::error::{Error, ErrorKind, Result};

/// The deltas of the epoch at hand and of the one before it.
pub(super) struct Changes {
    /// The deletions of the epoch at hand, and what is logged of it.
    current: DeltaLog,
    pending: Option<Pending>,
}

/// A delta that is being written.
pub(super) struct DeltaLog {
    log: RecordLog,
    deletions: u64,
}

/// What the last barrier ended and is not given away yet.
struct Pending {
    delta: DeltaLog,
    /// A base that goes with it.
    base: Option<SealedBase>,
    /// The epoch that was ended, when all there is is gathered: the delta is the whole base then.
    all_of: Option<Epoch>,
}

impl Changes {
    /// No change yet.
    pub(super) fn new(log: RecordLog) -> Self {
        Self {
            current: DeltaLog { log, deletions: 0 },
            pending: None,
        }
    }

    /// An empty log on the same pool of chunks.
    pub(super) fn another_log(&self) -> RecordLog {
        self.current.log.another()
    }

    /// How many bytes are written that are not given away.
    pub(super) fn len(&self) -> u64 {
        let pending = self.pending.as_ref();
        self.current.log.len() + pending.map_or(0, |pending| pending.delta.log.len())
    }

    /// Where a deletion is written down: a record of `bytes`.
    pub(super) fn append_deletion(&mut self, bytes: usize) -> Result<&mut [u8]> {
        self.current.deletions += 1;
        self.current.log.append(bytes)
    }

    /// Where a value is logged: a record of `bytes`.
    #[inline(always)]
    pub(super) fn append(&mut self, bytes: usize) -> Result<&mut [u8]> {
        self.current.append(bytes)
    }

    /// What is written of the epoch at hand.
    pub(super) fn current_bytes(&self) -> u64 {
        self.current.log.len()
    }

    /// Forgets what is written of the epoch at hand: its barrier is to give all there is.
    pub(super) fn drop_current(&mut self) {
        self.current = self.empty();
    }

    /// The delta that is being gathered, if there is one.
    #[inline]
    pub(super) fn pending(&mut self) -> Option<&mut DeltaLog> {
        self.pending.as_mut().map(|pending| &mut pending.delta)
    }

    /// The barrier: the epoch at hand becomes the pending one. `base` goes with it.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the epoch before is still pending.
    pub(super) fn end_epoch(&mut self, base: Option<SealedBase>) -> Result<()> {
        let next = self.empty();
        let delta = std::mem::replace(&mut self.current, next);
        self.set_pending(Pending {
            delta,
            base,
            all_of: None,
        })
    }

    /// The barrier that ends `epoch`, when all there is is to be gathered: deletions need not be written down then.
    ///
    /// # Errors
    /// As for [`Changes::end_epoch`].
    pub(super) fn end_epoch_with_all(&mut self, epoch: Epoch) -> Result<()> {
        self.drop_current();
        self.set_pending(Pending {
            delta: self.empty(),
            base: None,
            all_of: Some(epoch),
        })
    }

    fn empty(&self) -> DeltaLog {
        DeltaLog {
            log: self.another_log(),
            deletions: 0,
        }
    }

    fn set_pending(&mut self, pending: Pending) -> Result<()> {
        match self.pending.replace(pending) {
            None => Ok(()),
            Some(_) => Err(Error::new(
                ErrorKind::Bug,
                "a barrier came before the delta of the one before it was gathered",
            )),
        }
    }

    /// All that is pending is gathered: gives it away. `footer` is given the kind of piece, the bytes, the number of
    /// records, and the number of deletions among them.
    pub(super) fn seal(
        &mut self,
        footer: impl FnOnce(PieceKind, u64, u64, u64) -> Footer,
    ) -> Result<Option<SealedParts>> {
        let Some(Pending {
            delta,
            base,
            all_of,
        }) = self.pending.take()
        else {
            return Ok(None);
        };
        let kind = match all_of {
            Some(_) => PieceKind::Base,
            None => PieceKind::Delta,
        };
        let deletions = delta.deletions;
        let bytes = delta
            .log
            .seal(|bytes, records| footer(kind, bytes, records, deletions))?;
        Ok(Some(match all_of {
            Some(first_epoch) => {
                let content = BaseContent::Bytes(bytes);
                let base = SealedBase {
                    first_epoch,
                    content,
                };
                (SealedBytes::default(), Some(base))
            }
            None => (bytes, base),
        }))
    }
}

impl DeltaLog {
    /// Where a record of `bytes` is written.
    #[inline]
    pub(super) fn append(&mut self, bytes: usize) -> Result<&mut [u8]> {
        self.log.append(bytes)
    }

    /// See [`RecordLog::append_many`].
    #[inline]
    pub(super) fn append_many(
        &mut self,
        stride: usize,
        records_max: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        self.log.append_many(stride, records_max, write)
    }
}
