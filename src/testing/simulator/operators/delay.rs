//! Operator state as a list: records that wait.

use std::sync::Arc;

use super::super::witness::Testimony;
use super::{Record, keeper, not_open};
use crate::error::Result;
use crate::model::{Batch, CheckpointId};
use crate::operator::{FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output};
use crate::state::OperatorListState;

/// What a restore does with the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum ListKind {
    /// Its items are dealt out.
    List,
    /// Every subtask is given all items, and keeps those that it looks after.
    Union,
}

/// Keeps each batch in a list until the next one comes, and emits the last one at the end.
pub(in super::super) struct Delay {
    kind: ListKind,
    testimony: Arc<Testimony>,
    waiting: Option<OperatorListState<Record>>,
    has_finished: bool,
}

impl Delay {
    pub(in super::super) fn new(kind: ListKind, testimony: Arc<Testimony>) -> Self {
        Self {
            kind,
            testimony,
            waiting: None,
            has_finished: false,
        }
    }

    fn waiting(&self) -> Result<&OperatorListState<Record>> {
        self.waiting.as_ref().ok_or_else(not_open)
    }

    fn emit_waiting(&self, output: &mut Output) -> Result<()> {
        output.emit(Batch::from_rows(self.waiting()?.get().to_vec()));
        Ok(())
    }
}

impl Operator for Delay {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let (subtask, parallelism) = (context.subtask, context.parallelism);
        self.has_finished = self
            .testimony
            .opened(context.operator, subtask, parallelism);
        let waiting = match self.kind {
            ListKind::List => context.operator_state.list_state("waiting")?,
            ListKind::Union => {
                let all = context
                    .operator_state
                    .union_list_state::<Record>("waiting")?;
                let is_own = |record: &&Record| keeper(record, parallelism) == subtask;
                let own = all.get().iter().filter(is_own).copied().collect();
                all.update(own)?;
                all
            }
        };
        self.waiting = Some(waiting);
        Ok(())
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        self.emit_waiting(output)?;
        self.waiting()?.update(batch.into_rows::<Record>()?)
    }

    fn finish(&mut self, output: &mut Output) -> Result<FinishStatus> {
        self.testimony.finishes(self.has_finished);
        self.has_finished = true;
        self.emit_waiting(output)?;
        self.waiting()?.clear()?;
        Ok(FinishStatus::Done)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.testimony.sealed(checkpoint, self.has_finished, None);
        Ok(OperatorSnapshot::default())
    }
}
