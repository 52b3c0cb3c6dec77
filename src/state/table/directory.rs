//! The directory of one key group: which sub-table a hash belongs to.

use super::sub_table::{Place, SubTable};

/// How many of a hash's bits say where in its key group a record lies. The topmost 16 say which key group it is.
const POSITION_BITS: u32 = 48;

/// The sub-tables of one key group, in the order of the hashes. Empty until the first record comes.
pub(super) struct Directory<K, V> {
    entries: Vec<SubTable<K, V>>,
    /// By how much a position is shifted to give an index.
    shift: u32,
}

impl<K, V> Default for Directory<K, V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            shift: POSITION_BITS,
        }
    }
}

impl<K, V> Directory<K, V> {
    /// The sub-table that a record with this hash belongs to.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64) -> Option<SubTable<K, V>> {
        self.entries.get(self.index(hash)).copied()
    }

    /// The directory of sub-tables that an earlier process left; nothing unless they stand for every position once.
    pub(super) fn resume(sub_tables: &[(SubTable<K, V>, Place)]) -> Option<Self> {
        let depth = sub_tables.iter().map(|(_, place)| place.depth).max()?;
        let mut entries = vec![None; 1 << depth.min(POSITION_BITS / 2)];
        let mut directory = Self::default();
        directory.set_depth(depth);
        for (sub_table, place) in sub_tables {
            let start = (place.position >> directory.shift) as usize;
            let width = 1 << (depth - place.depth);
            for entry in entries.get_mut(start..start + width)? {
                if entry.replace(*sub_table).is_some() {
                    return None;
                }
            }
        }
        directory.entries = entries.into_iter().collect::<Option<Vec<_>>>()?;
        Some(directory)
    }

    /// Whether it has no sub-table yet.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives a new directory its next sub-table.
    pub(super) fn push(&mut self, sub_table: SubTable<K, V>) {
        self.entries.push(sub_table);
    }

    /// All sub-tables that a new directory was given have this depth.
    pub(super) fn set_depth(&mut self, depth: u32) {
        self.shift = POSITION_BITS - depth;
    }

    /// Replaces the sub-table that `hash` belongs to and that has this depth.
    pub(super) fn replace(&mut self, hash: u64, depth: u32, with: SubTable<K, V>) {
        let range = self.range(hash, depth);
        self.entries[range].fill(with);
    }

    /// Replaces the sub-table that `hash` belongs to and that has this depth by two, of the next depth.
    pub(super) fn split(
        &mut self,
        hash: u64,
        depth: u32,
        low: SubTable<K, V>,
        high: SubTable<K, V>,
    ) {
        if POSITION_BITS - self.shift == depth {
            self.entries = self
                .entries
                .iter()
                .flat_map(|&entry| [entry, entry])
                .collect();
            self.shift -= 1;
        }
        let range = self.range(hash, depth);
        let (left, right) = self.entries[range.clone()].split_at_mut(range.len() / 2);
        left.fill(low);
        right.fill(high);
    }

    /// The entries that share a sub-table of this depth with `hash`.
    fn range(&self, hash: u64, depth: u32) -> std::ops::Range<usize> {
        let length = 1 << (POSITION_BITS - self.shift - depth);
        let start = self.index(hash) & !(length - 1);
        start..start + length
    }

    #[inline(always)]
    fn index(&self, hash: u64) -> usize {
        (position(hash) >> self.shift) as usize
    }
}

/// Where in its key group a record with this hash lies.
fn position(hash: u64) -> u64 {
    hash & ((1 << POSITION_BITS) - 1)
}

/// Whether a record with this hash goes to the second of the two sub-tables that one of this depth is split into.
pub(super) fn goes_high(hash: u64, depth: u32) -> bool {
    hash >> (POSITION_BITS - 1 - depth) & 1 == 1
}

impl Place {
    /// The place of the sub-table with this number among those of one depth.
    pub(super) fn nth(group: u16, depth: u32, number: u64) -> Self {
        Self {
            group,
            depth,
            position: number << (POSITION_BITS - depth),
        }
    }

    /// The two places that a sub-table is split into.
    pub(super) fn halves(self) -> (Self, Self) {
        let depth = self.depth + 1;
        let low = Self { depth, ..self };
        let high = Self {
            position: self.position | 1 << (POSITION_BITS - depth),
            ..low
        };
        (low, high)
    }
}

/// How far a walk through a table has come, in the order of key groups and hashes. It stays right when the table grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::state) struct Cursor {
    /// The number of the key group, from the first that the table owns.
    pub(super) group: usize,
    /// The first position in the group that was not visited.
    pub(super) position: u64,
}

impl Cursor {
    /// Goes past the sub-table of this depth.
    pub(super) fn advance(&mut self, depth: u32) {
        let width = 1 << (POSITION_BITS - depth);
        self.position = (self.position & !(width - 1)) + width;
        if self.position >> POSITION_BITS != 0 {
            self.next_group();
        }
    }

    /// Goes to the start of the next key group.
    pub(super) fn next_group(&mut self) {
        self.group += 1;
        self.position = 0;
    }
}
