//! The key exchange of TOML jobs: which subtask each row of a batch goes to.

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::Schema;
use arrow_select::take::take_record_batch;

use super::column_key::{EncodedKeys, KeyEncoder};
use crate::error::{Error, ErrorKind, Result};
use crate::model::KeyGroup;
use crate::state::KeyHasher;

/// Splits batches by the key groups of their rows, so that each row meets the state of its key.
#[derive(Clone)]
pub struct KeyPartitioner {
    encoder: KeyEncoder,
    keys: EncodedKeys,
    /// The key of one row, as the type that it has in state: the hash must be the same there and here.
    key: Vec<u8>,
    hasher: KeyHasher,
}

impl KeyPartitioner {
    /// A partitioner by the columns called `key` of batches with this schema.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a column does not exist, or has a type that jobs do not know.
    pub fn new(schema: &Schema, key: &[impl AsRef<str>]) -> Result<Self> {
        Ok(Self {
            encoder: KeyEncoder::new(schema, key)?,
            keys: EncodedKeys::default(),
            key: Vec::new(),
            hasher: KeyHasher::default(),
        })
    }

    /// The rows for each of `parallelism` subtasks, in their order in `batch`; nothing for a subtask without rows.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the batch does not have the schema that the partitioner was made for.
    pub fn partition(
        &mut self,
        batch: &RecordBatch,
        parallelism: usize,
        max_parallelism: u16,
    ) -> Result<Vec<Option<RecordBatch>>> {
        if batch.num_rows() == 0 {
            return Ok(vec![None; parallelism]);
        }
        if parallelism == 1 {
            return Ok(vec![Some(batch.clone())]);
        }
        self.encoder.encode_batch(batch, &mut self.keys)?;
        let mut rows_of = vec![Vec::new(); parallelism];
        for row in 0..self.keys.len() {
            self.key.clear();
            self.key.extend_from_slice(self.keys.key(row));
            let group = KeyGroup::of_hash(self.hasher.hash(&self.key)?, max_parallelism);
            rows_of[group.subtask(parallelism, max_parallelism)].push(row as u32);
        }
        rows_of
            .into_iter()
            .map(|rows| take_rows(batch, rows))
            .collect()
    }
}

fn take_rows(batch: &RecordBatch, rows: Vec<u32>) -> Result<Option<RecordBatch>> {
    if rows.is_empty() {
        return Ok(None);
    }
    if rows.len() == batch.num_rows() {
        return Ok(Some(batch.clone()));
    }
    take_record_batch(batch, &UInt32Array::from(rows))
        .map(Some)
        .map_err(|error| {
            Error::new(ErrorKind::Bug, "cannot split a batch by key").with_source(error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::test_support::{random_batch, random_schema};
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    /// The rows as text, so that they can be compared and sorted.
    fn rows(batch: &RecordBatch) -> Vec<String> {
        (0..batch.num_rows())
            .map(|row| format!("{:?}", batch.slice(row, 1).columns()))
            .collect()
    }

    #[test]
    fn every_row_goes_to_the_subtask_that_owns_the_key_group_of_its_state() {
        for (seed, parallelism) in [(0, 2), (1, 3), (2, 4), (3, 7)] {
            let mut random = fastrand::Rng::with_seed(seed);
            let batch = random_batch(&mut random, 300);
            let names = ["s", "t"];
            let parts = KeyPartitioner::new(&random_schema(), &names)
                .unwrap()
                .partition(&batch, parallelism, 128)
                .unwrap();
            let encoder = KeyEncoder::new(&random_schema(), &names).unwrap();
            let mut hasher = KeyHasher::default();
            for (subtask, part) in parts.iter().enumerate() {
                let Some(part) = part else { continue };
                let mut keys = EncodedKeys::default();
                encoder.encode_batch(part, &mut keys).unwrap();
                for row in 0..keys.len() {
                    let group =
                        KeyGroup::of_hash(hasher.hash(&keys.key(row).to_vec()).unwrap(), 128);
                    assert_eq!(group.subtask(parallelism, 128), subtask, "seed {seed}");
                }
            }
            let mut found: Vec<String> = parts.iter().flatten().flat_map(rows).collect();
            let mut expected = rows(&batch);
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "seed {seed}");
        }
    }

    #[test]
    fn rows_keep_their_order() {
        let batch = random_batch(&mut fastrand::Rng::with_seed(5), 100);
        let order: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let batch = RecordBatch::try_from_iter([("i", batch.column(1).clone()), ("order", order)]);
        let batch = batch.unwrap();
        let mut partitioner = KeyPartitioner::new(&batch.schema(), &["i"]).unwrap();
        let parts = partitioner.partition(&batch, 2, 128).unwrap();
        assert_eq!(parts.iter().flatten().count(), 2, "both subtasks have rows");
        for part in parts.iter().flatten() {
            let order = part.column(1).as_primitive::<Int64Type>().values();
            assert!(order.is_sorted(), "{order:?}");
        }
    }

    #[test]
    fn one_subtask_is_given_the_batch_untouched() {
        let batch = random_batch(&mut fastrand::Rng::with_seed(6), 10);
        let mut partitioner = KeyPartitioner::new(&random_schema(), &["s"]).unwrap();
        let parts = partitioner.partition(&batch, 1, 128).unwrap();
        assert_eq!(parts, [Some(batch.clone())]);
        assert_eq!(
            partitioner.partition(&batch.slice(0, 0), 2, 128).unwrap(),
            [None, None]
        );
    }
}
