//! How a subtask takes its snapshot: when, and what has to come together before it is handed over.

use std::time::Duration;

use super::{GATHER_BYTES_AT_BARRIER, Head, Phase, Subtask};
use crate::channel::{Alignment, Barrier};
use crate::error::Result;
use crate::model::CheckpointId;
use crate::runtime::slot::OperatorPart;
use crate::runtime::subtask_event::{SealedSubtask, SubtaskEvent};

/// A snapshot that is to be taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueSnapshot {
    pub(super) barrier: Barrier,
    /// How long the alignment took; nothing as long as the barrier is missing on inputs.
    pub(super) alignment: Option<Alignment>,
}

/// A snapshot that was taken and is not complete yet.
pub(super) struct Sealing {
    /// It, still without its operators, or without what is in flight.
    sealed: SealedSubtask,
    /// Whether all of its operators' parts are gathered.
    is_gathered: bool,
    /// Whether all that was in flight is captured.
    is_captured: bool,
}

impl DueSnapshot {
    /// A snapshot that waits for no other barrier.
    pub(super) fn at_once(barrier: Barrier) -> Self {
        Self {
            barrier,
            alignment: Some(Alignment::default()),
        }
    }
}

impl Subtask {
    /// Takes a snapshot now, or when what is under way through the chain has passed: there is no state that stands for
    /// half of a watermark, or for half of the end.
    pub(super) fn snapshot_when_possible(&mut self, due: DueSnapshot) -> Result<()> {
        let is_ending = match &self.head {
            // One that had finished before the restore sends no barrier any more, not even before its first step: its
            // readers wait for its end.
            Head::Source { .. } => {
                self.phase == Phase::Finishing
                    || (self.past.has_finished() && self.phase == Phase::Running)
            }
            Head::Links(inputs) => inputs.gate.has_ended() && self.phase != Phase::Finished,
        };
        let is_under_way = self.chain.is_watermark_under_way();
        if is_ending {
            // The end waits for room in the links, and a barrier that overtakes must not.
            let is_unbroken = !self.finish_begun && !self.past.has_finished() && !is_under_way;
            if !(is_unbroken && due.barrier.overtakes(self.setting.clock.elapsed())) {
                self.snapshots_after_finish.push(due);
                return Ok(());
            }
        } else if is_under_way {
            self.snapshots_after_watermark.push(due);
            return Ok(());
        }
        self.snapshot(due)
    }

    /// The barrier goes on first, so that the subtasks behind this one can begin while it takes its snapshot.
    pub(super) fn snapshot(&mut self, due: DueSnapshot) -> Result<()> {
        debug_assert!(!self.chain.is_watermark_under_way());
        let DueSnapshot { barrier, alignment } = due;
        // Barriers come in the order of their checkpoints, so the earlier ones will not come any more.
        self.awaited.retain(|awaited| *awaited > barrier.checkpoint);
        let started = self.setting.clock.elapsed();
        let has_ended = self.phase == Phase::Finished;
        self.outputs.send_barrier(barrier, started, has_ended)?;
        // Only one is gathered at a time. It is complete long before the next barrier, unless it was given up.
        self.gather(usize::MAX)?;
        debug_assert!(
            self.sealing.is_none(),
            "the gate ends a capture before it takes the next snapshot"
        );
        self.chain.begin_snapshot(barrier.checkpoint)?;
        if let Head::Links(inputs) = &mut self.head
            && barrier.overtakes_at.is_some()
        {
            inputs.begin_capture(barrier.checkpoint);
        }
        self.sealing = Some(Sealing {
            sealed: SealedSubtask {
                checkpoint: barrier.checkpoint,
                // The barrier can overtake the end of those before, which had finished as well.
                finished: has_ended || self.past.has_finished(),
                sync_duration: Duration::ZERO,
                alignment: alignment.unwrap_or_default(),
                state_size: self.chain.state_size(),
                is_unaligned: barrier.overtakes(started),
                in_flight: Vec::new(),
                operators: Vec::new(),
            },
            is_gathered: false,
            is_captured: alignment.is_some(),
        });
        let gathered = self.chain.gather(GATHER_BYTES_AT_BARRIER)?;
        if let Some(sealing) = &mut self.sealing {
            sealing.sealed.sync_duration = self.setting.clock.elapsed().saturating_sub(started);
        }
        self.on_gathered(gathered);
        Ok(())
    }

    /// Goes on gathering the snapshot that was begun, if there is one.
    pub(super) fn gather(&mut self, bytes_max: usize) -> Result<()> {
        if self.is_gathering() {
            let gathered = self.chain.gather(bytes_max)?;
            self.on_gathered(gathered);
        }
        Ok(())
    }

    /// Whether the operators' parts of a snapshot are still being gathered.
    pub(super) fn is_gathering(&self) -> bool {
        self.sealing
            .as_ref()
            .is_some_and(|sealing| !sealing.is_gathered)
    }

    /// The barrier has arrived on all inputs, after the snapshot.
    pub(super) fn on_aligned(&mut self, checkpoint: CheckpointId, alignment: Alignment) {
        for due in self
            .snapshots_after_finish
            .iter_mut()
            .chain(&mut self.snapshots_after_watermark)
        {
            if due.barrier.checkpoint == checkpoint {
                due.alignment = Some(alignment);
            }
        }
        if let Some(sealing) = self.sealing_of(checkpoint) {
            sealing.sealed.alignment = alignment;
            sealing.is_captured = true;
        }
        self.hand_over();
    }

    /// The checkpoint was given up before the barrier had arrived on all inputs. What was sealed is handed over all the
    /// same: the next checkpoint builds on it.
    pub(super) fn on_capture_ended(&mut self, checkpoint: CheckpointId) {
        self.forget_due(checkpoint);
        if let Head::Links(inputs) = &mut self.head {
            inputs.end_capture(checkpoint);
        }
        if let Some(sealing) = self.sealing_of(checkpoint) {
            sealing.is_captured = true;
        }
        self.hand_over();
    }

    /// A checkpoint was given up: no snapshot is to be taken for it.
    pub(super) fn forget_due(&mut self, checkpoint: CheckpointId) {
        for waiting in [
            &mut self.snapshots_after_finish,
            &mut self.snapshots_after_watermark,
        ] {
            waiting.retain(|due| due.barrier.checkpoint != checkpoint);
        }
    }

    /// Whether the snapshot that was taken still waits for a barrier.
    pub(super) fn is_capturing(&self) -> bool {
        self.sealing
            .as_ref()
            .is_some_and(|sealing| !sealing.is_captured)
    }

    fn sealing_of(&mut self, checkpoint: CheckpointId) -> Option<&mut Sealing> {
        self.sealing
            .as_mut()
            .filter(|sealing| sealing.sealed.checkpoint == checkpoint)
    }

    fn on_gathered(&mut self, gathered: Option<Vec<OperatorPart>>) {
        if let Some(operators) = gathered
            && let Some(sealing) = &mut self.sealing
        {
            sealing.sealed.operators = operators;
            sealing.is_gathered = true;
            self.hand_over();
        }
    }

    /// Hands a snapshot over when all of it is there.
    fn hand_over(&mut self) {
        let is_complete = |sealing: &mut Sealing| sealing.is_gathered && sealing.is_captured;
        let Some(Sealing { mut sealed, .. }) = self.sealing.take_if(is_complete) else {
            return;
        };
        if let Head::Links(inputs) = &mut self.head {
            sealed.in_flight = inputs.end_capture(sealed.checkpoint);
        }
        self.state_report.on_snapshot();
        self.events.push(SubtaskEvent::Snapshot(sealed));
    }
}
