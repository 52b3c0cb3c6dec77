//! Which parts a checkpoint knows, by their numbers.

use std::collections::BTreeMap;

use super::part::Part;

/// The number that each subtask's next part has at a checkpoint.
#[derive(Debug, Default)]
pub(super) struct PartNumbers(BTreeMap<usize, u64>);

impl PartNumbers {
    /// The highest of them: from there on no subtask has begun a part.
    pub(super) fn next_of_all(&self) -> u64 {
        self.0.values().copied().max().unwrap_or(0)
    }

    /// Whether a part was begun after the checkpoint.
    pub(super) fn is_later(&self, part: Part) -> bool {
        // A subtask that the checkpoint does not know begins at the highest number of all, in every restore.
        let next = self.0.get(&part.subtask).copied();
        part.sequence >= next.unwrap_or_else(|| self.next_of_all())
    }
}

/// From subtasks and the numbers of their next parts.
impl FromIterator<(usize, u64)> for PartNumbers {
    fn from_iter<I: IntoIterator<Item = (usize, u64)>>(numbers: I) -> Self {
        Self(numbers.into_iter().collect())
    }
}
