//! What the subtasks of one source know of each other: how far event time has come.

use std::sync::{Arc, Mutex, PoisonError};

use super::partition_watermarks::Combined;
use crate::model::EventTime;

/// The watermarks of all subtasks of one source. A subtask that has nothing to read would hold up the event time of the
/// whole job, so it follows the others. Give the same one to all subtasks of a source, and to no other source.
#[derive(Clone, Debug, Default)]
pub struct SourcePeers(Arc<Mutex<Vec<Combined>>>);

/// One subtask's place among its peers. It is given up with the subtask.
#[derive(Debug)]
pub(super) struct Seat {
    peers: SourcePeers,
    subtask: usize,
}

impl SourcePeers {
    /// Takes the place of a subtask. As long as it has said nothing, the others do not go on without it.
    pub(super) fn join(&self, subtask: usize, parallelism: usize) -> Seat {
        self.with_all(|all| {
            all.resize(parallelism, UNKNOWN);
            all[subtask] = UNKNOWN;
        });
        Seat {
            peers: self.clone(),
            subtask,
        }
    }

    fn with_all<T>(&self, look: impl FnOnce(&mut Vec<Combined>) -> T) -> T {
        // One value after the other is set: nothing is left half done by a panic.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut all)
    }
}

/// What is to be thought of a subtask that has not spoken yet.
const UNKNOWN: Combined = Combined::Active(EventTime::MIN);

impl Seat {
    /// Says how far this subtask has come, and gives the watermark that it should emit: its own, or if it is idle that of
    /// the slowest peer that is not.
    pub(super) fn report(&self, own: Combined) -> Option<EventTime> {
        self.peers.with_all(|all| {
            if let Some(seat) = all.get_mut(self.subtask) {
                *seat = own;
            }
            let watermark = |peer: &Combined| match peer {
                Combined::Active(watermark) => Some(*watermark),
                Combined::Idle => None,
            };
            watermark(&own).or_else(|| all.iter().filter_map(watermark).min())
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.peers.with_all(|all| {
            if let Some(seat) = all.get_mut(self.subtask) {
                *seat = UNKNOWN;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_subtask_follows_the_slowest_of_the_others() {
        let peers = SourcePeers::default();
        let seats: Vec<_> = (0..3).map(|subtask| peers.join(subtask, 3)).collect();
        let active = |millis| Combined::Active(EventTime(millis));
        assert_eq!(seats[0].report(Combined::Idle), Some(EventTime::MIN));
        assert_eq!(seats[1].report(active(100)), Some(EventTime(100)));
        let silent = "subtask 2 has not spoken yet";
        assert_eq!(
            seats[0].report(Combined::Idle),
            Some(EventTime::MIN),
            "{silent}"
        );
        assert_eq!(seats[2].report(active(50)), Some(EventTime(50)));
        assert_eq!(seats[0].report(Combined::Idle), Some(EventTime(50)));
        assert_eq!(seats[2].report(Combined::Idle), Some(EventTime(100)));
        assert_eq!(
            seats[1].report(Combined::Idle),
            None,
            "nobody knows the time"
        );
    }

    #[test]
    fn another_attempt_does_not_follow_the_watermarks_of_the_last() {
        let peers = SourcePeers::default();
        let seats: Vec<_> = (0..2).map(|subtask| peers.join(subtask, 2)).collect();
        seats[1].report(Combined::Active(EventTime(100)));
        drop(seats);
        let first = peers.join(0, 2);
        assert_eq!(first.report(Combined::Idle), Some(EventTime::MIN));
        let alone = peers.join(0, 1);
        assert_eq!(
            alone.report(Combined::Idle),
            None,
            "there is no other any more"
        );
    }
}
