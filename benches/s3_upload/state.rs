//! What is uploaded.

use bytes::Bytes;

/// The size of the chunks that state comes in.
const CHUNK_BYTES: usize = 256 << 10;

/// How much memory is behind all of it.
const DISTINCT_BYTES: usize = 64 << 20;

/// The state of some subtasks.
pub(crate) struct State {
    chunks: Vec<Bytes>,
    chunks_per_subtask: usize,
    pub(crate) parallelism: usize,
}

impl State {
    pub(crate) fn new(bytes: u64, parallelism: usize) -> Self {
        let mut content = vec![0; DISTINCT_BYTES];
        fastrand::Rng::with_seed(1).fill(&mut content);
        let content = Bytes::from(content);
        let starts = (0..DISTINCT_BYTES).step_by(CHUNK_BYTES);
        let chunks = starts.map(|start| content.slice(start..start + CHUNK_BYTES));
        Self {
            chunks: chunks.collect(),
            chunks_per_subtask: (bytes as usize / CHUNK_BYTES).div_ceil(parallelism),
            parallelism,
        }
    }

    /// How many bytes it has in all.
    pub(crate) fn bytes(&self) -> u64 {
        (self.parallelism * self.chunks_per_subtask * CHUNK_BYTES) as u64
    }

    /// The state of one subtask.
    pub(crate) fn subtask(&self) -> impl Iterator<Item = Bytes> {
        let chunks = self.chunks.iter().cycle();
        chunks.take(self.chunks_per_subtask).cloned()
    }

    /// All of it, in pieces of about so many bytes.
    pub(crate) fn pieces(&self, bytes: usize) -> Vec<Vec<Bytes>> {
        let all: Vec<Bytes> = (0..self.parallelism).flat_map(|_| self.subtask()).collect();
        let pieces = all.chunks(bytes / CHUNK_BYTES);
        pieces.map(<[Bytes]>::to_vec).collect()
    }
}
