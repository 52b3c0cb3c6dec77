//! The checkpoint plan: who takes part in a checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{CheckpointId, SubtaskId};

/// Who takes part in the next checkpoint: every subtask, but for those of chains that have finished for good.
///
/// A subtask that has worked off all input takes part in one more checkpoint that is committed: only then is its last
/// output visible, and nothing of it is left to be kept. When that holds for all subtasks of its chain, they leave the plan
/// together. As long as one of them is at work, a restore may distribute anew what all of them hold, so the others stay.
#[derive(Debug, Default)]
pub(super) struct CheckpointPlan {
    subtasks: BTreeSet<SubtaskId>,
    /// The subtasks that have finished, each with the first checkpoint that was triggered afterwards, or would be.
    finished: BTreeMap<SubtaskId, CheckpointId>,
    /// Those of them whose last output is committed.
    committed: BTreeSet<SubtaskId>,
    /// Those that take part no more.
    left: BTreeSet<SubtaskId>,
}

impl CheckpointPlan {
    /// A plan for `subtasks`, of which `left` had finished for good before the job was restored.
    pub(super) fn new(subtasks: BTreeSet<SubtaskId>, left: BTreeSet<SubtaskId>) -> Self {
        let finished = left.iter().cloned();
        Self {
            finished: finished.map(|it| (it, CheckpointId::default())).collect(),
            committed: left.clone(),
            left,
            subtasks,
        }
    }

    /// `subtask` has worked off all input; `next` is the next checkpoint to be triggered.
    pub(super) fn finish(&mut self, subtask: &SubtaskId, next: CheckpointId) {
        if self.subtasks.contains(subtask) {
            self.finished.entry(subtask.clone()).or_insert(next);
        }
    }

    /// `subtask` has made visible whatever `checkpoint`, or any before it, covers.
    pub(super) fn commit(&mut self, checkpoint: CheckpointId, subtask: &SubtaskId) {
        let is_after_end = |first: &CheckpointId| *first <= checkpoint;
        if !self.finished.get(subtask).is_some_and(is_after_end)
            || !self.committed.insert(subtask.clone())
        {
            return;
        }
        let subtasks = self.subtasks.iter();
        let chain = subtasks.filter(|other| other.operator == subtask.operator);
        if chain.clone().all(|other| self.committed.contains(other)) {
            self.left.extend(chain.cloned());
        }
    }

    /// Whether all subtasks have finished.
    pub(super) fn has_finished(&self) -> bool {
        self.finished.len() == self.subtasks.len()
    }

    /// Those that take part.
    pub(super) fn taking_part(&self) -> BTreeSet<SubtaskId> {
        self.subtasks.difference(&self.left).cloned().collect()
    }

    /// Those that have finished for good, in order.
    pub(super) fn left(&self) -> Vec<SubtaskId> {
        self.left.iter().cloned().collect()
    }

    /// What must hold between any two events.
    ///
    /// # Errors
    /// Names the invariant that is broken.
    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        let has_left_alone = |subtask: &SubtaskId| {
            self.left
                .iter()
                .any(|left| left.operator == subtask.operator)
        };
        if !self
            .committed
            .iter()
            .all(|it| self.finished.contains_key(it))
        {
            Err("a subtask has committed its last output before it had finished")
        } else if !self.left.is_subset(&self.committed) {
            Err("a subtask has left the plan with output that is not committed")
        } else if self.taking_part().iter().any(has_left_alone) {
            Err("a part of a chain has left the plan")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subtask(id: &str) -> SubtaskId {
        let (operator, index) = id.split_once('-').unwrap();
        SubtaskId::new(operator.into(), index.parse().unwrap())
    }

    fn subtasks(ids: &[&str]) -> BTreeSet<SubtaskId> {
        ids.iter().map(|id| subtask(id)).collect()
    }

    /// Something that happens to one subtask of the chains `in` and `out`, of two subtasks each.
    #[derive(Clone, Copy)]
    enum Event {
        /// It finishes before this checkpoint.
        Finish(&'static str, u64),
        Commit(&'static str, u64),
    }

    /// Events in order, and who has left the plan then.
    fn check(events: &[Event], left: &[&str]) {
        let all = subtasks(&["in-0", "in-1", "out-0", "out-1"]);
        let mut plan = CheckpointPlan::new(all.clone(), BTreeSet::new());
        for event in events {
            match *event {
                Event::Finish(id, next) => plan.finish(&subtask(id), CheckpointId(next)),
                Event::Commit(id, checkpoint) => {
                    plan.commit(CheckpointId(checkpoint), &subtask(id))
                }
            }
            assert_eq!(plan.check_invariants(), Ok(()));
        }
        let left = subtasks(left);
        assert_eq!(plan.left(), left.iter().cloned().collect::<Vec<_>>());
        assert_eq!(plan.taking_part(), &all - &left);
    }

    #[test]
    fn a_chain_leaves_when_all_its_subtasks_have_committed_a_checkpoint_after_their_end() {
        use Event::{Commit, Finish};
        let finished = [Finish("in-0", 4), Finish("in-1", 5)];
        check(&finished, &[]);
        check(&[&finished[..], &[Commit("in-0", 4)]].concat(), &[]);
        let committed = [&finished[..], &[Commit("in-0", 4), Commit("in-1", 5)]].concat();
        check(&committed, &["in-0", "in-1"]);
        let twice = [&committed[..], &[Commit("in-0", 6), Finish("in-1", 9)]].concat();
        check(&twice, &["in-0", "in-1"]);
    }

    #[test]
    fn a_commit_of_what_was_triggered_before_the_end_is_not_the_last() {
        use Event::{Commit, Finish};
        let finished = [Finish("in-0", 4), Finish("in-1", 5)];
        check(
            &[&finished[..], &[Commit("in-0", 4), Commit("in-1", 4)]].concat(),
            &[],
        );
        check(&[Commit("in-0", 9), Commit("in-1", 9)], &[]);
    }

    #[test]
    fn whoever_had_left_before_a_restore_takes_no_part_from_the_start() {
        let (all, left) = (subtasks(&["in-0", "out-0"]), subtasks(&["in-0"]));
        let mut plan = CheckpointPlan::new(all, left);
        assert_eq!(plan.taking_part(), subtasks(&["out-0"]));
        assert!(!plan.has_finished());
        plan.finish(&subtask("in-0"), CheckpointId(8));
        plan.finish(&subtask("out-0"), CheckpointId(8));
        assert!(plan.has_finished());
        plan.finish(&subtask("stranger-0"), CheckpointId(8));
        assert_eq!(plan.check_invariants(), Ok(()));
        assert_eq!(plan.left(), [subtask("in-0")]);
    }
}
