//! The distinct keys of one batch, and the rows of each.

use crate::model::hash_key;
use crate::operator::column_key::EncodedKeys;

/// The rows of a batch, grouped by key. It is reused from batch to batch, so that grouping does not allocate.
///
/// Groups are numbered in the order in which their keys first occur.
#[derive(Default)]
pub(super) struct Groups {
    /// A hash table with linear probing, at most half full: the number of a group plus one, or 0.
    slots: Vec<u32>,
    /// The hash of each group's key.
    hashes: Vec<u64>,
    /// The first row of each group.
    first_rows: Vec<u32>,
    /// The group of each row.
    group_of_row: Vec<u32>,
    /// All rows: those of group 0 in order, then those of group 1, and so on.
    rows: Vec<u32>,
    /// Where the rows of each group end in `rows`.
    ends: Vec<u32>,
}

impl Groups {
    /// Groups the rows that have these keys.
    pub(super) fn assign(&mut self, keys: &EncodedKeys) {
        self.slots.clear();
        self.slots.resize((2 * keys.len()).next_power_of_two(), 0);
        self.hashes.clear();
        self.first_rows.clear();
        self.group_of_row.clear();
        for row in 0..keys.len() {
            let group = self.find_or_add(keys, row);
            self.group_of_row.push(group);
        }
        self.sort_rows();
    }

    /// How many distinct keys there are.
    pub(super) fn len(&self) -> usize {
        self.first_rows.len()
    }

    /// The first row of a group.
    pub(super) fn first_row(&self, group: usize) -> usize {
        self.first_rows[group] as usize
    }

    /// The group of each row.
    pub(super) fn group_of_row(&self) -> &[u32] {
        &self.group_of_row
    }

    /// The rows of a group, in order.
    pub(super) fn rows(&self, group: usize) -> &[u32] {
        let start = if group == 0 { 0 } else { self.ends[group - 1] };
        &self.rows[start as usize..self.ends[group] as usize]
    }

    fn find_or_add(&mut self, keys: &EncodedKeys, row: usize) -> u32 {
        let key = keys.key(row);
        let hash = hash_key(key);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != 0 {
            let group = self.slots[slot] as usize - 1;
            if self.hashes[group] == hash && keys.key(self.first_row(group)) == key {
                return group as u32;
            }
            slot = (slot + 1) & mask;
        }
        let group = self.first_rows.len() as u32;
        self.slots[slot] = group + 1;
        self.hashes.push(hash);
        self.first_rows.push(row as u32);
        group
    }

    /// Lays the rows of each group beside each other, keeping their order: a counting sort.
    fn sort_rows(&mut self) {
        self.ends.clear();
        self.ends.resize(self.first_rows.len(), 0);
        for group in &self.group_of_row {
            self.ends[*group as usize] += 1;
        }
        let mut start = 0;
        for end in &mut self.ends {
            // For now each entry is where its group starts; placing the rows moves it to where the group ends.
            let len = *end;
            *end = start;
            start += len;
        }
        self.rows.clear();
        self.rows.resize(self.group_of_row.len(), 0);
        for (row, group) in self.group_of_row.iter().enumerate() {
            let place = &mut self.ends[*group as usize];
            self.rows[*place as usize] = row as u32;
            *place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::operator::column_key::KeyEncoder;
    use crate::operator::test_support::{random_batch, random_schema};

    #[test]
    fn rows_of_equal_keys_are_brought_together_in_their_order() {
        let mut groups = Groups::default();
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let rows = random.usize(..300);
            let names = [["s", "b"], ["i", "f"]][random.usize(..2)];
            let mut keys = EncodedKeys::default();
            KeyEncoder::new(&random_schema(), &names)
                .unwrap()
                .encode_batch(&random_batch(&mut random, rows), &mut keys)
                .unwrap();
            let mut expected = BTreeMap::<&[u8], Vec<u32>>::new();
            for row in 0..keys.len() {
                expected.entry(keys.key(row)).or_default().push(row as u32);
            }
            groups.assign(&keys);
            assert_eq!(groups.len(), expected.len(), "seed {seed}");
            for group in 0..groups.len() {
                let first_row = groups.first_row(group);
                assert_eq!(
                    groups.rows(group),
                    expected[keys.key(first_row)],
                    "seed {seed}"
                );
                assert_eq!(groups.rows(group)[0] as usize, first_row, "seed {seed}");
                for row in groups.rows(group) {
                    assert_eq!(
                        groups.group_of_row()[*row as usize],
                        group as u32,
                        "seed {seed}"
                    );
                }
            }
        }
    }
}
