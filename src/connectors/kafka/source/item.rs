//! What a checkpoint says about a Kafka source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::topic_partition::TopicPartition;
use crate::connectors::dead_letters::DeadLetterItem;
use crate::error::{Error, ErrorKind, Result};
use crate::operator::RestoredOperatorState;

/// One item of a Kafka source in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum SourceItem {
    Partition(PartitionItem),
    Discovery(DiscoveryItem),
    DeadLetters(DeadLetterItem),
}

/// How far a partition was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartitionItem {
    topic: Arc<str>,
    partition: i32,
    /// The next record to read.
    offset: i64,
    /// Where a bounded source ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<i64>,
    /// The partition's own watermark, so that what was late stays late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watermark: Option<i64>,
}

/// Whether a subtask had found its partitions. As long as it has not, they are still to start where the job says;
/// afterwards one that is found is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscoveryItem {
    pub(super) subtask: usize,
    pub(super) parallelism: usize,
    pub(super) discovered: bool,
}

/// How far a partition was read, without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The next record to read.
    pub(super) offset: i64,
    /// Where a bounded source ends.
    pub(super) end: Option<i64>,
    /// The partition's own watermark, in milliseconds since the Unix epoch.
    pub(super) watermark: Option<i64>,
}

/// What a checkpoint says about all subtasks of a Kafka source.
#[derive(Clone, Debug, Default)]
pub(super) struct RestoredSource {
    pub(super) positions: BTreeMap<TopicPartition, Position>,
    parallelism: usize,
    discovered: BTreeSet<usize>,
    /// The length of each dead-letter file, by the subtask that wrote it.
    pub(super) dead_letters: BTreeMap<usize, u64>,
}

impl RestoredSource {
    pub(super) fn of_state(state: &RestoredOperatorState) -> Result<Self> {
        let mut restored = Self::default();
        for item in state.items() {
            match SourceItem::from_value(item)? {
                SourceItem::Partition(item) => {
                    let (partition, position) = item.into_position();
                    restored.positions.insert(partition, position);
                }
                SourceItem::Discovery(item) => {
                    restored.parallelism = item.parallelism;
                    if item.discovered {
                        restored.discovered.insert(item.subtask);
                    }
                }
                SourceItem::DeadLetters(item) => {
                    restored.dead_letters.insert(item.dead_letters, item.length);
                }
            }
        }
        Ok(restored)
    }

    /// Whether the subtask that was to read this partition had found its partitions: if so, one that it does not know
    /// came later.
    pub(super) fn had_discovered(&self, partition: &TopicPartition) -> bool {
        self.parallelism > 0 && self.discovered.contains(&partition.owner(self.parallelism))
    }
}

impl SourceItem {
    pub(super) fn of_position(partition: &TopicPartition, position: Position) -> Self {
        Self::Partition(PartitionItem {
            topic: Arc::clone(&partition.topic),
            partition: partition.partition,
            offset: position.offset,
            end: position.end,
            watermark: position.watermark,
        })
    }

    pub(super) fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|error| {
            Error::new(ErrorKind::Bug, "a source position cannot be written").with_source(error)
        })
    }

    fn from_value(value: &Value) -> Result<Self> {
        Self::deserialize(value).map_err(|error| {
            let message = format!("the checkpoint's Kafka position {value} cannot be read");
            Error::new(ErrorKind::Corrupt, message).with_source(error)
        })
    }
}

impl PartitionItem {
    fn into_position(self) -> (TopicPartition, Position) {
        let partition = TopicPartition {
            topic: self.topic,
            partition: self.partition,
        };
        let position = Position {
            offset: self.offset,
            end: self.end,
            watermark: self.watermark,
        };
        (partition, position)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_shows_topic_partition_and_offset() {
        let partition = TopicPartition {
            topic: "in".into(),
            partition: 3,
        };
        let position = |end, watermark| Position {
            offset: 42,
            end,
            watermark,
        };
        let value = |position| SourceItem::of_position(&partition, position).to_value();
        assert_eq!(
            value(position(None, None)).unwrap(),
            json!({"topic": "in", "partition": 3, "offset": 42})
        );
        assert_eq!(
            value(position(Some(50), Some(-1))).unwrap(),
            json!({"topic": "in", "partition": 3, "offset": 42, "end": 50, "watermark": -1})
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let partition = |topic: &str, partition| TopicPartition {
            topic: topic.into(),
            partition,
        };
        let position = Position {
            offset: 42,
            end: Some(50),
            watermark: Some(7),
        };
        let discovery = |subtask, discovered| {
            SourceItem::Discovery(DiscoveryItem {
                subtask,
                parallelism: 2,
                discovered,
            })
        };
        let letters = SourceItem::DeadLetters(DeadLetterItem {
            dead_letters: 1,
            length: 9,
        });
        let items = [
            SourceItem::of_position(&partition("in", 3), position),
            discovery(0, true),
            discovery(1, false),
            letters,
        ];
        let state = RestoredOperatorState {
            subtasks: vec![items.iter().map(|item| item.to_value().unwrap()).collect()],
        };
        let restored = RestoredSource::of_state(&state).unwrap();
        assert_eq!(restored.positions[&partition("in", 3)], position);
        assert_eq!(restored.dead_letters[&1], 9);
        let of_subtask = |subtask| {
            (0..2)
                .map(|number| partition("in", number))
                .find(|it| it.owner(2) == subtask)
        };
        assert!(restored.had_discovered(&of_subtask(0).unwrap()));
        assert!(!restored.had_discovered(&of_subtask(1).unwrap()));
    }

    #[test]
    fn an_item_of_another_kind_of_source_is_refused_by_name() {
        let state = RestoredOperatorState {
            subtasks: vec![vec![json!({"path": "a.csv"})]],
        };
        let error = RestoredSource::of_state(&state).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("a.csv"), "{error}");
    }
}
