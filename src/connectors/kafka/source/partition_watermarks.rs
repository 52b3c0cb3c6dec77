//! The watermark of a subtask, from those of its partitions.

use std::time::Duration;

use crate::model::EventTime;

/// The watermarks of the partitions that one subtask reads. The smallest goes on: records of one partition are in
/// order, but one partition can be far ahead of another.
#[derive(Debug)]
pub(super) struct PartitionWatermarks {
    idle_timeout: Option<Duration>,
    /// By the partition's number; nothing for one that counts no more.
    partitions: Vec<Option<PartitionWatermark>>,
}

#[derive(Debug)]
struct PartitionWatermark {
    watermark: EventTime,
    /// When it last had a record, or was started.
    last_record: Duration,
}

/// What the partitions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Combined {
    /// Nothing earlier than this will come from any of them.
    Active(EventTime),
    /// There is no partition that has anything to say.
    Idle,
}

impl PartitionWatermarks {
    /// Partitions without records for `idle_timeout` do not count until they have some again.
    pub(super) fn new(idle_timeout: Option<Duration>) -> Self {
        Self {
            idle_timeout,
            partitions: Vec::new(),
        }
    }

    /// Another partition, which has come to `watermark`.
    pub(super) fn add(&mut self, watermark: EventTime, now: Duration) {
        self.partitions.push(Some(PartitionWatermark {
            watermark,
            last_record: now,
        }));
    }

    /// A partition had records, with this watermark if any had a time.
    pub(super) fn observe(
        &mut self,
        partition: usize,
        watermark: Option<EventTime>,
        now: Duration,
    ) {
        if let Some(Some(state)) = self.partitions.get_mut(partition) {
            state.last_record = now;
            state.watermark = state.watermark.max(watermark.unwrap_or(EventTime::MIN));
        }
    }

    /// A partition has ended and counts no more.
    pub(super) fn remove(&mut self, partition: usize) {
        if let Some(state) = self.partitions.get_mut(partition) {
            *state = None;
        }
    }

    /// How far one partition has come.
    pub(super) fn of(&self, partition: usize) -> Option<EventTime> {
        let state = self.partitions.get(partition)?.as_ref()?;
        (state.watermark > EventTime::MIN).then_some(state.watermark)
    }

    /// The smallest watermark of those that count.
    pub(super) fn combined(&self, now: Duration) -> Combined {
        let is_idle = |state: &&PartitionWatermark| {
            let silence = now.saturating_sub(state.last_record);
            self.idle_timeout.is_some_and(|timeout| silence >= timeout)
        };
        let active = self.partitions.iter().flatten();
        let active = active.filter(|state| !is_idle(state));
        match active.map(|state| state.watermark).min() {
            Some(watermark) => Combined::Active(watermark),
            None => Combined::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_slowest_partition_holds_the_watermark_back() {
        let mut watermarks = PartitionWatermarks::new(None);
        assert_eq!(watermarks.combined(at(0)), Combined::Idle);
        watermarks.add(EventTime::MIN, at(0));
        watermarks.add(EventTime(5), at(0));
        watermarks.observe(0, Some(EventTime(100)), at(1));
        assert_eq!(
            watermarks.combined(at(1_000)),
            Combined::Active(EventTime(5))
        );
        watermarks.observe(1, Some(EventTime(90)), at(2));
        watermarks.observe(1, Some(EventTime(80)), at(2));
        watermarks.observe(1, None, at(2));
        assert_eq!(watermarks.combined(at(2)), Combined::Active(EventTime(90)));
        assert_eq!(watermarks.of(1), Some(EventTime(90)));
        watermarks.remove(1);
        assert_eq!(watermarks.combined(at(2)), Combined::Active(EventTime(100)));
        watermarks.remove(0);
        assert_eq!(watermarks.combined(at(2)), Combined::Idle);
    }

    #[test]
    fn a_partition_without_records_is_idle_until_it_has_one() {
        let mut watermarks = PartitionWatermarks::new(Some(at(10)));
        watermarks.add(EventTime::MIN, at(0));
        watermarks.add(EventTime::MIN, at(0));
        watermarks.observe(0, Some(EventTime(100)), at(9));
        let held_back = Combined::Active(EventTime::MIN);
        assert_eq!(watermarks.combined(at(9)), held_back);
        assert_eq!(
            watermarks.combined(at(10)),
            Combined::Active(EventTime(100))
        );
        assert_eq!(watermarks.combined(at(19)), Combined::Idle);
        watermarks.observe(1, Some(EventTime(7)), at(20));
        assert_eq!(watermarks.combined(at(20)), Combined::Active(EventTime(7)));
    }
}
