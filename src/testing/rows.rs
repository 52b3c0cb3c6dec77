//! Rows that a test hands to a job, and rows that come out of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connectors::{MemoryOutput, MemorySink};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Stream, StreamBuilder};
use crate::model::{Batch, CheckpointId, EventTime, OperatorId, Row};
use crate::operator::{OperatorContext, OperatorSnapshot, Output, Source, SourceStatus};

/// How long a source without rows says that it has none: no time that passes brings any. The harness asks again whenever
/// it runs the job.
const NOTHING_FOR: Duration = Duration::MAX;

/// The input of a job under test: what is pushed here comes out of the source that [`RowsIn::add_to`] adds. Clones are
/// the same input.
///
/// All rows come from the first subtask, in the order in which they were pushed. They are kept, so that a job that is
/// restored finds again what came after its checkpoint.
pub struct RowsIn<T> {
    feed: Arc<Mutex<Feed<T>>>,
}

struct Feed<T> {
    entries: Vec<Entry<T>>,
    is_finished: bool,
}

#[derive(Clone)]
enum Entry<T> {
    Row(T),
    Watermark(EventTime),
}

struct FedSource<T> {
    input: RowsIn<T>,
    /// Whether this is the subtask that gives out the rows.
    is_first: bool,
    next: usize,
}

/// The item of operator state.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    next: usize,
}

impl<T: Row> RowsIn<T> {
    /// An input without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds rows.
    pub fn push(&self, rows: impl IntoIterator<Item = T>) {
        let entries = rows.into_iter().map(Entry::Row);
        self.lock().entries.extend(entries);
    }

    /// Says that no row earlier than this will follow.
    pub fn push_watermark(&self, watermark: EventTime) {
        self.lock().entries.push(Entry::Watermark(watermark));
    }

    /// Says that nothing will follow. The job ends when all is worked off.
    pub fn finish(&self) {
        self.lock().is_finished = true;
    }

    /// Adds a source of these rows to a job.
    pub fn add_to(&self, job: &StreamBuilder, id: impl Into<OperatorId>) -> Stream<T> {
        let input = self.clone();
        job.source(id, move || {
            Ok(FedSource {
                input: input.clone(),
                is_first: false,
                next: 0,
            })
        })
    }

    /// How many rows and watermarks were pushed.
    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Forgets what was pushed after so many rows and watermarks, and that nothing would follow.
    pub(super) fn truncate(&self, length: usize) {
        let mut feed = self.lock();
        feed.entries.truncate(length);
        feed.is_finished = false;
    }

    fn lock(&self) -> MutexGuard<'_, Feed<T>> {
        // No panic can leave the list half changed.
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for RowsIn<T> {
    fn clone(&self) -> Self {
        Self {
            feed: Arc::clone(&self.feed),
        }
    }
}

impl<T> Default for RowsIn<T> {
    fn default() -> Self {
        let feed = Feed {
            entries: Vec::new(),
            is_finished: false,
        };
        Self {
            feed: Arc::new(Mutex::new(feed)),
        }
    }
}

impl<T: Row> Source for FedSource<T> {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.is_first = context.subtask == 0;
        for item in context.restored.iter().flat_map(|state| state.items()) {
            let position = Position::deserialize(item).map_err(|error| {
                let message = format!("the checkpoint's position {item} cannot be read");
                Error::new(ErrorKind::Corrupt, message).with_source(error)
            })?;
            self.next = position.next;
        }
        Ok(())
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        if !self.is_first {
            return Ok(SourceStatus::Finished);
        }
        let feed = self.input.lock();
        let mut rows = Vec::new();
        for entry in feed.entries.iter().skip(self.next).take(rows_max) {
            self.next += 1;
            match entry {
                Entry::Row(row) => rows.push(row.clone()),
                Entry::Watermark(watermark) => {
                    output.emit(Batch::from_rows(std::mem::take(&mut rows)));
                    output.emit_watermark(*watermark);
                }
            }
        }
        output.emit(Batch::from_rows(rows));
        Ok(match self.next < feed.entries.len() {
            true => SourceStatus::Ready,
            false if feed.is_finished => SourceStatus::Finished,
            false => SourceStatus::Wait(NOTHING_FOR),
        })
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let mut items = Vec::new();
        if self.is_first {
            let position = Position { next: self.next };
            items.push(serde_json::to_value(position).map_err(|error| {
                Error::new(ErrorKind::Bug, "a position cannot be written").with_source(error)
            })?);
        }
        Ok(OperatorSnapshot {
            items,
            background: Vec::new(),
        })
    }
}

/// Adds a sink to a stream, and gives what it has committed: rows are seen there when their checkpoint is complete.
pub fn collect<T: Row>(stream: &Stream<T>, id: impl Into<OperatorId>) -> MemoryOutput<T> {
    let output = MemoryOutput::default();
    let written = output.clone();
    stream.sink(id, move || Ok(MemorySink::of_rows(&written)));
    output
}
