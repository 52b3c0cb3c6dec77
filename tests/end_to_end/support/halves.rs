//! A source that emits a part of its numbers and then waits, so that a test knows what the state holds when it stops.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use floodmark::error::Result;
use floodmark::model::{Batch, CheckpointId};
use floodmark::operator::{OperatorContext, OperatorSnapshot, Output, Source, SourceStatus};
use serde_json::json;

/// Emits the numbers from where the last run ended up to `end`, all in its first subtask.
pub(crate) struct Halves {
    next: u64,
    end: u64,
    /// Whether nothing will follow.
    is_last: bool,
    /// Is told once, when all is emitted.
    emitted: Option<SyncSender<()>>,
}

impl Halves {
    pub(crate) fn new(end: u64, is_last: bool, emitted: &SyncSender<()>) -> Self {
        Self {
            next: 0,
            end,
            is_last,
            emitted: Some(emitted.clone()),
        }
    }
}

impl Source for Halves {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        if context.subtask > 0 {
            self.next = self.end;
            self.emitted = None;
        } else if let Some(restored) = context.restored {
            let positions = restored.items().filter_map(|item| item.as_u64());
            self.next = positions.min().unwrap_or_default();
        }
        Ok(())
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        if self.next < self.end {
            let end = self.end.min(self.next + rows_max as u64);
            output.emit(Batch::from_rows((self.next..end).collect::<Vec<u64>>()));
            self.next = end;
            return Ok(SourceStatus::Ready);
        }
        if let Some(emitted) = self.emitted.take() {
            // Not every test waits for it.
            let _ = emitted.send(());
        }
        if self.is_last {
            return Ok(SourceStatus::Finished);
        }
        Ok(SourceStatus::Wait(Duration::from_secs(3600)))
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot {
            items: vec![json!(self.next)],
            ..OperatorSnapshot::default()
        })
    }
}
