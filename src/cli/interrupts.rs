//! What a signal means, by how many there were before.

/// Counts the signals that ask the process to end.
#[derive(Debug, Default)]
pub(super) struct Interrupts {
    count: usize,
}

/// What to do about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Take a last checkpoint, then end.
    Stop,
    /// End without a checkpoint.
    Cancel,
    /// Wait for nothing any more.
    Leave,
}

impl Interrupts {
    /// The reaction to one more signal.
    pub(super) fn next(&mut self) -> Reaction {
        self.count += 1;
        match self.count {
            1 => Reaction::Stop,
            2 => Reaction::Cancel,
            _ => Reaction::Leave,
        }
    }
}
