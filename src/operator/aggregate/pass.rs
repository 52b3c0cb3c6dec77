//! One batch's way through the state: each key's aggregates are looked up once, whatever the number of its rows.

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};

use super::groups::Groups;
use super::number::{self, NumberOutput};
use super::plan::{Aggregate, Place, Plan};
use super::state::{AggregateState, StateKeys};
use super::text::{self, TextSource, Texts};
use crate::error::{Error, ErrorKind, Result};
use crate::operator::columns::TypedColumn;

/// A batch, grouped by key, and the state that it is to change.
pub(super) struct Pass<'a> {
    plan: &'a Plan,
    batch: &'a RecordBatch,
    groups: &'a Groups,
    keys: &'a StateKeys,
    state: &'a AggregateState,
    /// The input of each aggregate; nothing for `count()`.
    inputs: Vec<Option<TypedColumn<'a>>>,
}

impl<'a> Pass<'a> {
    /// A pass of `batch`; `groups` are its rows by key, and `keys` the key of each group.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the batch does not have the schema that the plan was made for.
    pub(super) fn new(
        plan: &'a Plan,
        batch: &'a RecordBatch,
        groups: &'a Groups,
        keys: &'a StateKeys,
        state: &'a AggregateState,
    ) -> Result<Self> {
        let typed = |aggregate: &Aggregate| {
            let input = aggregate.input.map(|input| {
                TypedColumn::new(batch.column(input.index).as_ref(), input.column_type)
            });
            input.transpose()
        };
        let inputs = plan.aggregates.iter().map(typed).collect::<Result<_>>()?;
        Ok(Self {
            plan,
            batch,
            groups,
            keys,
            state,
            inputs,
        })
    }

    /// Takes the rows into the state.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when a sum overflows; those of the keyed state.
    pub(super) fn run(self) -> Result<()> {
        self.run_numbers(&mut [])?;
        self.run_texts(&mut []).map(drop)
    }

    /// Takes the rows into the state, and gives the values after each row.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when a sum overflows; those of the keyed state.
    pub(super) fn run_with_output(self) -> Result<RecordBatch> {
        let rows = self.batch.num_rows();
        let mut numbers: Vec<NumberOutput> = (0..self.plan.numbers_len())
            .map(|_| NumberOutput::with_rows(rows))
            .collect();
        self.run_numbers(&mut numbers)?;
        let mut sources = vec![vec![TextSource::Null; rows]; self.plan.texts_len()];
        let stored = self.run_texts(&mut sources)?;
        self.collect(numbers, &sources, &stored)
    }

    /// `outputs` has one column for each cell, or is empty when no output is wanted.
    fn run_numbers(&self, outputs: &mut [NumberOutput]) -> Result<()> {
        let cells_len = self.plan.numbers_len();
        self.state
            .update_numbers(self.keys, self.groups.len(), cells_len, |group, cells| {
                let rows = self.groups.rows(group);
                for (aggregate, input) in self.plan.aggregates.iter().zip(&self.inputs) {
                    if let Place::Number(cell) = aggregate.place {
                        let output = outputs.get_mut(cell);
                        number::advance(aggregate, *input, rows, &mut cells[cell], output)?;
                    }
                }
                Ok(())
            })
    }

    /// `sources` has one column for each text, or is empty when no output is wanted. Gives back the texts that each
    /// group's key had before, to which the sources refer; nothing when no aggregate keeps a text.
    fn run_texts(&self, sources: &mut [Vec<TextSource>]) -> Result<Vec<Texts>> {
        let texts_len = self.plan.texts_len();
        if texts_len == 0 {
            return Ok(Vec::new());
        }
        let mut stored = Vec::with_capacity(self.groups.len());
        for group in 0..self.groups.len() {
            let texts = self.state.texts(self.keys, group, texts_len)?;
            let changed = self.run_texts_of(group, &texts, sources);
            if let Some(texts) = changed.as_ref().or(self.texts_to_renew(&texts)) {
                self.state.put_texts(self.keys, group, texts)?;
            }
            stored.push(texts);
        }
        Ok(stored)
    }

    /// The texts of a key, if they must be written again although they have not changed.
    fn texts_to_renew<'t>(&self, texts: &'t Texts) -> Option<&'t Texts> {
        let is_any = texts.iter().any(Option::is_some);
        (self.state.has_time_to_live() && is_any).then_some(texts)
    }

    /// The texts of a group's key after the batch, or nothing when they are those it had before.
    fn run_texts_of(
        &self,
        group: usize,
        texts: &Texts,
        sources: &mut [Vec<TextSource>],
    ) -> Option<Texts> {
        let mut changed: Option<Texts> = None;
        for (aggregate, input) in self.plan.aggregates.iter().zip(&self.inputs) {
            let (Place::Text(text), Some(TypedColumn::String(column))) = (aggregate.place, input)
            else {
                continue;
            };
            let before = texts[text].as_deref();
            let output = sources.get_mut(text).map(Vec::as_mut_slice);
            let rows = self.groups.rows(group);
            let source = text::advance(aggregate.function, column, rows, before, output);
            if let TextSource::Row(row) = source {
                let after = column.value(row as usize);
                if before != Some(after) {
                    changed.get_or_insert_with(|| texts.clone())[text] = Some(after.to_owned());
                }
            }
        }
        changed
    }

    fn collect(
        &self,
        numbers: Vec<NumberOutput>,
        sources: &[Vec<TextSource>],
        stored: &[Texts],
    ) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = self
            .plan
            .key_columns
            .iter()
            .map(|column| self.batch.column(column.index).clone())
            .collect();
        let mut numbers = numbers.into_iter();
        for aggregate in &self.plan.aggregates {
            columns.push(match (aggregate.place, aggregate.input) {
                (Place::Text(text), Some(input)) => {
                    let column: &StringArray = self.batch.column(input.index).as_string();
                    text::collect(&sources[text], column, self.groups, stored, text)
                }
                // Cells are numbered in the order of the aggregates.
                _ => numbers
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
