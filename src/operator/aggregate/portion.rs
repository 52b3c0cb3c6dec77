//! A portion of the final results, read from state.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch};

use super::number::NumberOutput;
use super::plan::{Place, Plan};
use super::state::{AggregateState, StateKeys};
use crate::error::{Error, ErrorKind, Result};
use crate::operator::column_key::KeyDecoder;
use crate::state::ScanCursor;

/// Output rows in the making, one for each key.
pub(super) struct Portion<'a> {
    plan: &'a Plan,
    rows: usize,
    decoder: KeyDecoder,
    numbers: Vec<NumberOutput>,
    /// The keys again, to look up their texts by; left empty when no aggregate keeps a text.
    keys: StateKeys,
}

impl<'a> Portion<'a> {
    /// No rows yet.
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            rows: 0,
            decoder: plan.encoder.decoder(),
            numbers: (0..plan.numbers_len())
                .map(|_| NumberOutput::default())
                .collect(),
            keys: StateKeys::new(plan.has_map_key),
        }
    }

    /// Reads about `rows_max` keys and their numbers from `cursor` on, and says whether there are more.
    ///
    /// # Errors
    /// Those of the keyed state, and [`ErrorKind::Corrupt`] when what it holds does not fit the plan.
    pub(super) fn fill(
        &mut self,
        state: &AggregateState,
        cursor: &mut ScanCursor,
        rows_max: usize,
    ) -> Result<bool> {
        let keeps_texts = self.plan.texts_len() > 0;
        let mut bytes = Vec::new();
        let cells_len = self.plan.numbers_len();
        state.scan(cursor, rows_max, cells_len, |key, map_key, cells| {
            bytes.clear();
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(map_key);
            self.decoder.push(&bytes)?;
            for aggregate in &self.plan.aggregates {
                if let Place::Number(cell) = aggregate.place {
                    self.numbers[cell].push(cells[cell].result(aggregate));
                }
            }
            if keeps_texts {
                self.keys.set(self.rows, &bytes, key.len());
            }
            self.rows += 1;
            Ok(())
        })
    }

    /// Adds the texts of the keys, and gives the batch.
    ///
    /// # Errors
    /// Those of the keyed state.
    pub(super) fn finish(self, state: &AggregateState) -> Result<RecordBatch> {
        let texts_len = self.plan.texts_len();
        let mut texts: Vec<StringBuilder> = (0..texts_len).map(|_| StringBuilder::new()).collect();
        if texts_len > 0 {
            for row in 0..self.rows {
                let stored = state.texts(&self.keys, row, texts_len)?;
                for (builder, text) in texts.iter_mut().zip(&stored) {
                    builder.append_option(text.as_deref());
                }
            }
        }
        let mut columns = self.decoder.finish();
        let mut numbers = self.numbers.into_iter();
        for aggregate in &self.plan.aggregates {
            columns.push(match aggregate.place {
                Place::Text(text) => Arc::new(texts[text].finish()) as ArrayRef,
                // Cells are numbered in the order of the aggregates.
                Place::Number(_) => numbers
                    .next()
                    .unwrap_or_default()
                    .into_array(aggregate.output_type)?,
            });
        }
        RecordBatch::try_new(self.plan.output_schema.clone(), columns).map_err(|error| {
            Error::new(ErrorKind::Bug, "cannot put an output batch together").with_source(error)
        })
    }
}
