//! The bare mechanism: a hand-written table that saves nothing.

use floodmark::error::Result;
use floodmark::model::hash_key;

use crate::drive::{Figures, drive};

/// The running sum in the bare table.
pub(crate) fn run(keys: u64) -> Result<Figures> {
    let mut table = BareTable::new(keys);
    for key in 0..keys {
        *table.value(key, hash_key(&key.to_le_bytes())) = 0;
    }
    drive(keys, |rows, _| {
        let mut hashes = [0; 32];
        for rows in rows.chunks(hashes.len()) {
            for (row, hash) in rows.iter().zip(&mut hashes) {
                *hash = hash_key(&row.0.to_le_bytes());
                table.prefetch(*hash);
            }
            for (row, hash) in rows.iter().zip(hashes) {
                *table.value(row.0, hash) += row.1;
            }
        }
        Ok(())
    })
}

/// What one would write by hand for just this: cache-line buckets, half full, never growing, nothing saved.
struct BareTable {
    buckets: Vec<BareBucket>,
    mask: usize,
}

#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct BareBucket {
    keys: [u64; 3],
    values: [i64; 3],
    occupied: u8,
}

impl BareTable {
    fn new(keys: u64) -> Self {
        let buckets = (keys as usize * 2 / 3).next_power_of_two();
        Self {
            buckets: vec![BareBucket::default(); buckets],
            mask: buckets - 1,
        }
    }

    fn prefetch(&self, hash: u64) {
        let bucket: *const BareBucket = &raw const self.buckets[hash as usize & self.mask];
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "a prefetch has no safe form")]
        // SAFETY: a prefetch reads nothing that the program could see, and never faults.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(bucket.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = bucket;
    }

    fn value(&mut self, key: u64, hash: u64) -> &mut i64 {
        let mut number = hash as usize & self.mask;
        loop {
            let bucket = &self.buckets[number];
            let mut matches = 0;
            for slot in 0..3 {
                matches |= u32::from(bucket.keys[slot] == key) << slot;
            }
            matches &= u32::from(bucket.occupied);
            let slot = if matches != 0 {
                matches.trailing_zeros()
            } else {
                bucket.occupied.trailing_ones()
            } as usize;
            if slot < 3 {
                let bucket = &mut self.buckets[number];
                bucket.keys[slot] = key;
                bucket.occupied |= 1 << slot;
                return &mut bucket.values[slot];
            }
            number = (number + 1) & self.mask;
        }
    }
}
