//! What an owner knows of its job's ledger, and what it has to do on account of that.

use std::collections::BTreeSet;

use super::record::{IdRange, LedgerRecord};
use crate::model::CheckpointId;

/// How many ids are reserved with one record. More would be fewer requests as long as all is well, and more after a crash.
const IDS_AT_ONCE: u64 = 32;

/// The ledger as its owner knows it: events in, records out.
#[derive(Clone, Debug)]
pub(super) struct LedgerState {
    /// The number of the owner's newest record.
    number: u64,
    record: LedgerRecord,
    /// Former owners have used no higher id.
    highest_before: CheckpointId,
    /// The ids that must have a tombstone or a manifest before the owner goes on from a checkpoint: those that former owners
    /// may still use, and those that it has begun itself.
    unsettled: BTreeSet<CheckpointId>,
    /// The highest id that may be in use.
    highest: CheckpointId,
    /// The checkpoints that are known to be complete, and not superseded.
    complete: BTreeSet<CheckpointId>,
}

/// What follows from a record that somebody has written after the owner's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The owner wrote it itself, and has not heard of it.
    Own,
    /// The job is another's.
    Lost,
}

impl LedgerState {
    /// The job was claimed with this record.
    pub(super) fn claimed(number: u64, record: LedgerRecord) -> Self {
        let complete = record.complete.clone();
        let newest = complete.last().copied().unwrap_or_default();
        let reserved = record.reserved.iter().flat_map(|range| range.ids());
        Self {
            number,
            highest_before: record.highest,
            unsettled: reserved.filter(|id| *id > newest).collect(),
            highest: record.highest,
            complete,
            record,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The highest id that was ever used, as far as anybody can know.
    pub(super) fn highest(&self) -> CheckpointId {
        self.highest
    }

    /// The checkpoints that are known to be complete, and not superseded.
    pub(super) fn complete(&self) -> &BTreeSet<CheckpointId> {
        &self.complete
    }

    /// The ids that must have a tombstone or a manifest before the owner goes on from a checkpoint.
    pub(super) fn unsettled(&self) -> &BTreeSet<CheckpointId> {
        &self.unsettled
    }

    /// These ids have got a tombstone, but for those that turned out to be complete.
    pub(super) fn settle(
        &mut self,
        ids: &BTreeSet<CheckpointId>,
        complete: impl IntoIterator<Item = CheckpointId>,
    ) {
        self.unsettled.retain(|id| !ids.contains(id));
        self.complete.extend(complete);
    }

    /// A checkpoint with this id is about to begin. Gives the record to be written first, if its id is not reserved.
    pub(super) fn begin(&self, checkpoint: CheckpointId) -> Option<LedgerRecord> {
        let mut reserved = self.record.reserved.clone();
        if reserved.iter().any(|range| range.contains(checkpoint)) {
            return None;
        }
        let newest = self.complete.last().copied().unwrap_or_default();
        let is_former = |range: &IdRange| range.last <= self.highest_before;
        let is_open = |range: &IdRange| range.ids().any(|id| self.unsettled.contains(&id));
        reserved.retain(|range| range.last > newest && (!is_former(range) || is_open(range)));
        let last = CheckpointId(checkpoint.0 + IDS_AT_ONCE - 1);
        match reserved.last_mut() {
            Some(range) if range.last.next() == checkpoint => range.last = last,
            _ => reserved.push(IdRange {
                first: checkpoint,
                last,
            }),
        }
        Some(LedgerRecord {
            highest: self.highest.max(last),
            reserved,
            complete: self.complete.clone(),
            ..self.record.clone()
        })
    }

    /// It has begun.
    pub(super) fn begun(&mut self, checkpoint: CheckpointId) {
        self.highest = self.highest.max(checkpoint);
        self.unsettled.insert(checkpoint);
    }

    /// The owner has written this record after its former one.
    pub(super) fn appended(&mut self, record: LedgerRecord) {
        self.number += 1;
        self.record = record;
    }

    /// Somebody has written this record after the owner's own: nobody else has the owner's generation.
    pub(super) fn judge(&self, next: &LedgerRecord) -> Judgement {
        match next.owner.generation == self.record.owner.generation {
            true => Judgement::Own,
            false => Judgement::Lost,
        }
    }

    /// The checkpoint's manifest is there. What was begun before it is worthless now.
    pub(super) fn completed(&mut self, checkpoint: CheckpointId) {
        self.complete.insert(checkpoint);
        self.unsettled.retain(|id| *id > checkpoint);
    }

    /// The manifests of these checkpoints are deleted.
    pub(super) fn removed(&mut self, checkpoints: &[CheckpointId]) {
        for checkpoint in checkpoints {
            self.complete.remove(checkpoint);
        }
    }

    /// The record with which the owner ends. Ids that it has not used are not reserved any more.
    pub(super) fn end(&self) -> LedgerRecord {
        let open = self.unsettled.iter().map(|id| IdRange {
            first: *id,
            last: *id,
        });
        LedgerRecord {
            highest: self.highest,
            reserved: open.collect(),
            complete: self.complete.clone(),
            ended: true,
            ..self.record.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::OwnerRecord;

    fn ids(ids: &[u64]) -> BTreeSet<CheckpointId> {
        ids.iter().copied().map(CheckpointId).collect()
    }

    fn range(first: u64, last: u64) -> IdRange {
        IdRange {
            first: CheckpointId(first),
            last: CheckpointId(last),
        }
    }

    fn record(generation: u64, reserved: &[IdRange], complete: &[u64]) -> LedgerRecord {
        LedgerRecord {
            owner: OwnerRecord {
                generation,
                process: 1,
                since_unix_millis: 0,
                taken_over_at: 0,
            },
            machine: None,
            highest: reserved.last().map_or(CheckpointId(0), |range| range.last),
            reserved: reserved.to_vec(),
            complete: ids(complete),
            ended: false,
        }
    }

    fn claimed(reserved: &[IdRange], complete: &[u64]) -> LedgerState {
        LedgerState::claimed(4, record(2, reserved, complete))
    }

    /// Begins checkpoints as an owner does, and gives how many records it has written for that.
    fn begin(state: &mut LedgerState, checkpoints: impl IntoIterator<Item = u64>) -> usize {
        let before = state.number();
        for id in checkpoints.into_iter().map(CheckpointId) {
            if let Some(record) = state.begin(id) {
                state.appended(record);
            }
            assert_eq!(state.begin(id), None, "{id}");
            state.begun(id);
        }
        (state.number() - before) as usize
    }

    #[test]
    fn what_former_owners_may_use_is_unsettled_from_the_newest_known_checkpoint_on() {
        for (reserved, complete, unsettled) in [
            (&[][..], &[][..], &[][..]),
            (&[range(1, 3)], &[], &[1, 2, 3]),
            (&[range(1, 7)], &[2, 4], &[5, 6, 7]),
            (&[range(1, 2), range(900, 901)], &[1], &[2, 900, 901]),
            (&[range(1, 7)], &[7], &[]),
        ] {
            let mut state = claimed(reserved, complete);
            let unsettled = ids(unsettled);
            assert_eq!(*state.unsettled(), unsettled, "{reserved:?} {complete:?}");
            state.settle(&unsettled, None);
            assert_eq!(*state.unsettled(), ids(&[]));
        }
        assert_eq!(claimed(&[range(1, 7)], &[2]).highest(), CheckpointId(7));
    }

    #[test]
    fn ids_are_reserved_many_at_once_when_the_former_ones_are_used_up() {
        let mut state = claimed(&[], &[]);
        assert_eq!(begin(&mut state, 1..=IDS_AT_ONCE), 1);
        state.completed(CheckpointId(5));
        state.completed(CheckpointId(6));
        state.removed(&[CheckpointId(5)]);
        let next = state.begin(CheckpointId(IDS_AT_ONCE + 1)).unwrap();
        assert_eq!(next.reserved, [range(1, 2 * IDS_AT_ONCE)]);
        assert_eq!(next.highest, CheckpointId(2 * IDS_AT_ONCE));
        assert_eq!(next.complete, ids(&[6]));
        state.appended(next);
        begin(&mut state, IDS_AT_ONCE + 1..=2 * IDS_AT_ONCE);
        state.completed(CheckpointId(2 * IDS_AT_ONCE));
        let next = state.begin(CheckpointId(2 * IDS_AT_ONCE + 1)).unwrap();
        let expected = range(2 * IDS_AT_ONCE + 1, 3 * IDS_AT_ONCE);
        assert_eq!(next.reserved, [expected], "the former ones are worthless");
    }

    /// A snapshot that is taken over brings its id with it, which can be far above all that the job has used.
    #[test]
    fn a_leap_of_the_ids_reserves_nothing_in_between() {
        let mut state = claimed(&[], &[]);
        begin(&mut state, [3, 1_000_000]);
        let reserved = [range(3, 34), range(1_000_000, 1_000_031)];
        assert_eq!(state.record.reserved, reserved);
        assert_eq!(*state.unsettled(), ids(&[3, 1_000_000]));
        assert_eq!(state.highest(), CheckpointId(1_000_000));
    }

    #[test]
    fn what_former_owners_had_reserved_is_forgotten_when_it_is_settled() {
        let mut state = claimed(&[range(1, 7)], &[2]);
        let kept = state.begin(CheckpointId(8)).unwrap();
        assert_eq!(kept.reserved, [range(1, 39)]);
        state.settle(&ids(&[3, 4, 5, 6, 7]), [CheckpointId(4)]);
        let forgotten = state.begin(CheckpointId(8)).unwrap();
        assert_eq!(forgotten.reserved, [range(8, 39)]);
        assert_eq!(forgotten.complete, ids(&[2, 4]));
    }

    /// What an attempt of this process has begun is unsettled when the next one recovers, and nothing else is.
    #[test]
    fn an_owner_settles_its_own_ids_when_it_starts_anew() {
        let mut state = claimed(&[range(1, 4)], &[]);
        state.settle(&ids(&[1, 2, 3, 4]), [CheckpointId(3)]);
        begin(&mut state, [5, 6, 7]);
        state.completed(CheckpointId(5));
        assert_eq!(*state.unsettled(), ids(&[6, 7]));
        state.settle(&ids(&[6, 7]), [CheckpointId(6)]);
        assert_eq!(*state.complete(), ids(&[3, 5, 6]));
    }

    #[test]
    fn an_owner_that_ends_gives_unused_ids_back() {
        let mut state = claimed(&[], &[]);
        begin(&mut state, [1, 2]);
        state.completed(CheckpointId(1));
        let end = state.end();
        assert!(end.ended);
        assert_eq!(end.highest, CheckpointId(2));
        let next = LedgerState::claimed(9, end);
        assert_eq!(
            *next.unsettled(),
            ids(&[2]),
            "its manifest may still be on its way"
        );
    }

    #[test]
    fn a_record_after_the_own_is_judged_by_its_generation() {
        let state = claimed(&[], &[]);
        assert_eq!(
            state.judge(&record(2, &[range(1, 32)], &[])),
            Judgement::Own
        );
        assert_eq!(state.judge(&record(3, &[], &[])), Judgement::Lost);
    }
}
