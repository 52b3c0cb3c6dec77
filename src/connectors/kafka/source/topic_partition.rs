//! A partition of a topic, and which subtask reads it.

use std::fmt;
use std::sync::Arc;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TopicPartition {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
}

impl TopicPartition {
    /// The subtask that reads this partition, of `parallelism` ones. It follows from the name alone, so every subtask
    /// knows it without asking, and partitions that are found later change nothing for the others.
    ///
    /// A topic's partitions go round all subtasks, and topics begin at different ones, as in Flink's Kafka connector.
    pub(super) fn owner(&self, parallelism: usize) -> usize {
        let hash = self.topic.encode_utf16().fold(0_i32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(i32::from(unit))
        });
        let start = (hash.wrapping_mul(31) & i32::MAX) as usize % parallelism;
        (start + self.partition.unsigned_abs() as usize) % parallelism
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(topic: &str, partition: i32, parallelism: usize) -> usize {
        let topic = Arc::from(topic);
        TopicPartition { topic, partition }.owner(parallelism)
    }

    #[test]
    fn the_owner_is_that_of_flink() {
        // Java: "a".hashCode() is 97, "signals".hashCode() is 2088265419, and its product with 31 wraps around.
        assert_eq!(owner("a", 0, 10), 97 * 31 % 10);
        let wrapped = (2_088_265_419_i64 * 31) as i32 & i32::MAX;
        assert_eq!(owner("signals", 0, 1000), wrapped as usize % 1000);
        assert_eq!(owner("signals", 5, 1000), (wrapped as usize + 5) % 1000);
    }

    #[test]
    fn the_partitions_of_a_topic_are_spread_evenly() {
        for parallelism in 1..7 {
            let mut counts = vec![0; parallelism];
            (0..12).for_each(|partition| counts[owner("t", partition, parallelism)] += 1);
            let most = counts.iter().max().unwrap();
            let least = counts.iter().min().unwrap();
            assert!(most - least <= 1, "{counts:?}");
        }
    }
}
