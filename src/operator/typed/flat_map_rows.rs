//! Any number of rows out for each row in.

use std::marker::PhantomData;

use crate::error::Result;
use crate::model::{Batch, Row};
use crate::operator::contract::{Operator, Output};

/// Calls a closure with each row, and passes on all that it returns, in order.
///
/// ```
/// use floodmark::model::Batch;
/// use floodmark::operator::{Emission, FlatMapRows, Operator, Output};
///
/// let mut below = FlatMapRows::new(|number: u64| 0..number);
/// let mut output = Output::default();
/// below.process(Batch::from_rows(vec![2_u64, 0, 3]), &mut output)?;
/// let Some(Emission::Batch(batch)) = output.take().next() else { panic!() };
/// assert_eq!(batch.into_rows::<u64>()?, [0, 1, 0, 1, 2]);
/// # Ok::<(), floodmark::error::Error>(())
/// ```
pub struct FlatMapRows<T, I, F> {
    function: F,
    rows: PhantomData<fn(T) -> I>,
}

impl<T, I: IntoIterator, F: FnMut(T) -> I> FlatMapRows<T, I, F> {
    /// An operator that calls `function` with each row.
    pub fn new(function: F) -> Self {
        Self {
            function,
            rows: PhantomData,
        }
    }
}

impl<T, I, F> Operator for FlatMapRows<T, I, F>
where
    T: Row,
    I: IntoIterator<Item: Row>,
    F: FnMut(T) -> I,
{
    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let rows: Vec<T> = batch.into_rows()?;
        let mapped: Vec<I::Item> = rows.into_iter().flat_map(&mut self.function).collect();
        output.emit(Batch::from_rows(mapped));
        Ok(())
    }
}
