//! Some of the rows that come in.

use std::marker::PhantomData;

use crate::error::Result;
use crate::model::{Batch, Row};
use crate::operator::contract::{Operator, Output};

/// Passes on the rows for which a closure returns true.
///
/// ```
/// use floodmark::model::Batch;
/// use floodmark::operator::{Emission, FilterRows, Operator, Output};
///
/// let mut even = FilterRows::new(|number: &u64| number % 2 == 0);
/// let mut output = Output::default();
/// even.process(Batch::from_rows(vec![1_u64, 2, 3, 4]), &mut output)?;
/// let Some(Emission::Batch(batch)) = output.take().next() else { panic!() };
/// assert_eq!(batch.into_rows::<u64>()?, [2, 4]);
/// # Ok::<(), floodmark::error::Error>(())
/// ```
pub struct FilterRows<T, F> {
    predicate: F,
    rows: PhantomData<fn(T)>,
}

impl<T, F: FnMut(&T) -> bool> FilterRows<T, F> {
    /// An operator that passes on the rows for which `predicate` returns true.
    pub fn new(predicate: F) -> Self {
        Self {
            predicate,
            rows: PhantomData,
        }
    }
}

impl<T, F> Operator for FilterRows<T, F>
where
    T: Row,
    F: FnMut(&T) -> bool,
{
    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let mut rows: Vec<T> = batch.into_rows()?;
        rows.retain(&mut self.predicate);
        output.emit(Batch::from_rows(rows));
        Ok(())
    }
}
