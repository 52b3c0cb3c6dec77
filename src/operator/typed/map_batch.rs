//! A whole batch of rows at a time.

use std::marker::PhantomData;

use crate::error::Result;
use crate::model::{Batch, Row};
use crate::operator::contract::{Operator, Output};

/// Calls a closure with the rows of each batch, and passes on the rows that it returns.
///
/// How rows are cut into batches is not fixed and may differ after a restore: what comes out must not depend on it.
///
/// ```
/// use floodmark::error::{Error, ErrorKind};
/// use floodmark::model::Batch;
/// use floodmark::operator::{Emission, MapBatch, Operator, Output};
///
/// let mut parse = MapBatch::new(|rows: Vec<String>| {
///     let parsed: Result<Vec<i64>, _> = rows.iter().map(|row| row.parse()).collect();
///     parsed.map_err(|error| Error::new(ErrorKind::Data, "not a number").with_source(error))
/// });
/// let mut output = Output::default();
/// parse.process(Batch::from_rows(vec!["1".to_owned(), "-2".to_owned()]), &mut output)?;
/// let Some(Emission::Batch(batch)) = output.take().next() else { panic!() };
/// assert_eq!(batch.into_rows::<i64>()?, [1, -2]);
/// # Ok::<(), Error>(())
/// ```
pub struct MapBatch<T, U, F> {
    function: F,
    rows: PhantomData<fn(T) -> U>,
}

impl<T, U, F: FnMut(Vec<T>) -> Result<Vec<U>>> MapBatch<T, U, F> {
    /// An operator that calls `function` with the rows of each batch.
    pub fn new(function: F) -> Self {
        Self {
            function,
            rows: PhantomData,
        }
    }
}

impl<T, U, F> Operator for MapBatch<T, U, F>
where
    T: Row,
    U: Row,
    F: FnMut(Vec<T>) -> Result<Vec<U>>,
{
    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let mapped = (self.function)(batch.into_rows()?)?;
        output.emit(Batch::from_rows(mapped));
        Ok(())
    }
}
