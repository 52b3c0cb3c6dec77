//! The operator whose state is watched: it keeps the newest value of each key.

use floodmark::error::{Error, ErrorKind, Result};
use floodmark::model::Batch;
use floodmark::operator::{Operator, OperatorContext, Output};
use floodmark::state::ValueState;

use crate::workload::Record;

/// Keeps the newest value of each key, and none of one that was removed.
#[derive(Default)]
pub(crate) struct Newest {
    state: Option<ValueState<u64, i64>>,
}

impl Operator for Newest {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.state = Some(context.keyed_state.value_state("newest")?);
        Ok(())
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let not_open = || Error::new(ErrorKind::Bug, "the operator is not open");
        let state = self.state.as_ref().ok_or_else(not_open)?;
        let rows: Vec<Record> = batch.into_rows()?;
        for (key, value) in &rows {
            match value {
                Some(value) => state.put(key, value)?,
                None => {
                    state.remove(key)?;
                }
            }
        }
        output.emit(Batch::from_rows(rows));
        Ok(())
    }
}
