//! The key exchange: which subtask each row of a batch goes to.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::Result;
use crate::model::{Batch, KeyGroup, Row};
use crate::snapshot::BatchCodec;
use crate::state::{
    KeyHasher, StateKey, StateValue, archive_schema, archive_values, restore_values,
};

/// How records get to the subtask that owns their key.
#[derive(Clone)]
pub struct KeyExchange {
    /// Splits batches by key.
    pub partitioner: PartitionerFactory,
    /// Stores batches in a checkpoint. Without it no barrier can overtake the records of the exchange.
    pub codec: Option<Arc<dyn BatchCodec>>,
}

/// Makes the partitioner of one sending subtask.
pub type PartitionerFactory = Arc<dyn Fn(ExchangeTargets) -> Box<dyn Partitioner> + Send + Sync>;

/// How many subtasks there are to send to, and how keys are assigned to them.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeTargets {
    /// The number of receiving subtasks.
    pub parallelism: usize,
    /// The number of key groups.
    pub max_parallelism: u16,
}

impl ExchangeTargets {
    /// The subtask that owns a key with this hash.
    #[inline]
    pub fn of_hash(&self, hash: u64) -> usize {
        KeyGroup::of_hash(hash, self.max_parallelism)
            .subtask(self.parallelism, self.max_parallelism)
    }
}

/// Splits batches by key. Rows of one key all go to one subtask, and keep their order.
pub trait Partitioner {
    /// Gives each subtask its rows: exactly one entry a subtask, empty batches as nothing.
    ///
    /// # Errors
    /// When the batch is not of the type that the partitioner was made for.
    fn partition(&mut self, batch: Batch) -> Result<Vec<Option<Batch>>>;
}

/// Splits rows of type `T` by what `key` makes of them.
pub(super) struct RowPartitioner<T, K, F> {
    targets: ExchangeTargets,
    key: F,
    hasher: KeyHasher,
    types: PhantomData<fn(&T) -> K>,
}

impl<T, K, F> RowPartitioner<T, K, F> {
    pub(super) fn new(targets: ExchangeTargets, key: F) -> Self {
        Self {
            targets,
            key,
            hasher: KeyHasher::default(),
            types: PhantomData,
        }
    }
}

impl<T: Row, K: StateKey, F: Fn(&T) -> K> Partitioner for RowPartitioner<T, K, F> {
    fn partition(&mut self, batch: Batch) -> Result<Vec<Option<Batch>>> {
        let parallelism = self.targets.parallelism;
        if parallelism == 1 {
            return Ok(vec![Some(batch)]);
        }
        let rows: Vec<T> = batch.into_rows()?;
        // A little above the even share, so that a vector seldom grows.
        let capacity = rows.len() / parallelism + rows.len() / 8 + 8;
        let mut parts: Vec<Vec<T>> = (0..parallelism)
            .map(|_| Vec::with_capacity(capacity))
            .collect();
        for row in rows {
            let hash = self.hasher.hash(&(self.key)(&row))?;
            parts[self.targets.of_hash(hash)].push(row);
        }
        Ok(parts
            .into_iter()
            .map(|part| (!part.is_empty()).then(|| Batch::from_rows(part)))
            .collect())
    }
}

/// Stores rows of type `T` as rkyv archives.
pub(super) struct RowCodec<T>(PhantomData<fn() -> T>);

impl<T> RowCodec<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Row + StateValue> BatchCodec for RowCodec<T> {
    fn schema(&self) -> String {
        archive_schema::<T>()
    }

    fn encode(&self, batch: Batch) -> Result<Vec<u8>> {
        archive_values(&batch.into_rows::<T>()?)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Batch> {
        Ok(Batch::from_rows(restore_values::<T>(bytes)?))
    }
}
