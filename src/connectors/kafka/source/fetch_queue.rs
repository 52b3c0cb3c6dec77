//! Between the thread that fetches records and the subtask that works them off: what was fetched, and what is asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::chunk::Chunk;
use super::item::Position;
use super::topic_partition::TopicPartition;
use crate::channel::Wake;
use crate::error::Error;

/// What the fetching thread has to tell, in order.
#[derive(Debug)]
pub(super) enum FetchEvent {
    /// A partition is read from now on; it has the next number.
    Started(TopicPartition, Position),
    /// All partitions that are there have been started.
    Discovered,
    /// Records.
    Records(Chunk),
    /// A bounded partition has come to its end.
    Reached(usize),
    /// The offset that was to be read is gone, and the partition goes on at this one.
    Reset(usize, i64),
    /// A partition is no more.
    Gone(TopicPartition),
    /// The offsets after the last records of partitions.
    Ends(Vec<(usize, i64)>),
    /// The thread has ended.
    Failed(Error),
}

/// What the thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing: there is more to do.
    Nothing,
    /// Records, or this time.
    Arrival(Duration),
    /// Room for more, or this time.
    Room(Duration),
}

/// The queue. Its bounds count rows and bytes: it takes more as long as neither is reached, so it holds at most a chunk
/// beyond them.
pub(super) struct FetchQueue {
    state: Mutex<QueueState>,
    /// Something has changed that the thread waits for.
    changed: Condvar,
    rows_max: usize,
    bytes_max: usize,
    wake: Arc<dyn Wake>,
}

#[derive(Default)]
struct QueueState {
    events: VecDeque<FetchEvent>,
    rows: usize,
    bytes: usize,
    /// The group's offsets to be set. Of several the last ones are enough.
    commit: Option<Vec<(TopicPartition, i64)>>,
    has_arrived: bool,
    is_stopped: bool,
}

impl FetchQueue {
    /// An empty queue. `wake` makes the subtask look.
    pub(super) fn new(rows_max: usize, bytes_max: usize, wake: Arc<dyn Wake>) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            rows_max,
            bytes_max,
            wake,
        }
    }

    /// The thread has something to tell.
    pub(super) fn push(&self, event: FetchEvent) {
        let mut state = self.lock();
        if let FetchEvent::Records(chunk) = &event {
            state.rows += chunk.len();
            state.bytes += chunk.bytes();
        }
        state.events.push_back(event);
        drop(state);
        self.wake.wake();
    }

    /// The subtask takes the next event.
    pub(super) fn pop(&self) -> Option<FetchEvent> {
        let mut state = self.lock();
        let event = state.events.pop_front()?;
        if let FetchEvent::Records(chunk) = &event {
            let was_full = !self.has_room_in(&state);
            state.rows -= chunk.len();
            state.bytes -= chunk.bytes();
            if was_full && self.has_room_in(&state) {
                self.changed.notify_one();
            }
        }
        Some(event)
    }

    /// Whether the thread may push more records.
    pub(super) fn has_room(&self) -> bool {
        self.has_room_in(&self.lock())
    }

    /// The subtask asks for the group's offsets to be set.
    pub(super) fn request_commit(&self, offsets: Vec<(TopicPartition, i64)>) {
        self.lock().commit = Some(offsets);
        self.changed.notify_one();
    }

    /// The offsets that are to be set.
    pub(super) fn take_commit(&self) -> Option<Vec<(TopicPartition, i64)>> {
        self.lock().commit.take()
    }

    /// Something has come for the client. Called from threads of librdkafka.
    pub(super) fn arrive(&self) {
        self.lock().has_arrived = true;
        self.changed.notify_one();
    }

    /// The subtask ends.
    pub(super) fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_one();
    }

    /// Whether the subtask has ended.
    pub(super) fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// Waits for what the thread needs, for a commit to be made, or for the end.
    pub(super) fn wait(&self, wait: Wait) {
        let (duration, for_room) = match wait {
            Wait::Nothing => return,
            Wait::Arrival(duration) => (duration, false),
            Wait::Room(duration) => (duration, true),
        };
        let is_over = |state: &QueueState| {
            let has_come = match for_room {
                true => self.has_room_in(state),
                false => state.has_arrived,
            };
            has_come || state.commit.is_some() || state.is_stopped
        };
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), duration, |state| !is_over(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // Whatever comes from now on is news: the client is asked next.
        state.has_arrived = false;
    }

    fn has_room_in(&self, state: &QueueState) -> bool {
        state.rows < self.rows_max && state.bytes < self.bytes_max
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // Nobody panics with the lock in hand.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::NoWake;
    use crate::connectors::kafka::source::chunk::Record;

    const LONG: Duration = Duration::from_secs(1_000);

    fn chunk(rows: usize, value: &[u8]) -> FetchEvent {
        let mut chunk = Chunk::of(0);
        for offset in 0..rows {
            let record = Record {
                offset: offset as i64,
                timestamp: None,
                key: None,
                value: Some(value),
            };
            chunk.push(record, []);
        }
        FetchEvent::Records(chunk)
    }

    #[test]
    fn the_queue_is_full_by_rows_or_by_bytes() {
        let queue = FetchQueue::new(10, 100, NoWake::shared());
        queue.push(chunk(9, b""));
        assert!(queue.has_room());
        queue.push(chunk(1, b""));
        assert!(!queue.has_room());
        queue.pop();
        assert!(queue.has_room());
        queue.push(chunk(1, &[0; 100]));
        assert!(!queue.has_room());
        queue.push(FetchEvent::Discovered);
        queue.pop();
        queue.pop();
        assert!(queue.has_room());
        assert!(matches!(queue.pop(), Some(FetchEvent::Discovered)));
        assert!(queue.pop().is_none());
    }

    #[test]
    fn the_thread_does_not_wait_for_what_is_there() {
        let queue = FetchQueue::new(1, 100, NoWake::shared());
        queue.arrive();
        queue.wait(Wait::Arrival(LONG));
        queue.wait(Wait::Room(LONG));
        queue.request_commit(Vec::new());
        queue.wait(Wait::Arrival(LONG));
        assert_eq!(queue.take_commit(), Some(Vec::new()));
        assert_eq!(queue.take_commit(), None);
        queue.push(chunk(1, b""));
        queue.stop();
        queue.wait(Wait::Room(LONG));
        assert!(queue.is_stopped());
    }

    #[test]
    fn room_that_the_subtask_makes_ends_the_wait() {
        let queue = FetchQueue::new(1, 100, NoWake::shared());
        queue.push(chunk(1, b""));
        std::thread::scope(|scope| {
            scope.spawn(|| queue.pop());
            queue.wait(Wait::Room(LONG));
        });
        assert!(queue.has_room());
    }
}
