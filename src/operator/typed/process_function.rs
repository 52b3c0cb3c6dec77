//! What a user writes to keep any state by key and to be called at times: a process function, and what it is given.

use crate::error::Result;
use crate::model::{Batch, EventTime, Row};
use crate::operator::contract::{OperatorContext, Output};
use crate::state::{StateKey, Timer, Timers};

/// How many rows one batch of what a process function emits holds at most.
const BATCH_ROWS_MAX: usize = 1024;

/// A function of keyed rows and of timers, for [`super::KeyedProcess`].
///
/// It keeps its state in what it registers in [`ProcessFunction::open`], not in fields of its own: a field is lost with
/// the process, and is shared by all keys of the subtask.
pub trait ProcessFunction {
    /// The rows that come in.
    type In: Row;
    /// What they are keyed by.
    type Key: StateKey + Ord + Clone;
    /// The rows that go out.
    type Out: Row;

    /// Called once, before anything else. Registers keyed state.
    ///
    /// # Errors
    /// Fails the job.
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    /// Works off one row.
    ///
    /// # Errors
    /// Fails the job.
    fn process(
        &mut self,
        key: &Self::Key,
        row: Self::In,
        context: &mut ProcessContext<'_, Self::Key, Self::Out>,
    ) -> Result<()>;

    /// A timer of this key has fired, and is no longer registered. One that is registered here and is due already fires
    /// too before anything else comes; to do so each time would never end.
    ///
    /// # Errors
    /// Fails the job.
    fn on_timer(
        &mut self,
        key: &Self::Key,
        timer: Timer,
        context: &mut ProcessContext<'_, Self::Key, Self::Out>,
    ) -> Result<()>;
}

/// What a process function can do for the key at hand: emit rows, register timers, learn the time.
pub struct ProcessContext<'a, K: StateKey, U> {
    pub(super) key: &'a K,
    pub(super) timers: &'a mut Timers<K>,
    pub(super) rows: &'a mut Collector<U>,
    pub(super) output: &'a mut Output,
    pub(super) now: Now,
}

/// The time in both domains.
#[derive(Clone, Copy)]
pub(super) struct Now {
    /// How far event time has come.
    pub(super) watermark: EventTime,
    /// What the clock said when the batch came, or the timers.
    pub(super) processing_time: i64,
}

/// Gathers rows into batches of a bounded size.
pub(super) struct Collector<U> {
    rows: Vec<U>,
}

impl<K: StateKey + Ord + Clone, U: Row> ProcessContext<'_, K, U> {
    /// Emits a row.
    pub fn emit(&mut self, row: U) {
        self.rows.push(row, self.output);
    }

    /// The watermark: no record earlier than it will follow. [`EventTime::MIN`] before the first one, and so after a
    /// restore too, as no checkpoint holds it.
    pub fn watermark(&self) -> EventTime {
        self.now.watermark
    }

    /// The time by the clock, in milliseconds since the Unix epoch. It is read once a batch.
    pub fn processing_time(&self) -> i64 {
        self.now.processing_time
    }

    /// Registers an event-time timer: it fires when no record earlier than `time` will follow; one of exactly that time
    /// still may. All of them fire when the input ends. A key has one timer for each time, however often it is
    /// registered.
    ///
    /// # Errors
    /// When there is no room.
    pub fn register_event_time(&mut self, time: EventTime) -> Result<()> {
        self.timers.register_event_time(self.key, time).map(drop)
    }

    /// Takes an event-time timer back, if there is one.
    ///
    /// # Errors
    /// When there is no room.
    pub fn delete_event_time(&mut self, time: EventTime) -> Result<()> {
        self.timers.delete_event_time(self.key, time).map(drop)
    }

    /// Registers a processing-time timer: it fires at `unix_millis` by the clock, or as soon after as the subtask gets
    /// to it; never when the input has ended before. A key has one timer for each time.
    ///
    /// # Errors
    /// When there is no room.
    pub fn register_processing_time(&mut self, unix_millis: i64) -> Result<()> {
        let registered = self.timers.register_processing_time(self.key, unix_millis);
        registered.map(drop)
    }

    /// Takes a processing-time timer back, if there is one.
    ///
    /// # Errors
    /// When there is no room.
    pub fn delete_processing_time(&mut self, unix_millis: i64) -> Result<()> {
        let deleted = self.timers.delete_processing_time(self.key, unix_millis);
        deleted.map(drop)
    }
}

impl<U: Row> Collector<U> {
    fn push(&mut self, row: U, output: &mut Output) {
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS_MAX {
            self.flush(output);
        }
    }

    /// Emits what has gathered.
    pub(super) fn flush(&mut self, output: &mut Output) {
        output.emit(Batch::from_rows(std::mem::take(&mut self.rows)));
    }
}

impl<U> Default for Collector<U> {
    fn default() -> Self {
        Self { rows: Vec::new() }
    }
}
