//! A running value by key, changed in place.

use std::marker::PhantomData;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, Row};
use crate::operator::contract::{Operator, OperatorContext, Output};
use crate::state::{Archived, Seal, StateKey, StateSpec, StateValue, ValueState};

/// Keeps one value for each key, lets a closure change it in place for each row, and passes on what that returns.
///
/// The value lies archived in state. The closure is given it sealed: a number is set through the seal, and a struct's
/// fields one by one; what has a varying size cannot grow. The input must be partitioned by the same key.
///
/// ```
/// use floodmark::operator::KeyedReduce;
///
/// // The running sum of the second field for each first field.
/// let sums = KeyedReduce::new(
///     "sums",
///     |row: &(u64, i64, i64)| row.0,
///     |_| 0_i64,
///     |row, mut sum| {
///         *sum = (sum.to_native() + row.1).into();
///         (row.0, sum.to_native())
///     },
/// );
/// # fn is_operator(_: impl floodmark::operator::Operator) {}
/// # is_operator(sums);
/// ```
pub struct KeyedReduce<T, K: StateKey, V: StateValue, U, KeyOf, Initial, Update> {
    spec: StateSpec<V>,
    key_of: KeyOf,
    initial: Initial,
    update: Update,
    state: Option<ValueState<K, V>>,
    /// The keys of the batch at hand, kept for its buffer.
    keys: Vec<K>,
    rows: PhantomData<fn(T) -> U>,
}

impl<T, K, V, U, KeyOf, Initial, Update> KeyedReduce<T, K, V, U, KeyOf, Initial, Update>
where
    K: StateKey,
    V: StateValue,
    KeyOf: FnMut(&T) -> K,
    Initial: FnMut(&T) -> V,
    Update: FnMut(&T, Seal<'_, Archived<V>>) -> U,
{
    /// An operator that keeps its values in the state of this name, which must never change while there are checkpoints.
    /// A [`StateSpec`] in the name's place also says what becomes of values of a former type.
    ///
    /// A key that is met for the first time is given the value `initial` makes of that row; `update` is then called for
    /// that row as well.
    pub fn new(
        state: impl Into<StateSpec<V>>,
        key_of: KeyOf,
        initial: Initial,
        update: Update,
    ) -> Self {
        Self {
            spec: state.into(),
            key_of,
            initial,
            update,
            state: None,
            keys: Vec::new(),
            rows: PhantomData,
        }
    }
}

impl<T, K, V, U, KeyOf, Initial, Update> Operator
    for KeyedReduce<T, K, V, U, KeyOf, Initial, Update>
where
    T: Row,
    U: Row,
    K: StateKey,
    V: StateValue,
    KeyOf: FnMut(&T) -> K,
    Initial: FnMut(&T) -> V,
    Update: FnMut(&T, Seal<'_, Archived<V>>) -> U,
{
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.state = Some(context.keyed_state.value_state(self.spec.clone())?);
        Ok(())
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let Some(state) = &self.state else {
            return Err(Error::new(
                ErrorKind::Bug,
                format!("state {} was used before it was opened", self.spec.name()),
            ));
        };
        let rows: Vec<T> = batch.into_rows()?;
        self.keys.clear();
        self.keys.extend(rows.iter().map(&mut self.key_of));
        let mut updated = Vec::with_capacity(rows.len());
        // The state works off the keys in order, so the results stand in the order of the rows.
        state.update_batch(
            &self.keys,
            |index| (self.initial)(&rows[index]),
            |index, value| updated.push((self.update)(&rows[index], value)),
        )?;
        output.emit(Batch::from_rows(updated));
        Ok(())
    }
}
