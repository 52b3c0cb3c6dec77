//! Records of the schema `key-value`: a key, a small number, a time.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};

use super::SplitRange;
use super::mix::{mix, scale};
use crate::model::ColumnType;

/// Values lie in `0..VALUES`.
const VALUES: u64 = 100;

/// The columns other than the time.
pub(super) const COLUMNS: [(&str, ColumnType); 2] =
    [("key", ColumnType::Int64), ("value", ColumnType::Int64)];

/// Draws keys from `0..keys`, evenly. Split `s` has the keys `k` with `k % splits == s`.
#[derive(Clone, Debug)]
pub(super) struct KeyValue {
    pub(super) seed: u64,
    pub(super) keys: u64,
}

impl KeyValue {
    pub(super) fn generate(&self, range: SplitRange) -> Vec<ArrayRef> {
        let (split, splits) = (u64::from(range.split), u64::from(range.splits));
        let keys = (self.keys - split).div_ceil(splits);
        let mut key_column = Vec::with_capacity(range.count);
        let mut value_column = Vec::with_capacity(range.count);
        for index in range.indexes() {
            let mixed = mix(self.seed, index);
            key_column.push((scale(mixed, keys) * splits + split) as i64);
            // The key took the high bits.
            value_column.push((mixed % VALUES) as i64);
        }
        vec![
            Arc::new(Int64Array::from(key_column)),
            Arc::new(Int64Array::from(value_column)),
        ]
    }
}
