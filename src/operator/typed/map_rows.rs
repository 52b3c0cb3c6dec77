//! One row out for each row in.

use std::marker::PhantomData;

use crate::error::Result;
use crate::model::{Batch, Row};
use crate::operator::contract::{Operator, Output};

/// Calls a closure with each row, and passes on what it returns.
///
/// ```
/// use floodmark::model::Batch;
/// use floodmark::operator::{Emission, MapRows, Operator, Output};
///
/// let mut lengths = MapRows::new(|word: String| word.len());
/// let mut output = Output::default();
/// lengths.process(Batch::from_rows(vec!["a".to_owned(), "bc".to_owned()]), &mut output)?;
/// let Some(Emission::Batch(batch)) = output.take().next() else { panic!() };
/// assert_eq!(batch.into_rows::<usize>()?, [1, 2]);
/// # Ok::<(), floodmark::error::Error>(())
/// ```
pub struct MapRows<T, U, F> {
    function: F,
    rows: PhantomData<fn(T) -> U>,
}

impl<T, U, F: FnMut(T) -> U> MapRows<T, U, F> {
    /// An operator that calls `function` with each row.
    pub fn new(function: F) -> Self {
        Self {
            function,
            rows: PhantomData,
        }
    }
}

impl<T, U, F> Operator for MapRows<T, U, F>
where
    T: Row,
    U: Row,
    F: FnMut(T) -> U,
{
    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let rows: Vec<T> = batch.into_rows()?;
        let mapped: Vec<U> = rows.into_iter().map(&mut self.function).collect();
        output.emit(Batch::from_rows(mapped));
        Ok(())
    }
}
