//! The table of all schemes that change sums in place: buckets of one cache line.

use floodmark::model::hash_key;

use crate::generator::Row;
use crate::memory::{Mapped, Plain, prefetch};

/// Rows that are hashed and fetched before the first of them is updated.
pub(crate) const STAGE_ROWS: usize = 32;
/// Slots of a bucket.
pub(crate) const SLOTS: usize = 3;
/// The share of the slots that is occupied.
pub(crate) const LOAD: f64 = 0.6;

/// Three slots, and what the schemes note about them: 64 bytes.
#[repr(C, align(64))]
pub(crate) struct Bucket {
    pub(crate) keys: [u64; SLOTS],
    pub(crate) values: [i64; SLOTS],
    /// Three numbers whose meaning is the scheme's.
    pub(crate) marks: [u32; SLOTS],
    /// A bit for each slot in use.
    pub(crate) occupied: u8,
    /// Not zero if a key of this bucket had to go on to the next one.
    pub(crate) overflow: u8,
    /// A bit for each slot changed in an epoch, for schemes that want it.
    pub(crate) dirty: u8,
}

const _: () = assert!(size_of::<Bucket>() == 64);

// SAFETY: numbers only, and nobody reads what lies between them.
unsafe impl Plain for Bucket {}

/// Where a key lies: bucket and slot.
#[derive(Clone, Copy, Default)]
pub(crate) struct Position {
    pub(crate) bucket: usize,
    pub(crate) slot: usize,
}

/// A table of fixed size.
pub(crate) struct Table {
    buckets: Mapped<Bucket>,
}

impl Table {
    /// A table with the keys, and zeros as their sums.
    pub(crate) fn new(keys: impl ExactSizeIterator<Item = u64>, huge_pages: bool) -> Self {
        let buckets = (keys.len() as f64 / SLOTS as f64 / LOAD) as usize + 1;
        let mut table = Self {
            buckets: Mapped::new(buckets, huge_pages),
        };
        for key in keys {
            table.insert(key);
        }
        table
    }

    #[inline]
    pub(crate) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    #[inline]
    pub(crate) fn bucket_mut(&mut self, number: usize) -> &mut Bucket {
        &mut self.buckets[number]
    }

    /// Fetches the buckets of up to [`STAGE_ROWS`] rows, and gives their numbers.
    #[inline]
    pub(crate) fn fetch(&self, rows: &[Row]) -> [usize; STAGE_ROWS] {
        let mut homes = [0; STAGE_ROWS];
        for (row, home) in rows.iter().zip(&mut homes) {
            *home = self.home(row.key);
            prefetch(&self.buckets[*home]);
        }
        homes
    }

    /// Where the key lies that belongs into this bucket. It must be in the table.
    #[inline]
    pub(crate) fn position(&self, key: u64, home: usize) -> Position {
        let mut bucket = home;
        loop {
            let slot = self.buckets[bucket].slot_of(key);
            if slot < SLOTS {
                return Position { bucket, slot };
            }
            assert!(
                self.buckets[bucket].overflow != 0,
                "key {key} is not in the table"
            );
            bucket = self.after(bucket);
        }
    }

    pub(crate) fn value(&self, key: u64) -> i64 {
        let position = self.position(key, self.home(key));
        self.buckets[position.bucket].values[position.slot]
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        let hash = hash_key(&key.to_le_bytes());
        ((u128::from(hash) * self.buckets.len() as u128) >> 64) as usize
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() {
            0
        } else {
            bucket + 1
        }
    }

    fn insert(&mut self, key: u64) {
        let mut number = self.home(key);
        loop {
            let bucket = &mut self.buckets[number];
            let slot = bucket.occupied.trailing_ones() as usize;
            if slot < SLOTS {
                bucket.keys[slot] = key;
                bucket.occupied |= 1 << slot;
                return;
            }
            bucket.overflow = 1;
            number = self.after(number);
        }
    }
}

impl Bucket {
    /// The slot with the key, or a number beyond all slots.
    #[inline]
    fn slot_of(&self, key: u64) -> usize {
        let mut matches = 0;
        for slot in 0..SLOTS {
            matches |= u32::from(self.keys[slot] == key) << slot;
        }
        (matches & u32::from(self.occupied)).trailing_zeros() as usize
    }
}
