//! Bases that are stored while they are copied: the subtask's end of the way, and the store's.
//!
//! A base is as large as the state. One that was copied whole before a barrier took it along would need that much memory
//! again, and the checkpoint would last until all of it is uploaded. So a large one is stored as it is copied, beside all
//! checkpoints, and copying waits when the store does not keep up. The barrier after that finds it durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use self::queue::{End, Part, Queue};
use super::manifest::Piece;
use super::store::CheckpointStore;
use crate::error::Error;
use crate::model::SubtaskId;
use crate::state::{BaseOutlet, BaseStream, BaseWay, StreamProgress};
use crate::storage::{ObjectName, StorageError};

/// Records come while a base is copied: it is taken to be so many times as large as the state was when it began.
const GROWTH_MAX: u64 = 2;

/// What becomes of the bases of one subtask that are streamed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamedBases(Arc<Mutex<Bases>>);

#[derive(Debug, Default)]
struct Bases {
    next_number: usize,
    /// Whether one is on its way to the store.
    is_busy: bool,
    /// Those that somebody still wants.
    fates: BTreeMap<usize, Fate>,
    /// Stored in vain.
    useless: Vec<ObjectName>,
}

#[derive(Debug)]
enum Fate {
    UnderWay,
    Stored(Piece),
    Failed,
}

impl Bases {
    /// Begins one, unless another is on its way.
    fn begin(&mut self) -> Option<usize> {
        if std::mem::replace(&mut self.is_busy, true) {
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.fates.insert(number, Fate::UnderWay);
        Some(number)
    }

    /// The store is done with it: it is durable as this piece, or not at all, and this is `left` of it.
    fn on_done(&mut self, number: usize, piece: Option<Piece>, left: Vec<ObjectName>) {
        self.is_busy = false;
        self.useless.extend(left);
        match (self.fates.get_mut(&number), piece) {
            (Some(fate @ Fate::UnderWay), Some(piece)) => *fate = Fate::Stored(piece),
            (Some(fate), None) => *fate = Fate::Failed,
            (_, Some(piece)) => self.useless.push(piece.object),
            (None, None) => {}
        }
    }

    fn progress(&self, number: usize) -> StreamProgress {
        match self.fates.get(&number) {
            Some(Fate::UnderWay) => StreamProgress::UnderWay,
            Some(Fate::Stored(_)) => StreamProgress::Stored,
            Some(Fate::Failed) | None => StreamProgress::Failed,
        }
    }

    fn give_up(&mut self, number: usize) {
        if let Some(Fate::Stored(piece)) = self.fates.remove(&number) {
            self.useless.push(piece.object);
        }
    }
}

impl StreamedBases {
    /// Gives the piece that a durable base is, once.
    pub(super) fn take(&self, number: usize) -> Option<Piece> {
        match self.lock().fates.remove(&number) {
            Some(Fate::Stored(piece)) => Some(piece),
            Some(Fate::UnderWay | Fate::Failed) | None => None,
        }
    }

    /// Gives the objects that were stored in vain, once.
    pub(super) fn take_useless(&self) -> Vec<ObjectName> {
        std::mem::take(&mut self.lock().useless)
    }

    fn lock(&self) -> MutexGuard<'_, Bases> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the way where bases come from.
struct Outlet {
    /// Smaller bases stay in memory: an object that is begun beside a checkpoint costs more than they do.
    bytes_min: u64,
    bases: StreamedBases,
    jobs: mpsc::Sender<Job>,
}

/// One base, at the store's end.
struct Job {
    number: usize,
    /// About how many bytes will come.
    bytes: u64,
    queue: Arc<Queue>,
}

/// One base, at the subtask's end.
struct Stream {
    number: usize,
    queue: Arc<Queue>,
    bases: StreamedBases,
    is_handed_over: bool,
}

/// The end of the way where bases are stored.
pub struct BaseUploads {
    store: CheckpointStore,
    subtask: SubtaskId,
    nonce: u64,
    bases: StreamedBases,
    jobs: mpsc::Receiver<Job>,
}

/// Both ends of a way for bases of at least `bytes_min`, one at a time.
pub(super) fn way(
    bytes_min: u64,
    store: CheckpointStore,
    subtask: SubtaskId,
    nonce: u64,
    bases: &StreamedBases,
) -> (Arc<dyn BaseOutlet>, BaseUploads) {
    let (sender, jobs) = mpsc::channel(1);
    let outlet = Outlet {
        bytes_min,
        bases: bases.clone(),
        jobs: sender,
    };
    let uploads = BaseUploads {
        store,
        subtask,
        nonce,
        bases: bases.clone(),
        jobs,
    };
    (Arc::new(outlet), uploads)
}

impl BaseOutlet for Outlet {
    fn begin(&self, bytes: u64) -> BaseWay {
        if bytes < self.bytes_min {
            return BaseWay::Memory;
        }
        let Some(number) = self.bases.lock().begin() else {
            return BaseWay::Later;
        };
        let queue = Arc::<Queue>::default();
        let job = Job {
            number,
            bytes: bytes.saturating_mul(GROWTH_MAX),
            queue: Arc::clone(&queue),
        };
        let stream = Stream {
            number,
            queue,
            bases: self.bases.clone(),
            is_handed_over: false,
        };
        match self.jobs.try_send(job) {
            Ok(()) => BaseWay::Stream(Box::new(stream)),
            // There is room, since no other is on its way: the job is ending, and no base begins any more.
            Err(_) => BaseWay::Later,
        }
    }
}

impl BaseStream for Stream {
    fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    fn push(&mut self, chunk: Bytes) {
        self.queue.push(chunk);
    }

    fn end(&mut self) {
        self.queue.end(End::Complete);
    }

    fn progress(&self) -> StreamProgress {
        self.bases.lock().progress(self.number)
    }

    fn hand_over(mut self: Box<Self>) -> usize {
        self.is_handed_over = true;
        self.number
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.is_handed_over {
            // Of what is on its way nothing more is stored.
            self.queue.end(End::GivenUp);
            self.bases.lock().give_up(self.number);
        }
    }
}

impl BaseUploads {
    /// Stores one base after the other, until the subtask is gone; then it deletes what no snapshot has heard of.
    pub async fn run(mut self) {
        while let Some(job) = self.jobs.recv().await {
            let object = ObjectName::of_streamed_base(&self.subtask, self.nonce, job.number);
            let piece = match self.store_base(&object, &job).await {
                Ok(piece) => piece,
                Err(error) => {
                    let (subtask, reason) = (&self.subtask, Error::from(error).full_message());
                    warn!(%subtask, reason, "a base could not be stored: another is copied after the next barrier");
                    None
                }
            };
            let left = match &piece {
                Some(piece) => {
                    let (subtask, bytes) = (&self.subtask, piece.length);
                    debug!(%subtask, bytes, "a base was stored while it was copied");
                    Vec::new()
                }
                None => self.store.remove_objects(vec![object]).await,
            };
            self.bases.lock().on_done(job.number, piece, left);
        }
        let useless = self.bases.take_useless();
        if !useless.is_empty() {
            // What stays of them is swept up by the next start.
            self.store.remove_objects(useless).await;
        }
    }

    /// Stores a base as it comes. Gives nothing when it was given up.
    async fn store_base(
        &self,
        object: &ObjectName,
        job: &Job,
    ) -> Result<Option<Piece>, StorageError> {
        let path = self.store.paths.object(object);
        let mut writer = self.store.blobs.stream_to(&path, job.bytes).await?;
        let written = loop {
            match job.queue.next().await {
                Part::Chunk(chunk) => match writer.push(chunk).await {
                    Ok(()) => {}
                    Err(error) => break Err(error),
                },
                Part::End(End::GivenUp) => break Ok(()),
                Part::End(End::Complete) => {
                    writer.end_section();
                    let sections = writer.close().await?;
                    let section = sections.into_iter().next();
                    return Ok(section.map(|section| Piece::of_section(object, section)));
                }
            }
        };
        writer.abort().await;
        written.map(|()| None)
    }
}

mod queue;
#[cfg(test)]
mod tests;
