//! What is known of one checkpoint: in all, and in each subtask.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{CheckpointId, SubtaskId};

/// What is known of one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointReport {
    /// Which checkpoint this is.
    pub id: CheckpointId,
    /// Why it was taken, in a word: `periodic`, `requested`, `savepoint`…
    pub kind: String,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// What became of it.
    pub state: CheckpointState,
    /// When it was triggered, in milliseconds since the Unix epoch.
    pub triggered_unix_millis: i64,
    /// From the trigger to the durable manifest, or to the failure; to the last acknowledgement while it is in progress.
    #[serde(rename = "duration_micros", with = "micros")]
    pub duration: Duration,
    /// Bytes that it added to the store, the manifest's among them.
    pub bytes: u64,
    /// Bytes of all that it refers to: what a restore reads.
    pub full_bytes: u64,
    /// Bytes of its manifest.
    pub manifest_bytes: u64,
    /// Where it lies, once it is complete.
    pub path: Option<String>,
    /// Whether it was complete, and has been deleted since because newer ones took its place.
    pub discarded: bool,
    /// Why it failed, if it did.
    pub failure: Option<CheckpointFailure>,
    /// How many subtasks have to acknowledge it.
    pub subtasks_total: usize,
    /// The subtasks that have acknowledged it, in their order.
    pub subtasks: Vec<SubtaskReport>,
}

/// What became of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointState {
    /// It is not yet decided.
    #[serde(rename = "in progress")]
    InProgress,
    /// Its manifest is durable.
    Completed,
    /// It was given up.
    Failed,
}

/// Why a checkpoint failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointFailure {
    /// Flink's name of the reason, such as `CHECKPOINT_EXPIRED`.
    pub reason: String,
    /// What was behind it, if anybody said.
    pub message: Option<String>,
}

/// One subtask's part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskReport {
    /// Whose part it is.
    pub subtask: SubtaskId,
    /// When the coordinator heard of it, in milliseconds since the Unix epoch.
    pub acknowledged_unix_millis: i64,
    /// From the checkpoint's trigger to the acknowledgement.
    #[serde(rename = "duration_micros", with = "micros")]
    pub duration: Duration,
    /// From the trigger to the first barrier.
    #[serde(rename = "start_delay_micros", with = "micros")]
    pub start_delay: Duration,
    /// From the first barrier to the last.
    #[serde(rename = "alignment_micros", with = "micros")]
    pub alignment: Duration,
    /// How long the subtask processed nothing because its state was sealed.
    #[serde(rename = "sync_micros", with = "micros")]
    pub sync: Duration,
    /// How long its part took to become durable.
    #[serde(rename = "async_micros", with = "micros")]
    pub r#async: Duration,
    /// Bytes that it added to the store.
    pub bytes: u64,
    /// Bytes of its state as it was, whichever checkpoint wrote them.
    pub full_bytes: u64,
    /// Bytes of records that were under way to it and are kept with an unaligned checkpoint.
    pub in_flight_bytes: u64,
    /// Whether its barriers overtook records.
    pub is_unaligned: bool,
    /// Whether all its input had ended before.
    pub is_finished: bool,
}

/// What is known of a checkpoint only once it is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedFigures {
    /// From the trigger to the durable manifest.
    pub duration: Duration,
    /// Bytes that it added to the store, the manifest's among them.
    pub bytes: u64,
    /// Bytes of all that it refers to.
    pub full_bytes: u64,
    /// Bytes of its manifest.
    pub manifest_bytes: u64,
    /// Where it lies.
    pub path: String,
}

impl SubtaskReport {
    /// Of a subtask that had finished for good when the checkpoint was triggered, and took no part in it.
    pub fn finished(subtask: SubtaskId, now_unix_millis: i64) -> Self {
        Self {
            subtask,
            acknowledged_unix_millis: now_unix_millis,
            duration: Duration::ZERO,
            start_delay: Duration::ZERO,
            alignment: Duration::ZERO,
            sync: Duration::ZERO,
            r#async: Duration::ZERO,
            bytes: 0,
            full_bytes: 0,
            in_flight_bytes: 0,
            is_unaligned: false,
            is_finished: true,
        }
    }
}

impl CheckpointReport {
    /// Whether it is still under way.
    pub fn is_in_progress(&self) -> bool {
        self.state == CheckpointState::InProgress
    }

    /// When the last acknowledgement came, in milliseconds since the Unix epoch.
    pub fn latest_acknowledged_unix_millis(&self) -> Option<i64> {
        let times = self.subtasks.iter();
        times.map(|part| part.acknowledged_unix_millis).max()
    }

    /// Bytes of records under way that are kept with it, over all subtasks.
    pub fn in_flight_bytes(&self) -> u64 {
        self.subtasks.iter().map(|part| part.in_flight_bytes).sum()
    }

    /// The longest time that `part` says of a subtask; nothing without subtasks.
    pub fn longest(&self, part: impl Fn(&SubtaskReport) -> Duration) -> Option<Duration> {
        self.subtasks.iter().map(part).max()
    }
}

/// Durations as whole microseconds: a barrier's stall is a few of them.
mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Ok(Duration::from_micros(u64::deserialize(deserializer)?))
    }
}
