//! Settings and batches in, batches out: what the tests here have in common.

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;

use super::super::{AggregateConfig, AggregateOperator};
use crate::error::Result;
use crate::model::{Batch, CheckpointId};
use crate::operator::contract::{Operator, RestoredOperatorState};
use crate::operator::test_support::{finish, open, process};

pub(super) fn config(settings: &str) -> AggregateConfig {
    toml::from_str(settings).unwrap()
}

/// An operator that is open, on state of its own.
pub(super) fn operator(config: &AggregateConfig, batch: &RecordBatch) -> AggregateOperator {
    let mut operator = AggregateOperator::new(config, &batch.schema()).unwrap();
    open(&mut operator, None).unwrap();
    operator
}

/// All rows that the operator emits for the rows of `input`, handed over in batches that end at `ends`.
pub(super) fn updates(
    operator: &mut AggregateOperator,
    input: &RecordBatch,
    ends: &[usize],
) -> Result<RecordBatch> {
    let mut emitted = Vec::new();
    let mut start = 0;
    for end in ends {
        let batch = input.slice(start, end - start);
        emitted.extend(process(operator, Batch::Columns(batch))?);
        start = *end;
    }
    Ok(join(operator, emitted))
}

/// All rows that the operator emits when the input ends.
pub(super) fn finals(operator: &mut AggregateOperator) -> RecordBatch {
    let calls = finish(operator).unwrap();
    join(operator, calls.into_iter().flatten().collect())
}

pub(super) fn join(operator: &AggregateOperator, batches: Vec<Batch>) -> RecordBatch {
    let batches: Vec<RecordBatch> = batches
        .into_iter()
        .map(|batch| batch.into_columns().unwrap())
        .collect();
    concat_batches(operator.output_schema(), &batches).unwrap()
}

/// What the operator puts into a checkpoint beside its keyed state.
pub(super) fn snapshot(operator: &mut AggregateOperator) -> serde_json::Value {
    operator.snapshot(CheckpointId(1)).unwrap().items.remove(0)
}

/// What subtasks with one item each had put into a checkpoint.
pub(super) fn restored(items: Vec<serde_json::Value>) -> RestoredOperatorState {
    RestoredOperatorState {
        subtasks: items.into_iter().map(|item| vec![item]).collect(),
    }
}
