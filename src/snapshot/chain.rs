//! The chain of one named state of one operator subtask: what its snapshot is made of.

use super::manifest::{Part, Piece};
use crate::error::{Error, ErrorKind, Result};
use crate::model::KeyGroupRange;
use crate::state::{BaseContent, Epoch, SealedBytes, SealedState};

/// What the snapshot of one named state of one subtask is made of: parts inherited from the checkpoint that the job
/// was restored from, then a base, then the deltas after it.
///
/// Told of what barriers seal and of what has become durable, it says what is to be uploaded, and which pieces give
/// the state at a barrier. What an aborted checkpoint sealed stays in the chain and goes with the next one.
#[derive(Debug)]
pub struct StateChain {
    key_groups: KeyGroupRange,
    /// Already narrowed to the subtask's own key groups, so that parts of different subtasks never overlap.
    inherited: Vec<Part>,
    /// Oldest first. At most the last is not yet durable.
    bases: Vec<ChainBase>,
    /// Oldest first. Epochs in which nothing was touched have no entry.
    deltas: Vec<ChainDelta>,
    last_sealed: Option<Epoch>,
    /// Barriers before the one that ended this epoch can no longer be answered for.
    released: Epoch,
}

/// Which upload of a chain this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UploadId {
    /// The delta of this epoch.
    Delta(Epoch),
    /// The base whose last slice was copied in this epoch.
    Base(Epoch),
}

/// Bytes that are not durable yet.
#[derive(Clone, Debug)]
pub struct Upload {
    /// What to report to [`StateChain::uploaded`].
    pub id: UploadId,
    /// The bytes.
    pub bytes: SealedBytes,
}

#[derive(Debug)]
struct ChainBase {
    first_epoch: Epoch,
    sealed_epoch: Epoch,
    /// Whether it was sealed without a delta: it alone says then what its epoch has changed.
    stands_alone: bool,
    content: Content,
}

#[derive(Debug)]
struct ChainDelta {
    epoch: Epoch,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Not durable yet. The bytes are kept until they are.
    Local(SealedBytes),
    /// Of a base: a newer one is to be stored in its place.
    Lost,
    /// A base of no bytes at all, which needs no object.
    Empty,
    Durable(Piece),
}

impl StateChain {
    /// The chain of a state of which nothing was sealed yet, in a subtask that owns `key_groups`. `inherited` are the
    /// parts of the restored checkpoint, in its order.
    pub fn new(key_groups: KeyGroupRange, inherited: &[Part]) -> Self {
        Self {
            key_groups,
            inherited: inherited
                .iter()
                .filter_map(|part| part.narrowed_to(key_groups))
                .collect(),
            bases: Vec::new(),
            deltas: Vec::new(),
            last_sealed: None,
            released: Epoch(0),
        }
    }

    /// A barrier has sealed the state. `streamed` is its base, if that was stored while it was copied.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the epoch is not after the one sealed before, or a base that was streamed is not known.
    pub fn sealed(&mut self, state: &SealedState, streamed: Option<Piece>) -> Result<()> {
        if let Some(last) = self.last_sealed.filter(|last| *last >= state.epoch) {
            let message = format!(
                "state {}: epoch {} was sealed after epoch {}",
                state.name, state.epoch.0, last.0
            );
            return Err(Error::new(ErrorKind::Bug, message));
        }
        self.last_sealed = Some(state.epoch);
        if !state.delta.is_empty() {
            self.deltas.push(ChainDelta {
                epoch: state.epoch,
                content: Content::Local(state.delta.clone()),
            });
        }
        if let Some(base) = &state.base {
            // The bytes of one that did not get through have no use once there is a newer one. But if nothing else says what
            // its epoch has changed, no barrier can do without a base from after it.
            self.bases
                .retain(|base| base.content.is_stored() || base.stands_alone);
            for base in &mut self.bases {
                if !base.content.is_stored() {
                    base.content = Content::Lost;
                }
            }
            self.bases.push(ChainBase {
                first_epoch: base.first_epoch,
                sealed_epoch: state.epoch,
                stands_alone: state.delta.is_empty() && base.first_epoch == state.epoch,
                content: match (&base.content, streamed) {
                    (BaseContent::Bytes(bytes), _) if bytes.is_empty() => Content::Empty,
                    (BaseContent::Bytes(bytes), _) => Content::Local(bytes.clone()),
                    (BaseContent::Streamed { .. }, Some(piece)) => Content::Durable(piece),
                    (BaseContent::Streamed { number, .. }, None) => {
                        let message = format!("nobody knows where base {number} was stored");
                        return Err(Error::new(ErrorKind::Bug, message));
                    }
                },
            });
        }
        Ok(())
    }

    /// Everything that is not durable yet, oldest first. What failed to upload is in here again.
    pub fn uploads(&self) -> Vec<Upload> {
        let deltas = self
            .deltas
            .iter()
            .map(|delta| (UploadId::Delta(delta.epoch), &delta.content));
        let bases = self
            .bases
            .iter()
            .map(|base| (UploadId::Base(base.sealed_epoch), &base.content));
        deltas
            .chain(bases)
            .filter_map(|(id, content)| match content {
                Content::Local(bytes) => Some(Upload {
                    id,
                    bytes: bytes.clone(),
                }),
                Content::Lost | Content::Empty | Content::Durable(_) => None,
            })
            .collect()
    }

    /// An upload is durable: its bytes are given back. One that the chain has no use for any more is ignored.
    pub fn uploaded(&mut self, id: UploadId, piece: Piece) {
        let content = match id {
            UploadId::Delta(epoch) => self
                .deltas
                .iter_mut()
                .find(|delta| delta.epoch == epoch)
                .map(|delta| &mut delta.content),
            UploadId::Base(epoch) => self
                .bases
                .iter_mut()
                .find(|base| base.sealed_epoch == epoch)
                .map(|base| &mut base.content),
        };
        if let Some(content) = content {
            *content = Content::Durable(piece);
        }
    }

    /// The parts that give the state at the barrier that ended `epoch`; nothing as long as one of them is not durable,
    /// nor for a barrier that has been released or has not come yet. A base counts from the barrier that sealed it on,
    /// and stands for all that lies before its first epoch.
    pub fn parts(&self, epoch: Epoch) -> Option<Vec<Part>> {
        if !(self.released..=self.last_sealed.unwrap_or_default()).contains(&epoch) {
            return None;
        }
        if self.lacks_base(epoch) {
            return None;
        }
        let base = self.base_at(epoch);
        let first_epoch = base.map_or(Epoch(0), |base| base.first_epoch);
        let deltas = self
            .deltas
            .iter()
            .filter(|delta| (first_epoch..=epoch).contains(&delta.epoch))
            .map(|delta| delta.content.piece().cloned())
            .collect::<Option<Vec<Piece>>>()?;
        let mut parts = match base {
            Some(_) => Vec::new(),
            None => self.inherited.clone(),
        };
        let base = base.and_then(|base| base.content.piece().cloned());
        match parts.last_mut() {
            // The same records in the same order, in one part less: restarts do not make chains longer.
            Some(last) if last.key_groups == self.key_groups => last.deltas.extend(deltas),
            _ if base.is_none() && deltas.is_empty() => {}
            _ => parts.push(Part {
                key_groups: self.key_groups,
                base,
                deltas,
            }),
        }
        Some(parts)
    }

    /// Whether a barrier gave a base without a delta, and neither that base nor a later one is durable: nothing else can
    /// stand for it.
    pub fn lacks_base_at_last_barrier(&self) -> bool {
        self.lacks_base(self.last_sealed.unwrap_or_default())
    }

    /// The parts at the last barrier; see [`StateChain::parts`].
    pub fn parts_at_last_barrier(&self) -> Option<Vec<Part>> {
        self.parts(self.last_sealed.unwrap_or_default())
    }

    /// No barrier before the one that ended `epoch` will be asked for again: what only they need is forgotten.
    pub fn release_before(&mut self, epoch: Epoch) {
        self.released = self.released.max(epoch);
        let Some(base) = self.base_at(epoch) else {
            return;
        };
        let (first_epoch, sealed_epoch) = (base.first_epoch, base.sealed_epoch);
        self.inherited.clear();
        self.bases.retain(|base| base.sealed_epoch >= sealed_epoch);
        self.deltas.retain(|delta| delta.epoch >= first_epoch);
    }

    /// Like [`StateChain::release_before`] the last barrier.
    pub fn release_before_last_barrier(&mut self) {
        self.release_before(self.last_sealed.unwrap_or_default());
    }

    fn lacks_base(&self, epoch: Epoch) -> bool {
        let stands_from = self.base_at(epoch).map(|base| base.first_epoch);
        let mut bases = self.bases.iter();
        bases.any(|base| {
            base.stands_alone
                && !base.content.is_stored()
                && base.sealed_epoch <= epoch
                && stands_from.is_none_or(|first_epoch| first_epoch <= base.sealed_epoch)
        })
    }

    /// The newest base that counts at the barrier that ended `epoch`.
    fn base_at(&self, epoch: Epoch) -> Option<&ChainBase> {
        self.bases
            .iter()
            .rev()
            .find(|base| base.sealed_epoch <= epoch && base.content.is_stored())
    }
}

impl Content {
    fn is_stored(&self) -> bool {
        !matches!(self, Self::Local(_) | Self::Lost)
    }

    fn piece(&self) -> Option<&Piece> {
        match self {
            Self::Durable(piece) => Some(piece),
            Self::Local(_) | Self::Lost | Self::Empty => None,
        }
    }
}

#[cfg(test)]
mod tests;
