//! What the tests of several operators share: an operator's surroundings, and random batches.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_schema::{Field, Schema};

use super::contract::{
    Emission, FinishStatus, Operator, OperatorContext, Output, RestoredOperatorState,
};
use super::job_context::JobContext;
use crate::channel::NoWake;
use crate::error::Result;
use crate::model::{Batch, ColumnType, OperatorId, SharedClock, SystemClock};
use crate::state::{KeyedStateBackend, OperatorStateBackend, test_backend};
use crate::telemetry::JobStatus;

/// Opens an operator on state of its own.
pub(super) fn open(
    operator: &mut dyn Operator,
    restored: Option<&RestoredOperatorState>,
) -> Result<()> {
    let clock = SystemClock::shared();
    open_with(operator, &mut test_backend(), restored, &clock)
}

/// Opens an operator on this state.
pub(super) fn open_on(
    operator: &mut dyn Operator,
    keyed_state: &mut KeyedStateBackend,
    restored: Option<&RestoredOperatorState>,
) -> Result<()> {
    open_with(operator, keyed_state, restored, &SystemClock::shared())
}

/// Opens an operator on state of its own, with a clock.
pub(super) fn open_with_clock(
    operator: &mut dyn Operator,
    restored: Option<&RestoredOperatorState>,
    clock: &SharedClock,
) -> Result<()> {
    open_with(operator, &mut test_backend(), restored, clock)
}

fn open_with(
    operator: &mut dyn Operator,
    keyed_state: &mut KeyedStateBackend,
    restored: Option<&RestoredOperatorState>,
    clock: &SharedClock,
) -> Result<()> {
    operator.open(&mut OperatorContext {
        job: &JobContext::alone("tested"),
        recovery: &mut Vec::new(),
        operator: &OperatorId::new("totals"),
        subtask: 0,
        parallelism: 1,
        clock,
        status: &JobStatus::shared(),
        wake: &NoWake::shared(),
        restored,
        keyed_state,
        operator_state: &mut OperatorStateBackend::new(0, 1, Vec::new()),
    })
}

/// Hands one batch to an operator, and gives back the batches that it emits.
pub(super) fn process(operator: &mut dyn Operator, batch: Batch) -> Result<Vec<Batch>> {
    let mut output = Output::default();
    operator.process(batch, &mut output)?;
    Ok(take_batches(&mut output))
}

/// Ends an operator's input; one entry for each call that was needed.
pub(super) fn finish(operator: &mut dyn Operator) -> Result<Vec<Vec<Batch>>> {
    let mut calls = Vec::new();
    loop {
        let mut output = Output::default();
        let status = operator.finish(&mut output)?;
        calls.push(take_batches(&mut output));
        if status == FinishStatus::Done {
            return Ok(calls);
        }
    }
}

/// Rows of all column types with nulls and few different values: `b` boolean, `i` int64, `f` float64, `s` string,
/// `t` timestamp. Floats are quarters, so that sums of them are exact.
pub(super) fn random_batch(random: &mut fastrand::Rng, rows: usize) -> RecordBatch {
    let mut column = |values: u64| -> Vec<Option<u64>> {
        (0..rows)
            .map(|_| (random.u8(..) >= 64).then(|| random.u64(..values)))
            .collect()
    };
    let booleans: BooleanArray = column(2).iter().map(|v| v.map(|v| v == 1)).collect();
    let integers: Int64Array = column(7).iter().map(|v| v.map(|v| v as i64 - 3)).collect();
    let floats: Float64Array = column(9)
        .iter()
        .map(|v| v.map(|v| v as f64 / 4.0 - 1.0))
        .collect();
    let texts: StringArray = column(5)
        .iter()
        .map(|v| v.map(|v| "ab".repeat(v as usize)))
        .collect();
    let timestamps: TimestampMillisecondArray =
        column(4).iter().map(|v| v.map(|v| v as i64)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(booleans),
        Arc::new(integers),
        Arc::new(floats),
        Arc::new(texts),
        Arc::new(timestamps.with_data_type(ColumnType::Timestamp.to_arrow())),
    ];
    RecordBatch::try_new(random_schema(), columns).unwrap()
}

/// The schema of [`random_batch`].
pub(super) fn random_schema() -> Arc<Schema> {
    let fields: Vec<Field> = ["b", "i", "f", "s", "t"]
        .into_iter()
        .zip(ColumnType::ALL)
        .map(|(name, column_type)| Field::new(name, column_type.to_arrow(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn take_batches(output: &mut Output) -> Vec<Batch> {
    let batch = |emission| match emission {
        Emission::Batch(batch) => Some(batch),
        Emission::Watermark(_) => None,
    };
    output.take().filter_map(batch).collect()
}
