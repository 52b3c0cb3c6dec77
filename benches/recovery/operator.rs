//! The operator whose recovery is measured: a sum by key, which tells how far it has come.

use std::collections::BTreeMap;

use floodmark::error::{Error, ErrorKind, Result};
use floodmark::model::Batch;
use floodmark::operator::{FinishStatus, Operator, OperatorContext, Output};
use floodmark::state::ValueState;

use crate::progress::{Stage, tell};
use crate::record::{Record, record};
use crate::value::SumValue;

/// Every such key's sum is compared with what it must be.
const SAMPLED_KEYS: u64 = 997;

/// What the operator needs to know of the job.
#[derive(Clone, Copy)]
pub(crate) struct SumSettings {
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    /// How many records there are, in all runs together; nothing in a run that is not to end by itself.
    pub(crate) rows: Option<u64>,
}

/// Adds up the values of each key, and checks the sums when all input has ended.
pub(crate) struct Sums<V: SumValue> {
    settings: SumSettings,
    state: Option<ValueState<u64, V>>,
    has_worked: bool,
}

impl<V: SumValue> Sums<V> {
    pub(crate) fn new(settings: SumSettings) -> Self {
        Self {
            settings,
            state: None,
            has_worked: false,
        }
    }

    fn state(&self) -> Result<&ValueState<u64, V>> {
        let not_open = || Error::new(ErrorKind::Bug, "the operator is not open");
        self.state.as_ref().ok_or_else(not_open)
    }

    /// Compares the sampled keys, and tells the totals, which whoever hears of all subtasks can check.
    fn check(&self, rows: u64) -> Result<()> {
        let keys = self.settings.keys;
        let mut expected = BTreeMap::new();
        for (key, value) in (0..rows).map(|index| record(index, keys)) {
            if key % SAMPLED_KEYS == 0 {
                *expected.entry(key).or_insert(0) += value;
            }
        }
        let (mut records, mut total) = (0_u64, 0_i64);
        self.state()?.for_each(|key, value| {
            let (key, sum) = (key.to_native(), V::sum(value));
            records += 1;
            total += sum;
            match expected.get(&key) {
                Some(expected) if *expected != sum => Err(Error::new(
                    ErrorKind::Bug,
                    format!("the sum of key {key} is {sum}, and must be {expected}"),
                )),
                _ => Ok(()),
            }
        })?;
        tell(Stage::Checked { records, total });
        Ok(())
    }
}

impl<V: SumValue> Operator for Sums<V> {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        tell(Stage::Opening);
        self.state = Some(context.keyed_state.value_state("sums")?);
        tell(Stage::Open);
        Ok(())
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let rows: Vec<Record> = batch.into_rows()?;
        let mut sums = Vec::with_capacity(rows.len());
        self.state()?.update_batch(
            rows.iter().map(|(key, _)| key),
            |_| V::zero(self.settings.value_bytes),
            |index, sum| sums.push((rows[index].0, V::add(sum, rows[index].1))),
        )?;
        output.emit(Batch::from_rows(sums));
        if !self.has_worked {
            self.has_worked = true;
            tell(Stage::Batch);
        }
        Ok(())
    }

    fn finish(&mut self, _output: &mut Output) -> Result<FinishStatus> {
        if let Some(rows) = self.settings.rows {
            self.check(rows)?;
        }
        Ok(FinishStatus::Done)
    }
}
