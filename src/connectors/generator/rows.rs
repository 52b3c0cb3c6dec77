//! Typed rows, made by a closure.

use super::SplitRange;
use super::source::GenerateRows;
use crate::error::Result;
use crate::model::{Batch, Row};

/// Calls a closure with the split and the index of each record.
pub struct RowsGenerator<F>(pub(super) F);

impl<T, F> GenerateRows for RowsGenerator<F>
where
    T: Row,
    F: FnMut(u32, u64) -> T,
{
    fn generate(&mut self, range: SplitRange) -> Result<Batch> {
        let make = &mut self.0;
        let rows: Vec<T> = range
            .indexes()
            .map(|index| make(range.split, index))
            .collect();
        Ok(Batch::from_rows(rows))
    }
}
