//! The thread of each partition that brings checkpoints to the disk.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::OFlags;

use crate::chunk::Chunk;

/// Checkpoints that could be restored at any time.
const RETAINED: usize = 2;

/// One file: what changed in an epoch, or all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Piece {
    /// The records of this epoch.
    Delta(u64),
    /// All records; the deltas from this epoch on belong on top of it.
    Base(u64),
}

impl Piece {
    pub(crate) fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Delta(epoch) => format!("delta-{epoch}"),
            Self::Base(epoch) => format!("base-{epoch}"),
        })
    }

    fn epoch(self) -> u64 {
        match self {
            Self::Delta(epoch) | Self::Base(epoch) => epoch,
        }
    }
}

/// What can be restored once it is durable: the base of an epoch, if there is one, and the deltas from that epoch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The last epoch whose changes are in it.
    pub(crate) epoch: u64,
    /// The epoch of the base and of the first delta.
    pub(crate) first_epoch: u64,
}

/// What a partition asks of its writer.
pub(crate) enum Command {
    /// Append to the piece, and give the chunks back.
    Write(Piece, Vec<Chunk>),
    /// Append to the piece chunks that are still read elsewhere.
    WriteShared(Piece, Vec<Arc<Chunk>>),
    /// Do what a scheme wants done by a second thread.
    Run(Box<dyn FnOnce(&mut Writer<'_>) + Send>),
    /// Everything that belongs to the checkpoint is written: make it durable.
    Finish(Checkpoint),
}

/// Writes pieces into files, and deletes the files that no retained checkpoint needs.
pub(crate) struct Writer<'a> {
    folder: PathBuf,
    /// Whether to write past the page cache.
    direct: bool,
    returns: Sender<Chunk>,
    completions: Sender<Checkpoint>,
    /// The files that are not durable yet.
    open: BTreeMap<Piece, File>,
    durable: Vec<Piece>,
    retained: Vec<Checkpoint>,
    /// Bytes written, for the partition to read.
    bytes: &'a AtomicU64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        folder: &Path,
        direct: bool,
        returns: Sender<Chunk>,
        completions: Sender<Checkpoint>,
        bytes: &'a AtomicU64,
    ) -> Self {
        Self {
            folder: folder.to_path_buf(),
            direct,
            returns,
            completions,
            open: BTreeMap::new(),
            durable: Vec::new(),
            retained: Vec::new(),
            bytes,
        }
    }

    /// Carries out commands until the partition is done.
    pub(crate) fn run(mut self, commands: Receiver<Command>) {
        for command in commands {
            match command {
                Command::Write(piece, chunks) => {
                    for chunk in chunks {
                        self.write(piece, chunk.bytes());
                        self.give_back(chunk);
                    }
                }
                Command::WriteShared(piece, chunks) => {
                    for chunk in chunks {
                        self.write(piece, chunk.bytes());
                    }
                }
                Command::Run(task) => task(&mut self),
                Command::Finish(checkpoint) => self.finish(checkpoint),
            }
        }
    }

    pub(crate) fn write(&mut self, piece: Piece, bytes: &[u8]) {
        self.file(piece).write_all(bytes).unwrap();
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    pub(crate) fn finish(&mut self, checkpoint: Checkpoint) {
        if checkpoint.first_epoch <= checkpoint.epoch {
            // A restore wants a file for each epoch, even if nothing changed.
            self.file(Piece::Delta(checkpoint.epoch));
        }
        for piece in [
            Piece::Delta(checkpoint.epoch),
            Piece::Base(checkpoint.first_epoch),
        ] {
            if let Some(file) = self.open.remove(&piece) {
                file.sync_data().unwrap();
                self.durable.push(piece);
            }
        }
        self.retained.push(checkpoint);
        self.clean();
        // The partition may have ended already.
        let _ = self.completions.send(checkpoint);
    }

    fn clean(&mut self) {
        let surplus = self.retained.len().saturating_sub(RETAINED);
        self.retained.drain(..surplus);
        let needed = self.retained.iter().map(|one| one.first_epoch).min();
        let needed = needed.unwrap_or_default();
        let is_old = |piece: &mut Piece| piece.epoch() < needed;
        for piece in self.durable.extract_if(.., is_old) {
            std::fs::remove_file(piece.path(&self.folder)).unwrap();
        }
    }

    fn file(&mut self, piece: Piece) -> &mut File {
        self.open.entry(piece).or_insert_with(|| {
            let flags = if self.direct {
                OFlags::DIRECT
            } else {
                OFlags::empty()
            };
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .custom_flags(flags.bits().cast_signed())
                .open(piece.path(&self.folder))
                .unwrap()
        })
    }

    pub(crate) fn give_back(&self, chunk: Chunk) {
        // The partition may have ended already; then the chunk is not needed.
        let _ = self.returns.try_send(chunk);
    }
}
