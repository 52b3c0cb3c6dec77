//! What a test knows of a job's checkpoints, beyond all crashes.

use std::collections::BTreeMap;

use crate::model::CheckpointId;
use crate::snapshot::test_support::MAX_PARALLELISM;
use crate::snapshot::{LoadedCheckpoint, Recovery};

use super::subtask::decode;

/// The numbers that a job holds, by key. A key is its own key group.
pub(super) type Numbers = BTreeMap<u16, u64>;

/// What must be found in the store, whatever happens to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// How it came to this, for messages.
    pub(super) story: String,
    /// How often the job was started.
    pub(super) starts: u64,
    /// How many starts and checkpoints have failed.
    pub(super) failures: usize,
    /// The last number that was given to a key.
    pub(super) last_number: u64,
    /// What the job held at the barrier of each checkpoint that was ever to be committed.
    committing: BTreeMap<CheckpointId, Numbers>,
    /// The newest checkpoint of which the store has said that it is complete.
    completed: Option<CheckpointId>,
    /// The highest id of which the store has said that it counts as used.
    begun: Option<CheckpointId>,
}

impl Ledger {
    pub(super) fn begun(&mut self, checkpoint: CheckpointId) {
        self.begun = self.begun.max(Some(checkpoint));
    }

    pub(super) fn committing(&mut self, checkpoint: CheckpointId, numbers: Numbers) {
        let before = self.committing.insert(checkpoint, numbers);
        assert_eq!(before, None, "{checkpoint} twice: {}", self.story);
    }

    pub(super) fn completed(&mut self, checkpoint: CheckpointId) {
        self.completed = self.completed.max(Some(checkpoint));
    }

    /// The newest complete checkpoint is found, or one that is newer still; nothing is damaged; and no id is used twice.
    pub(super) fn check_recovery(&self, recovery: &Recovery) {
        let story = &self.story;
        assert_eq!(recovery.damaged, [], "{story}");
        let found = recovery.checkpoint.as_ref();
        let id = found.map(|loaded| loaded.manifest().checkpoint);
        assert!(
            id >= self.completed,
            "{id:?} of {:?}: {story}",
            self.completed
        );
        let next = Some(recovery.next_id());
        assert!(
            next > self.begun,
            "{next:?} after {:?}: {story}",
            self.begun
        );
        if let Some(loaded) = found {
            self.check_content(loaded);
        }
    }

    /// A checkpoint holds what the job held at its barrier.
    pub(super) fn check_content(&self, loaded: &LoadedCheckpoint) {
        let checkpoint = loaded.manifest().checkpoint;
        let plan = loaded.restore_plan(&"sum".into(), 0, 1, MAX_PARALLELISM, false);
        let states = plan.unwrap().map(|plan| plan.states).unwrap_or_default();
        let expected = self.committing.get(&checkpoint);
        assert_eq!(
            Some(&decode(&states)),
            expected,
            "checkpoint {checkpoint}: {}",
            self.story
        );
    }
}
