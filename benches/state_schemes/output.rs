//! A partition's way to its writer.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::chunk::{Chunk, Pool};
use crate::writer::{Checkpoint, Command, Piece, Writer};

/// Commands that may wait before bases are held back.
const CONGESTED_COMMANDS: usize = 64;

/// Where a scheme gets its chunks, and where its snapshots go.
pub(crate) struct Output {
    pub(crate) pool: Pool,
    commands: Sender<Command>,
    completions: Receiver<Checkpoint>,
    /// The newest checkpoint that is durable.
    durable: Option<Checkpoint>,
}

impl Output {
    pub(crate) fn new(
        pool: Pool,
        commands: Sender<Command>,
        completions: Receiver<Checkpoint>,
    ) -> Self {
        Self {
            pool,
            commands,
            completions,
            durable: None,
        }
    }

    pub(crate) fn write(&mut self, piece: Piece, mut chunks: Vec<Chunk>) {
        chunks.iter_mut().for_each(Chunk::pad);
        self.commands.send(Command::Write(piece, chunks)).unwrap();
    }

    pub(crate) fn write_shared(&mut self, piece: Piece, chunks: Vec<Arc<Chunk>>) {
        let command = Command::WriteShared(piece, chunks);
        self.commands.send(command).unwrap();
    }

    pub(crate) fn run(&mut self, task: impl FnOnce(&mut Writer<'_>) + Send + 'static) {
        self.commands.send(Command::Run(Box::new(task))).unwrap();
    }

    pub(crate) fn finish(&mut self, checkpoint: Checkpoint) {
        self.commands.send(Command::Finish(checkpoint)).unwrap();
    }

    /// Whether the writer has so much to do that what is not urgent should wait.
    pub(crate) fn is_congested(&self) -> bool {
        self.commands.len() >= CONGESTED_COMMANDS
    }

    /// The newest durable checkpoint, if there is one.
    pub(crate) fn durable(&mut self) -> Option<Checkpoint> {
        if let Some(newest) = self.completions.try_iter().last() {
            self.durable = Some(newest);
        }
        self.durable
    }

    /// Waits until the next checkpoint is durable.
    pub(crate) fn wait(&mut self) {
        self.durable = Some(self.completions.recv().unwrap());
    }
}

/// A piece that is written bit by bit.
pub(crate) struct Appender {
    piece: Piece,
    chunk: Chunk,
    records: usize,
}

impl Appender {
    pub(crate) fn new(piece: Piece, pool: &mut Pool) -> Self {
        Self {
            piece,
            chunk: pool.take(),
            records: 0,
        }
    }

    /// The chunk, with room for so many more records at least.
    #[inline]
    pub(crate) fn chunk(&mut self, room: usize, output: &mut Output) -> &mut Chunk {
        if self.chunk.room() < room {
            let full = std::mem::replace(&mut self.chunk, output.pool.take());
            self.records += full.records().len();
            output.write(self.piece, vec![full]);
        }
        &mut self.chunk
    }

    /// Records appended so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.records + self.chunk.records().len()
    }

    /// Hands over what is left.
    pub(crate) fn close(self, output: &mut Output) {
        output.write(self.piece, vec![self.chunk]);
    }
}
