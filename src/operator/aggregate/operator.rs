//! The aggregate operator: state and settings brought together, batch by batch.

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use serde_json::json;

use super::config::{AggregateConfig, Emit};
use super::groups::Groups;
use super::pass::Pass;
use super::plan::Plan;
use super::portion::Portion;
use super::state::{AggregateState, StateKeys};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId};
use crate::operator::column_key::EncodedKeys;
use crate::operator::contract::{
    FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output, RestoredOperatorState,
};
use crate::state::ScanCursor;

/// About how many keys one call of `finish` emits: enough to be worth a batch, and few enough to hold up nothing else.
const FINISH_ROWS_MAX: usize = 4096;

/// Running aggregates by key over the columns of TOML jobs; [`AggregateConfig`] says which.
///
/// Its input must be partitioned by the key columns, with a [`KeyPartitioner`](crate::operator::KeyPartitioner).
///
/// With [`Emit::Update`] the key columns are passed on as they came. With [`Emit::Final`] they are read back from
/// state, where -0.0 has become 0.0. Final results that a checkpoint already covers are not emitted again after a
/// restore, unless more rows have arrived since.
pub struct AggregateOperator {
    plan: Plan,
    emit: Emit,
    /// The operator's state, once it is open.
    state: Option<AggregateState>,
    encoded: EncodedKeys,
    groups: Groups,
    keys: StateKeys,
    /// How far `finish` has come.
    cursor: ScanCursor,
    /// Whether the final results are out, and no row has arrived since.
    emitted: bool,
}

impl AggregateOperator {
    /// An operator for input of this schema.
    ///
    /// # Errors
    /// Those of [`AggregateConfig::output_schema`].
    pub fn new(config: &AggregateConfig, input: &Schema) -> Result<Self> {
        let plan = Plan::new(config, input)?;
        Ok(Self {
            keys: StateKeys::new(plan.has_map_key),
            plan,
            emit: config.emit,
            state: None,
            encoded: EncodedKeys::default(),
            groups: Groups::default(),
            cursor: ScanCursor::default(),
            emitted: false,
        })
    }

    /// The columns that it emits.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.plan.output_schema
    }

    fn take_up(&mut self, restored: &RestoredOperatorState) -> Result<()> {
        let schema = self.plan.state_schema();
        for item in restored.items() {
            schema.check(&item["schema"])?;
        }
        self.emitted = restored.items().next().is_some()
            && restored.items().all(|item| item["emitted"] == true);
        Ok(())
    }

    /// Finds the distinct keys of the batch, and the rows of each.
    fn group(&mut self, batch: &RecordBatch) -> Result<()> {
        let encoder = &self.plan.encoder;
        encoder.encode_batch(batch, &mut self.encoded)?;
        self.groups.assign(&self.encoded);
        let key_columns = self.plan.key_len();
        for group in 0..self.groups.len() {
            let bytes = self.encoded.key(self.groups.first_row(group));
            let key_len = encoder.prefix_len(bytes, key_columns)?;
            self.keys.set(group, bytes, key_len);
        }
        Ok(())
    }

    fn process_batch(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let batch = batch.into_columns()?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.emitted = false;
        self.cursor = ScanCursor::default();
        self.group(&batch)?;
        let state = self.state.as_ref().ok_or_else(not_open)?;
        let pass = Pass::new(&self.plan, &batch, &self.groups, &self.keys, state)?;
        match self.emit {
            Emit::Update => output.emit(Batch::Columns(pass.run_with_output()?)),
            Emit::Final => pass.run()?,
        }
        Ok(())
    }

    fn finish_portion(&mut self, output: &mut Output) -> Result<FinishStatus> {
        if self.emit == Emit::Update || self.emitted {
            return Ok(FinishStatus::Done);
        }
        let state = self.state.as_ref().ok_or_else(not_open)?;
        let mut portion = Portion::new(&self.plan);
        let more = portion.fill(state, &mut self.cursor, FINISH_ROWS_MAX)?;
        output.emit(Batch::Columns(portion.finish(state)?));
        if more {
            return Ok(FinishStatus::More);
        }
        self.emitted = true;
        Ok(FinishStatus::Done)
    }
}

impl Operator for AggregateOperator {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        if let Some(restored) = context.restored {
            self.take_up(restored)?;
        }
        self.state = Some(AggregateState::open(context, &self.plan)?);
        Ok(())
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        self.process_batch(batch, output)
    }

    fn finish(&mut self, output: &mut Output) -> Result<FinishStatus> {
        self.finish_portion(output)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let item = json!({ "schema": self.plan.state_schema(), "emitted": self.emitted });
        Ok(OperatorSnapshot {
            items: vec![item],
            ..OperatorSnapshot::default()
        })
    }
}

fn not_open() -> Error {
    Error::new(
        ErrorKind::Bug,
        "an aggregate operator was used before it was opened",
    )
}
