//! The index of the log of versions: buckets of one cache line, from the hash of a key to addresses.

use crate::memory::{Mapped, Plain, prefetch};

/// Entries of a bucket.
const ENTRIES: usize = 8;
/// The share of the entries that is occupied.
const LOAD: f64 = 0.6;
/// Bits of an entry that are the address plus one; those above them are of the hash.
const ADDRESS_BITS: u32 = 48;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;

/// Addresses, each with 16 bits of its key's hash; an entry that is zero is free, and a bucket that is not full is the
/// last to look into.
#[repr(C, align(64))]
struct Bucket {
    entries: [u64; ENTRIES],
}

// SAFETY: numbers only.
unsafe impl Plain for Bucket {}

/// An index of fixed size.
pub(crate) struct Index {
    buckets: Mapped<Bucket>,
}

/// What an entry says, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// The number of a record.
    pub(crate) address: usize,
    bucket: usize,
    slot: usize,
}

impl Index {
    pub(crate) fn new(keys: usize, huge_pages: bool) -> Self {
        let buckets = (keys as f64 / ENTRIES as f64 / LOAD) as usize + 1;
        Self {
            buckets: Mapped::new(buckets, huge_pages),
        }
    }

    #[inline]
    pub(crate) fn fetch(&self, hash: u64) {
        prefetch(&self.buckets[self.home(hash)]);
    }

    /// The entries that may be those of a key with this hash.
    #[inline]
    pub(crate) fn candidates(&self, hash: u64) -> impl Iterator<Item = Entry> {
        let mut bucket = self.home(hash);
        let mut matches = self.matches(bucket, hash);
        std::iter::from_fn(move || {
            while matches == 0 {
                if self.buckets[bucket].entries[ENTRIES - 1] == 0 {
                    return None;
                }
                bucket = (bucket + 1) % self.buckets.len();
                matches = self.matches(bucket, hash);
            }
            let slot = matches.trailing_zeros() as usize;
            matches &= matches - 1;
            let entry = self.buckets[bucket].entries[slot];
            Some(Entry {
                address: ((entry & ADDRESS_MASK) - 1) as usize,
                bucket,
                slot,
            })
        })
    }

    pub(crate) fn insert(&mut self, hash: u64, address: usize) {
        let mut bucket = self.home(hash);
        while self.buckets[bucket].entries[ENTRIES - 1] != 0 {
            bucket = (bucket + 1) % self.buckets.len();
        }
        let entries = &mut self.buckets[bucket].entries;
        if let Some(free) = entries.iter_mut().find(|entry| **entry == 0) {
            *free = tag(hash) | (address as u64 + 1);
        }
    }

    #[inline]
    pub(crate) fn replace(&mut self, entry: &Entry, address: usize) {
        let place = &mut self.buckets[entry.bucket].entries[entry.slot];
        *place = (*place & !ADDRESS_MASK) | (address as u64 + 1);
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.buckets.len() as u128) >> 64) as usize
    }

    /// A bit for each entry of the bucket with the hash's tag.
    #[inline]
    fn matches(&self, bucket: usize, hash: u64) -> u32 {
        let mut matches = 0;
        for (slot, entry) in self.buckets[bucket].entries.iter().enumerate() {
            let is_match = *entry != 0 && entry & !ADDRESS_MASK == tag(hash);
            matches |= u32::from(is_match) << slot;
        }
        matches
    }
}

/// The hash's lowest bits, which the number of its bucket does not tell.
#[inline]
fn tag(hash: u64) -> u64 {
    hash << ADDRESS_BITS
}
