//! What a scheme must be able to do.

use crate::generator::{Keys, Row};
use crate::output::Output;

/// What a scheme is told when it is made.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) keys: Keys,
    pub(crate) huge_pages: bool,
    /// What may be copied after each batch, in records.
    pub(crate) slice_records: usize,
}

/// Sums by key, and a way of making snapshots of them.
///
/// Epochs are counted from 1; checkpoint 0 is what was loaded at first. A barrier comes only after the checkpoint before
/// is durable, so at most two epochs matter at any time: the current one, and the one that is being written.
pub(crate) trait Scheme: Sized {
    /// How many records of chunks the scheme needs at most, for so many records of state.
    fn pool_records(records: usize) -> usize;

    /// Loads all keys with zeros, and hands checkpoint 0 to the writer.
    fn new(settings: Settings, output: &mut Output) -> Self;

    /// Works off a batch.
    fn update(&mut self, rows: &[Row], output: &mut Output);

    /// Ends the epoch. What the checkpoint does not do here it does in slices.
    fn barrier(&mut self, output: &mut Output);

    /// Goes on with what is to be done between batches.
    fn slice(&mut self, output: &mut Output);

    /// The sum of a key.
    fn sum(&self, key: u64) -> i64;
}
