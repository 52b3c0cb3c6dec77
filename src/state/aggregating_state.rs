//! Aggregating state: for each key an accumulator of all values that were added.

use std::rc::Rc;

use rkyv::Archived;

use super::archive::{SingleKey, StateKey, StateValue};
use super::records::Records;
use super::scan::ScanCursor;
use crate::error::Result;

/// How values are accumulated, and what is made of the accumulator in the end.
pub trait AggregateFunction: 'static {
    /// What is added.
    type In;
    /// What is kept.
    type Accumulator: StateValue;
    /// What comes out.
    type Out;

    /// The accumulator of no values.
    fn create_accumulator(&self) -> Self::Accumulator;

    /// The accumulator of one value more.
    fn add(&self, value: Self::In, accumulator: Self::Accumulator) -> Self::Accumulator;

    /// The result over all values of the accumulator.
    fn result(&self, accumulator: Self::Accumulator) -> Self::Out;
}

/// A state that keeps, for each key, an accumulator of all values added, and gives the result of a function over them.
/// Clones are handles to the same state.
///
/// In contrast to [`super::ReducingState`], what is added, kept and given back can be of three types. What is said of
/// errors and closures at [`super::ValueState`] is true here too.
///
/// ```
/// use floodmark::state::{AggregateFunction, AggregatingState, KeyedStateBackend, StateSettings};
/// # use floodmark::model::{KeyGroupRange, SystemClock};
/// # let settings = StateSettings {
/// #     directory: None,
/// #     max_parallelism: 128,
/// #     key_groups: KeyGroupRange { start: 0, end: 128 },
/// #     incremental: true,
/// #     local_recovery: None,
/// #     clock: SystemClock::shared(),
/// # };
/// # let mut backend = KeyedStateBackend::new(settings, Vec::new());
///
/// struct Mean;
///
/// impl AggregateFunction for Mean {
///     type In = f64;
///     type Accumulator = (f64, u64);
///     type Out = f64;
///
///     fn create_accumulator(&self) -> (f64, u64) {
///         (0.0, 0)
///     }
///
///     fn add(&self, value: f64, (sum, count): (f64, u64)) -> (f64, u64) {
///         (sum + value, count + 1)
///     }
///
///     fn result(&self, (sum, count): (f64, u64)) -> f64 {
///         sum / count as f64
///     }
/// }
///
/// let means: AggregatingState<u64, Mean> = backend.aggregating_state("means", Mean)?;
/// means.add(&7, 1.0)?;
/// means.add(&7, 2.0)?;
/// assert_eq!(means.get(&7)?, Some(1.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AggregatingState<K: StateKey, F: AggregateFunction> {
    records: Records<SingleKey<K>, F::Accumulator>,
    function: Rc<F>,
}

impl<K: StateKey, F: AggregateFunction> Clone for AggregatingState<K, F> {
    fn clone(&self) -> Self {
        Self::new(self.records.clone(), Rc::clone(&self.function))
    }
}

impl<K: StateKey, F: AggregateFunction> AggregatingState<K, F> {
    pub(super) fn new(records: Records<SingleKey<K>, F::Accumulator>, function: Rc<F>) -> Self {
        Self { records, function }
    }

    /// Adds a value to a key's.
    ///
    /// # Errors
    /// See the type.
    pub fn add(&self, key: &K, value: F::In) -> Result<()> {
        self.records.upsert_with(key, |before| {
            let before = before.unwrap_or_else(|| self.function.create_accumulator());
            self.function.add(value, before)
        })
    }

    /// The result over all values of a key; nothing when there were none.
    ///
    /// # Errors
    /// See the type.
    pub fn get(&self, key: &K) -> Result<Option<F::Out>> {
        let accumulator = self.records.get(key)?;
        Ok(accumulator.map(|accumulator| self.function.result(accumulator)))
    }

    /// Forgets a key's values.
    ///
    /// # Errors
    /// See the type.
    pub fn clear(&self, key: &K) -> Result<()> {
        self.records.remove(key).map(drop)
    }

    /// Shows `visit` the next keys and their accumulators, about `records_max` of them, as [`super::ValueState::scan`]
    /// does. Says whether there are more.
    ///
    /// # Errors
    /// See the type; and the first error of `visit`.
    pub fn scan(
        &self,
        cursor: &mut ScanCursor,
        records_max: usize,
        visit: impl FnMut(&Archived<K>, &Archived<F::Accumulator>) -> Result<()>,
    ) -> Result<bool> {
        self.records.scan(cursor, records_max, visit)
    }
}
