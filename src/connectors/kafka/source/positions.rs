//! How far a subtask has come in each of its partitions.

use std::collections::BTreeMap;

use super::item::{Position, SourceItem};
use super::partition_watermarks::PartitionWatermarks;
use super::topic_partition::TopicPartition;

/// The positions of one subtask: what its checkpoints hold. A position is behind the last record that was given out,
/// whatever has been fetched beyond it.
#[derive(Debug)]
pub(super) struct Positions {
    /// Those of the checkpoint whose partitions are not being read yet.
    restored: BTreeMap<TopicPartition, Position>,
    /// By the partitions' numbers.
    started: Vec<StartedPartition>,
    is_discovered: bool,
}

#[derive(Debug)]
struct StartedPartition {
    partition: TopicPartition,
    offset: i64,
    end: Option<i64>,
    /// The offset after the last record on the broker, as far as it was heard of.
    latest: Option<i64>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    /// A bounded source has read all of it.
    Finished,
    /// It is no more.
    Gone,
}

impl Positions {
    /// The positions of a subtask that goes on from `restored`.
    pub(super) fn new(restored: BTreeMap<TopicPartition, Position>) -> Self {
        Self {
            restored,
            started: Vec::new(),
            is_discovered: false,
        }
    }

    /// A partition is being read from now on.
    pub(super) fn start(&mut self, partition: TopicPartition, position: Position) {
        self.restored.remove(&partition);
        self.started.push(StartedPartition {
            partition,
            offset: position.offset,
            end: position.end,
            latest: None,
            phase: Phase::Reading,
        });
    }

    /// All partitions that were there have been started.
    pub(super) fn set_discovered(&mut self) {
        self.is_discovered = true;
    }

    /// Whether they have.
    pub(super) fn is_discovered(&self) -> bool {
        self.is_discovered
    }

    /// The name of a started partition.
    pub(super) fn partition(&self, number: usize) -> Option<&TopicPartition> {
        self.started.get(number).map(|started| &started.partition)
    }

    /// The next record to read of a partition is this one.
    pub(super) fn set_offset(&mut self, number: usize, offset: i64) {
        if let Some(started) = self.started.get_mut(number) {
            started.offset = offset;
        }
    }

    /// A partition of a bounded source has been read to its end, which can lie behind the last record: what ends a
    /// transaction has an offset too.
    pub(super) fn finish(&mut self, number: usize) {
        if let Some(started) = self.started.get_mut(number) {
            started.offset = started.offset.max(started.end.unwrap_or(started.offset));
            started.phase = Phase::Finished;
        }
    }

    /// A partition is no more. Gives its number if it was being read.
    pub(super) fn lose(&mut self, partition: &TopicPartition) -> Option<usize> {
        self.restored.remove(partition);
        let is_lost = |started: &StartedPartition| {
            started.partition == *partition && started.phase != Phase::Gone
        };
        let number = self.started.iter().position(is_lost)?;
        self.started[number].phase = Phase::Gone;
        Some(number)
    }

    /// Takes note of the offset after the last record of a partition.
    pub(super) fn set_latest(&mut self, number: usize, latest: i64) {
        if let Some(started) = self.started.get_mut(number) {
            started.latest = Some(latest);
        }
    }

    /// How many records are still to be read, as far as is known. Records that were deleted by compaction are counted.
    pub(super) fn pending_records(&self) -> i64 {
        let pending = |started: &StartedPartition| {
            let end = started.end.or(started.latest)?;
            Some(end.saturating_sub(started.offset).max(0))
        };
        let present = self.present();
        present.filter_map(pending).sum()
    }

    /// Whether a bounded source has nothing more to read here.
    pub(super) fn is_finished(&self) -> bool {
        self.is_discovered
            && self.restored.is_empty()
            && self
                .started
                .iter()
                .all(|started| started.phase != Phase::Reading)
    }

    /// What a checkpoint holds.
    pub(super) fn items(&self, watermarks: &PartitionWatermarks) -> Vec<SourceItem> {
        let restored = self
            .restored
            .iter()
            .map(|(partition, position)| SourceItem::of_position(partition, *position));
        let started = self.started.iter().enumerate();
        let started = started.filter(|(_, started)| started.phase != Phase::Gone);
        let started = started.map(|(number, started)| {
            let position = Position {
                offset: started.offset,
                end: started.end,
                watermark: watermarks.of(number).map(|watermark| watermark.0),
            };
            SourceItem::of_position(&started.partition, position)
        });
        restored.chain(started).collect()
    }

    /// The offsets of all partitions that are being read, for the consumer group.
    pub(super) fn offsets(&self) -> Vec<(TopicPartition, i64)> {
        let offset = |started: &StartedPartition| (started.partition.clone(), started.offset);
        self.present().map(offset).collect()
    }

    fn present(&self) -> impl Iterator<Item = &StartedPartition> {
        self.started
            .iter()
            .filter(|started| started.phase != Phase::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition {
            topic: "in".into(),
            partition: number,
        }
    }

    fn position(offset: i64, end: Option<i64>) -> Position {
        Position {
            offset,
            end,
            watermark: None,
        }
    }

    fn offsets(positions: &Positions) -> Vec<i64> {
        let offsets = positions.offsets();
        offsets.into_iter().map(|(_, offset)| offset).collect()
    }

    #[test]
    fn a_checkpoint_holds_restored_positions_before_the_broker_has_answered() {
        let restored = [
            (partition(0), position(5, None)),
            (partition(1), position(7, None)),
        ];
        let mut positions = Positions::new(restored.into());
        let watermarks = PartitionWatermarks::new(None);
        let before = positions.items(&watermarks);
        positions.start(partition(0), position(5, None));
        // The one that is being read now stands behind the other.
        let mut after = positions.items(&watermarks);
        after.reverse();
        assert_eq!(before, after);
        assert_eq!(before.len(), 2);
    }

    #[test]
    fn a_bounded_source_has_finished_when_all_that_it_found_has() {
        let mut positions = Positions::new([(partition(1), position(3, Some(9)))].into());
        positions.start(partition(0), position(0, Some(4)));
        positions.set_offset(0, 3);
        positions.finish(0);
        assert_eq!(offsets(&positions), [4], "a commit marker stands at 3");
        positions.set_discovered();
        assert!(
            !positions.is_finished(),
            "a restored partition is to be read"
        );
        positions.start(partition(1), position(3, Some(9)));
        assert!(!positions.is_finished());
        assert_eq!(positions.lose(&partition(1)), Some(1));
        assert_eq!(positions.lose(&partition(1)), None);
        assert!(positions.is_finished());
    }

    #[test]
    fn pending_is_what_lies_between_position_and_end() {
        let mut positions = Positions::new(BTreeMap::new());
        positions.start(partition(0), position(10, None));
        assert_eq!(positions.pending_records(), 0, "nothing is known yet");
        positions.set_latest(0, 25);
        positions.start(partition(1), position(0, Some(4)));
        positions.set_latest(1, 100);
        assert_eq!(positions.pending_records(), 15 + 4);
        positions.set_offset(0, 30);
        assert_eq!(positions.pending_records(), 4);
    }
}
