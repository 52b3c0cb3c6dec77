//! A countable input cut into a fixed number of splits, so that its position survives a change of parallelism.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::operator::RestoredOperatorState;

/// The largest number of splits.
pub(super) const SPLITS_MAX: u32 = 128;

/// Consecutive records of one split.
///
/// Record `n` of a split is the record with the index `n * splits + split` of the whole input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitRange {
    /// Which split this is, from 0.
    pub split: u32,
    /// How many splits the input has.
    pub splits: u32,
    /// The first record's number within the split.
    pub first: u64,
    /// How many records there are.
    pub count: usize,
}

/// The splits that one subtask reads, and how far each was read.
#[derive(Debug)]
pub(super) struct Splits {
    splits: u32,
    own: Vec<OwnSplit>,
}

#[derive(Debug)]
struct OwnSplit {
    split: u32,
    /// How many records of the split were given out.
    next: u64,
    /// How many the split has; without an end, more than anybody will count.
    records: u64,
}

/// One item of the operator state.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitItem {
    split: u32,
    next: u64,
}

impl SplitRange {
    /// The indexes of the records in the whole input, in order.
    #[inline]
    pub fn indexes(self) -> impl ExactSizeIterator<Item = u64> {
        let splits = u64::from(self.splits);
        let first = self.first * splits + u64::from(self.split);
        (0..self.count).map(move |offset| first + offset as u64 * splits)
    }
}

impl Splits {
    /// The splits of `subtask`: every `parallelism`-th one, at its restored position.
    pub(super) fn assign(
        splits: u32,
        rows: Option<u64>,
        subtask: usize,
        parallelism: usize,
        restored: Option<&RestoredOperatorState>,
    ) -> Result<Self> {
        let positions = restored
            .map(|restored| restored_positions(restored, splits))
            .transpose()?
            .unwrap_or_default();
        let own = (0..splits).skip(subtask).step_by(parallelism);
        let own = own.map(|split| OwnSplit {
            split,
            next: positions.get(&split).copied().unwrap_or(0),
            records: rows.map_or(u64::MAX / u64::from(splits), |rows| {
                rows.saturating_sub(u64::from(split))
                    .div_ceil(u64::from(splits))
            }),
        });
        Ok(Self {
            splits,
            own: own.collect(),
        })
    }

    /// Takes up to `count_max` records from the split that is the furthest behind; nothing when all are read.
    pub(super) fn take(&mut self, count_max: usize) -> Option<SplitRange> {
        let unread = self
            .own
            .iter_mut()
            .filter(|split| split.next < split.records);
        let split = unread.min_by_key(|split| split.next)?;
        let left = split.records - split.next;
        let count = usize::try_from(left).unwrap_or(count_max).min(count_max);
        let first = split.next;
        split.next += count as u64;
        Some(SplitRange {
            split: split.split,
            splits: self.splits,
            first,
            count,
        })
    }

    /// The smallest index of the whole input that is still to come here; nothing when all are read.
    pub(super) fn next_index(&self) -> Option<u64> {
        let unread = self.own.iter().filter(|split| split.next < split.records);
        unread
            .map(|split| split.next * u64::from(self.splits) + u64::from(split.split))
            .min()
    }

    /// Which part of all splits is read here, from 0.0 to 1.0.
    pub(super) fn share(&self) -> f64 {
        self.own.len() as f64 / f64::from(self.splits)
    }

    /// The positions, as operator state.
    pub(super) fn items(&self) -> Result<Vec<Value>> {
        let item = |split: &OwnSplit| {
            let OwnSplit { split, next, .. } = *split;
            serde_json::to_value(SplitItem { split, next }).map_err(|error| {
                Error::new(ErrorKind::Bug, "a split's position cannot be written")
                    .with_source(error)
            })
        };
        self.own.iter().map(item).collect()
    }
}

fn restored_positions(restored: &RestoredOperatorState, splits: u32) -> Result<BTreeMap<u32, u64>> {
    let mut positions = BTreeMap::new();
    for item in restored.items() {
        let SplitItem { split, next } = SplitItem::deserialize(item).map_err(|error| {
            let message = format!("the checkpoint's split position {item} cannot be read");
            Error::new(ErrorKind::Corrupt, message).with_source(error)
        })?;
        positions.insert(split, next);
    }
    // Records are dealt out by the number of splits: with another one, some would come twice and some never.
    if !positions.keys().copied().eq(0..splits) && !positions.is_empty() {
        let found = positions.len();
        return Err(Error::new(
            ErrorKind::Configuration,
            format!("splits: the checkpoint was taken with {found}, and the job now has {splits}"),
        ));
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(subtasks: &[Splits]) -> RestoredOperatorState {
        RestoredOperatorState {
            subtasks: subtasks
                .iter()
                .map(|splits| splits.items().unwrap())
                .collect(),
        }
    }

    fn assign_all(
        splits: u32,
        rows: u64,
        parallelism: usize,
        restored: Option<&RestoredOperatorState>,
    ) -> Vec<Splits> {
        (0..parallelism)
            .map(|subtask| {
                Splits::assign(splits, Some(rows), subtask, parallelism, restored).unwrap()
            })
            .collect()
    }

    #[test]
    fn every_index_comes_once_through_random_changes_of_parallelism() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let splits = random.u32(1..12);
            let rows = random.u64(0..300);
            let mut seen = Vec::new();
            let mut subtasks = assign_all(splits, rows, random.usize(1..5), None);
            while subtasks.iter().any(|splits| splits.next_index().is_some()) {
                for _ in 0..random.usize(0..20) {
                    let subtask = random.usize(0..subtasks.len());
                    let range = subtasks[subtask].take(random.usize(1..9));
                    seen.extend(range.into_iter().flat_map(SplitRange::indexes));
                }
                let restored = state(&subtasks);
                subtasks = assign_all(splits, rows, random.usize(1..5), Some(&restored));
            }
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..rows), "seed {seed}");
        }
    }

    #[test]
    fn the_next_index_is_never_passed_by_what_comes_later() {
        let mut splits = Splits::assign(5, Some(97), 1, 2, None).unwrap();
        while let Some(next) = splits.next_index() {
            let range = splits.take(4).unwrap();
            assert!(range.indexes().all(|index| index >= next));
        }
    }

    #[test]
    fn another_number_of_splits_is_refused() {
        let restored = state(&assign_all(4, 100, 2, None));
        let error = Splits::assign(8, Some(100), 0, 2, Some(&restored)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("taken with 4"), "{error}");
    }
}
