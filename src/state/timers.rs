//! Timers: for each key any number of times at which it wants to be called, in event time and in processing time.
//!
//! A timer is an entry of an entry state, so it is in every snapshot, belongs to the key group of its key, and moves with it
//! when the parallelism changes. What the state has no order for is kept beside it: an index of all timers by time, made
//! anew by a scan when the state was restored. It holds a copy of every key.

use std::collections::BTreeSet;

use super::archive::{StateKey, deserialise};
use super::backend::KeyedStateBackend;
use super::entry_state::EntryState;
use crate::error::Result;
use crate::model::EventTime;

/// A time at which a key wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// When no record earlier than this will follow: when the watermark has reached it.
    EventTime(EventTime),
    /// When the clock says so: milliseconds since the Unix epoch.
    ProcessingTime(i64),
}

/// The timers of all keys of a subtask.
///
/// A key has at most one timer for each time of each domain: to register it again changes nothing. Timers that are due
/// at once come in the order of their times, and those of one time in the order of their keys. A timer that was due when
/// it was restored is due as soon as the time is known again.
///
/// All operations fail with [`crate::error::ErrorKind::Bug`] when the key belongs to another subtask, and with
/// [`crate::error::ErrorKind::Environment`] when there is no room.
///
/// ```
/// use floodmark::error::Result;
/// use floodmark::model::EventTime;
/// use floodmark::operator::OperatorContext;
/// use floodmark::state::Timers;
///
/// fn open(context: &mut OperatorContext<'_>) -> Result<Timers<u64>> {
///     let mut timers = context.keyed_state.timers::<u64>("timeouts")?;
///     timers.register_event_time(&7, EventTime(1_000))?;
///     Ok(timers)
/// }
/// ```
pub struct Timers<K: StateKey> {
    event_time: TimerQueue<K>,
    processing_time: TimerQueue<K>,
}

/// The timers of one domain.
struct TimerQueue<K: StateKey> {
    state: EntryState<K, i64, ()>,
    /// Every timer of the state.
    index: BTreeSet<(i64, K)>,
}

impl<K: StateKey + Ord + Clone> Timers<K> {
    /// Calls `key` when event time has reached `time`. Says whether the timer is a new one. One that is due already
    /// comes with the next watermark.
    ///
    /// # Errors
    /// See the type.
    pub fn register_event_time(&mut self, key: &K, time: EventTime) -> Result<bool> {
        self.event_time.register(key, time.0)
    }

    /// Takes an event-time timer back. Says whether there was one.
    ///
    /// # Errors
    /// See the type.
    pub fn delete_event_time(&mut self, key: &K, time: EventTime) -> Result<bool> {
        self.event_time.delete(key, time.0)
    }

    /// The time of the earliest event-time timer.
    pub fn next_event_time(&self) -> Option<EventTime> {
        self.event_time.next().map(EventTime)
    }

    /// Takes out the earliest event-time timer, if it is not later than `watermark`.
    ///
    /// # Errors
    /// See the type.
    pub fn pop_due_event_time(&mut self, watermark: EventTime) -> Result<Option<(K, EventTime)>> {
        let due = self.event_time.pop_due(watermark.0)?;
        Ok(due.map(|(key, time)| (key, EventTime(time))))
    }

    /// Calls `key` at `unix_millis` by the clock. Says whether the timer is a new one.
    ///
    /// # Errors
    /// See the type.
    pub fn register_processing_time(&mut self, key: &K, unix_millis: i64) -> Result<bool> {
        self.processing_time.register(key, unix_millis)
    }

    /// Takes a processing-time timer back. Says whether there was one.
    ///
    /// # Errors
    /// See the type.
    pub fn delete_processing_time(&mut self, key: &K, unix_millis: i64) -> Result<bool> {
        self.processing_time.delete(key, unix_millis)
    }

    /// The time of the earliest processing-time timer, in milliseconds since the Unix epoch.
    pub fn next_processing_time(&self) -> Option<i64> {
        self.processing_time.next()
    }

    /// Takes out the earliest processing-time timer, if it is not later than `now_unix_millis`.
    ///
    /// # Errors
    /// See the type.
    pub fn pop_due_processing_time(&mut self, now_unix_millis: i64) -> Result<Option<(K, i64)>> {
        self.processing_time.pop_due(now_unix_millis)
    }
}

impl<K: StateKey + Ord + Clone> TimerQueue<K> {
    fn open(backend: &mut KeyedStateBackend, name: &str) -> Result<Self> {
        let state = backend.entry_state::<K, i64, ()>(name)?;
        let mut timers = Vec::new();
        state.for_each(|key, time, ()| {
            timers.push((time.to_native(), deserialise::<K>(key)?));
            Ok(())
        })?;
        Ok(Self {
            state,
            index: timers.into_iter().collect(),
        })
    }

    fn register(&mut self, key: &K, time: i64) -> Result<bool> {
        let is_new = self.index.insert((time, key.clone()));
        if is_new {
            self.state.put(key, &time, &())?;
        }
        Ok(is_new)
    }

    fn delete(&mut self, key: &K, time: i64) -> Result<bool> {
        let is_there = self.index.remove(&(time, key.clone()));
        if is_there {
            self.state.remove(key, &time)?;
        }
        Ok(is_there)
    }

    fn next(&self) -> Option<i64> {
        self.index.first().map(|(time, _)| *time)
    }

    fn pop_due(&mut self, now: i64) -> Result<Option<(K, i64)>> {
        if self.next().is_none_or(|time| time > now) {
            return Ok(None);
        }
        let Some((time, key)) = self.index.pop_first() else {
            return Ok(None);
        };
        self.state.remove(&key, &time)?;
        Ok(Some((key, time)))
    }
}

impl KeyedStateBackend {
    /// Registers timers, and loads them if they were restored. They are kept in the two entry states
    /// `<name>.event_time` and `<name>.processing_time`.
    ///
    /// # Errors
    /// As for [`KeyedStateBackend::value_state`].
    pub fn timers<K: StateKey + Ord + Clone>(&mut self, name: &str) -> Result<Timers<K>> {
        Ok(Timers {
            event_time: TimerQueue::open(self, &format!("{name}.event_time"))?,
            processing_time: TimerQueue::open(self, &format!("{name}.processing_time"))?,
        })
    }
}
