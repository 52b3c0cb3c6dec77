//! The queue between a base that is copied and the store, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// Copying stops when so many bytes wait for the store. A slice that was begun is copied to its end: it can be one sub-table
/// more.
pub(super) const QUEUED_BYTES_MAX: u64 = 16 << 20;

/// What was copied of a base and is not stored yet.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Something has changed that the store's end may wait for.
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    chunks: VecDeque<Bytes>,
    bytes: u64,
    end: Option<End>,
}

/// How a base has come to its end.
#[derive(Clone, Copy)]
pub(super) enum End {
    Complete,
    GivenUp,
}

/// What comes next of a base.
pub(super) enum Part {
    Chunk(Bytes),
    End(End),
}

impl Queue {
    /// More is there.
    pub(super) fn push(&self, chunk: Bytes) {
        let mut waiting = self.lock();
        waiting.bytes += chunk.len() as u64;
        waiting.chunks.push_back(chunk);
        self.changed.notify_one();
    }

    /// That was all, in one way or another.
    pub(super) fn end(&self, end: End) {
        self.lock().end = Some(end);
        self.changed.notify_one();
    }

    /// Whether more is to be copied now.
    pub(super) fn has_room(&self) -> bool {
        self.lock().bytes < QUEUED_BYTES_MAX
    }

    /// Waits for what comes next.
    pub(super) async fn next(&self) -> Part {
        loop {
            if let Some(part) = self.lock().take() {
                return part;
            }
            // One that came in between is not missed: it lets the next wait pass.
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Nobody wants the rest of a base that was given up.
    fn take(&mut self) -> Option<Part> {
        if let Some(End::GivenUp) = self.end {
            return Some(Part::End(End::GivenUp));
        }
        let Some(chunk) = self.chunks.pop_front() else {
            return self.end.map(Part::End);
        };
        self.bytes -= chunk.len() as u64;
        Some(Part::Chunk(chunk))
    }
}
