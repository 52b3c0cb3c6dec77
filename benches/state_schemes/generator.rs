//! The rows that all schemes work off.

/// Rows of a batch.
pub(crate) const BATCH_ROWS: usize = 1024;

/// What is added to the sum of a key.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) key: u64,
    pub(crate) value: i64,
}

/// The keys of one partition: every `partitions`-th number.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) partition: u64,
    pub(crate) partitions: u64,
    /// The number of keys.
    pub(crate) count: u64,
}

impl Keys {
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = u64> {
        (0..self.count as usize).map(move |index| self.key(index as u64))
    }

    pub(crate) fn index(&self, key: u64) -> usize {
        (key / self.partitions) as usize
    }

    #[inline]
    fn key(&self, index: u64) -> u64 {
        index * self.partitions + self.partition
    }
}

/// Rows with uniform keys, always the same ones.
pub(crate) struct Generator {
    keys: Keys,
    state: u64,
    rows: Vec<Row>,
}

impl Generator {
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            keys,
            state: keys.partition << 32,
            rows: Vec::with_capacity(BATCH_ROWS),
        }
    }

    pub(crate) fn batch(&mut self) -> &[Row] {
        self.rows.clear();
        for _ in 0..BATCH_ROWS {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.state ^ (self.state >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = mixed ^ (mixed >> 29);
            let index = (u128::from(mixed) * u128::from(self.keys.count)) >> 64;
            self.rows.push(Row {
                key: self.keys.key(index as u64),
                value: (mixed & 7) as i64,
            });
        }
        &self.rows
    }
}
