//! The gate of a subtask: aligns the barriers of all its inputs.
//!
//! The gate is told what arrives, and answers with what is to be done. It reads nothing and waits for nothing itself.
//! A source has a gate without inputs: there each trigger is aligned at once.
//!
//! What is known of each input is the newest checkpoint whose barrier (or cancel barrier) it has delivered. Barriers
//! come in the order of their ids, so an input that has passed on to a newer checkpoint without the barrier of an
//! older one will never deliver the older one's: that checkpoint is given up.
//!
//! A barrier that overtakes is not waited for on all inputs: the snapshot is taken when it has arrived on one of them, and
//! on all on which no barrier can overtake. From then on it is *captured* what the others bring before it. A barrier that
//! does not overtake yet is aligned like any other; [`Gate::overtake`] says when its time has come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::barrier::Barrier;
use super::watermark::WatermarkTracker;
use crate::config::CheckpointMode;
use crate::model::{CheckpointId, EventTime};

mod command;
mod invariants;
mod overtaking;
#[cfg(test)]
mod overtaking_random_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;

pub use command::{Alignment, DeclineReason, GateCommand};

use overtaking::Capturing;

/// Aligns the barriers, and follows the watermarks, of all inputs of one subtask.
#[derive(Debug)]
pub struct Gate {
    mode: CheckpointMode,
    inputs: Vec<Input>,
    watermark: WatermarkTracker,
    /// Checkpoints in alignment, each with its first barrier. With [`CheckpointMode::ExactlyOnce`] there is at most one:
    /// the inputs that could bring a newer barrier have skipped the older, which is given up.
    aligning: BTreeMap<CheckpointId, Seen>,
    /// Checkpoints that were triggered, and not yet taken or given up.
    triggered: BTreeMap<CheckpointId, Seen>,
    /// The checkpoint whose snapshot was taken while its barrier was missing on inputs, as long as it is.
    capturing: Option<Capturing>,
    /// Checkpoints that were given up, and whose barriers may still come.
    given_up: BTreeSet<CheckpointId>,
    last_snapshot: CheckpointId,
}

/// How many given-up checkpoints a gate remembers, so that their late barriers change nothing. If more are given up
/// before a barrier comes through, the oldest is forgotten; its late barrier then begins an alignment that the next
/// barrier ends.
const GIVEN_UP_MAX: usize = 128;

/// A barrier, and when it was first heard of.
#[derive(Clone, Copy, Debug)]
struct Seen {
    barrier: Barrier,
    at: Duration,
}

#[derive(Clone, Debug, Default)]
struct Input {
    /// The newest checkpoint whose barrier or cancel barrier the input has delivered.
    newest: CheckpointId,
    has_ended: bool,
    /// Whether barriers can overtake what is in flight on it.
    may_overtake: bool,
}

impl Gate {
    /// A gate over inputs `0..inputs`. Checkpoint ids begin at 1.
    pub fn new(inputs: usize, mode: CheckpointMode) -> Self {
        Self {
            mode,
            inputs: vec![Input::default(); inputs],
            watermark: WatermarkTracker::new(inputs),
            aligning: BTreeMap::new(),
            triggered: BTreeMap::new(),
            capturing: None,
            given_up: BTreeSet::new(),
            last_snapshot: CheckpointId::default(),
        }
    }

    /// A barrier has arrived on `input`, in its place or ahead of it.
    pub fn barrier(&mut self, input: usize, barrier: Barrier, now: Duration) -> Vec<GateCommand> {
        let checkpoint = barrier.checkpoint;
        let mut commands = Vec::new();
        if checkpoint <= self.inputs[input].newest {
            return commands;
        }
        self.end_older(checkpoint, &mut commands);
        self.advance_input(input, checkpoint, &mut commands);
        if self.is_captured(checkpoint) {
            self.settle_capture(now, &mut commands);
        } else if self.can_align(checkpoint, &mut commands) {
            let first = self.aligning.get(&checkpoint).copied();
            let first = first.unwrap_or(Seen { barrier, at: now });
            if !self.settle(first, now, &mut commands) {
                self.aligning.insert(checkpoint, first);
                if self.is_blocked(input) {
                    commands.push(GateCommand::Block(input));
                }
            }
        }
        self.checked(commands)
    }

    /// A cancel barrier has arrived on `input`: `checkpoint` was given up upstream.
    pub fn cancel_barrier(&mut self, input: usize, checkpoint: CheckpointId) -> Vec<GateCommand> {
        let mut commands = Vec::new();
        self.advance_input(input, checkpoint, &mut commands);
        if self.is_captured(checkpoint) || !self.is_over(checkpoint) {
            self.decline(
                checkpoint,
                DeclineReason::CancellationBarrier,
                &mut commands,
            );
        }
        self.checked(commands)
    }

    /// `input` has ended: it counts as aligned from now on, and holds back no watermark.
    pub fn end(&mut self, input: usize, now: Duration) -> Vec<GateCommand> {
        let mut commands = Vec::new();
        if std::mem::replace(&mut self.inputs[input].has_ended, true) {
            return commands;
        }
        // First, since the next snapshot may be due as well.
        self.settle_capture(now, &mut commands);
        let mut waiting = self.aligning.clone();
        if self.has_ended() {
            for (checkpoint, Seen { barrier, .. }) in self.triggered.clone() {
                // No barrier has come for it.
                waiting
                    .entry(checkpoint)
                    .or_insert(Seen { barrier, at: now });
            }
        }
        for first in waiting.into_values() {
            self.settle(first, now, &mut commands);
        }
        if let Some(watermark) = self.watermark.advance(input, EventTime::MAX) {
            commands.push(GateCommand::AdvanceWatermark(watermark));
        }
        if self.has_ended() {
            commands.push(GateCommand::End);
        }
        self.checked(commands)
    }

    /// The coordinator has triggered the checkpoint of `barrier`. With inputs still open theirs are waited for.
    pub fn trigger(&mut self, barrier: Barrier, now: Duration) -> Vec<GateCommand> {
        let checkpoint = barrier.checkpoint;
        let mut commands = Vec::new();
        if self.can_align(checkpoint, &mut commands) {
            let seen = Seen { barrier, at: now };
            self.triggered.insert(checkpoint, seen);
            if self.has_ended() {
                self.settle(seen, now, &mut commands);
            }
        }
        self.checked(commands)
    }

    /// The coordinator has aborted `checkpoint`. It tells every subtask, so no cancel barrier is needed.
    pub fn abort(&mut self, checkpoint: CheckpointId) -> Vec<GateCommand> {
        let mut commands = Vec::new();
        if self.is_captured(checkpoint) || !self.is_over(checkpoint) {
            self.give_up(checkpoint, &mut commands);
        }
        self.checked(commands)
    }

    /// `input` has reached `time`. Returns the watermark of the subtask if that has advanced: the smallest of its
    /// open inputs'.
    pub fn watermark(&mut self, input: usize, time: EventTime) -> Option<EventTime> {
        self.watermark.advance(input, time)
    }

    /// Whether nothing may be read from `input` now.
    pub fn is_blocked(&self, input: usize) -> bool {
        self.mode == CheckpointMode::ExactlyOnce
            && self.aligning.contains_key(&self.inputs[input].newest)
    }

    /// Whether all inputs have ended.
    pub fn has_ended(&self) -> bool {
        self.inputs.iter().all(|input| input.has_ended)
    }

    /// The oldest checkpoint in alignment, if there is any.
    pub fn aligning(&self) -> Option<CheckpointId> {
        self.aligning.keys().next().copied()
    }

    /// `input` has delivered something of `checkpoint`: whatever it has skipped on the way there is given up.
    fn advance_input(
        &mut self,
        input: usize,
        checkpoint: CheckpointId,
        commands: &mut Vec<GateCommand>,
    ) {
        let before = self.inputs[input].newest;
        if checkpoint <= before {
            return;
        }
        self.inputs[input].newest = checkpoint;
        let waiting = self.aligning.keys().chain(self.triggered.keys()).copied();
        let capturing = self.capturing.iter().map(|capturing| capturing.checkpoint);
        let skipped: BTreeSet<_> = waiting
            .chain(capturing)
            .filter(|&waiting| before < waiting && waiting < checkpoint)
            .collect();
        for skipped in skipped {
            self.decline(skipped, DeclineReason::Subsumed, commands);
        }
    }

    /// Whether the alignment of `checkpoint` goes on or may begin. It is given up here when an input is past it and
    /// it is not in alignment: that input cannot have delivered its barrier.
    fn can_align(&mut self, checkpoint: CheckpointId, commands: &mut Vec<GateCommand>) -> bool {
        if self.is_over(checkpoint) {
            return false;
        }
        let is_skipped = self.inputs.iter().any(|input| input.newest > checkpoint)
            && !self.aligning.contains_key(&checkpoint);
        if is_skipped {
            self.decline(checkpoint, DeclineReason::Subsumed, commands);
        }
        !is_skipped
    }

    fn is_over(&self, checkpoint: CheckpointId) -> bool {
        checkpoint <= self.last_snapshot || self.given_up.contains(&checkpoint)
    }

    fn is_aligned(&self, checkpoint: CheckpointId) -> bool {
        self.inputs
            .iter()
            .all(|input| input.has_ended || input.newest >= checkpoint)
    }

    /// Takes the snapshot of the checkpoint with this `first` barrier if it is due. Gives whether it was.
    fn settle(&mut self, first: Seen, now: Duration, commands: &mut Vec<GateCommand>) -> bool {
        let Seen { barrier, at: begun } = first;
        let checkpoint = barrier.checkpoint;
        let is_aligned = self.is_aligned(checkpoint);
        if !is_aligned && !self.can_overtake(&barrier, now) {
            return false;
        }
        debug_assert!(checkpoint > self.last_snapshot, "snapshot ids only grow");
        let was_blocking = self.is_blocking();
        self.aligning.remove(&checkpoint);
        let triggered = self
            .triggered
            .get(&checkpoint)
            .map_or(begun, |seen| seen.at);
        let capturing = Capturing {
            checkpoint,
            start_delay: begun.saturating_sub(triggered),
            begun,
        };
        self.last_snapshot = checkpoint;
        self.triggered.retain(|&other, _| other > checkpoint);
        self.given_up.retain(|&other| other > checkpoint);
        commands.push(GateCommand::Snapshot {
            barrier,
            alignment: is_aligned.then(|| capturing.alignment(now)),
        });
        self.capturing = (!is_aligned).then_some(capturing);
        self.unblock(was_blocking, commands);
        true
    }

    fn decline(
        &mut self,
        checkpoint: CheckpointId,
        reason: DeclineReason,
        commands: &mut Vec<GateCommand>,
    ) {
        commands.push(GateCommand::Decline { checkpoint, reason });
        commands.push(GateCommand::ForwardCancel(checkpoint));
        self.give_up(checkpoint, commands);
    }

    fn give_up(&mut self, checkpoint: CheckpointId, commands: &mut Vec<GateCommand>) {
        let was_blocking = self.is_blocking();
        self.aligning.remove(&checkpoint);
        self.triggered.remove(&checkpoint);
        if self.is_captured(checkpoint) {
            self.capturing = None;
            commands.push(GateCommand::EndCapture(checkpoint));
        }
        self.given_up.insert(checkpoint);
        if self.given_up.len() > GIVEN_UP_MAX {
            self.given_up.pop_first();
        }
        self.unblock(was_blocking, commands);
    }

    fn is_blocking(&self) -> bool {
        (0..self.inputs.len()).any(|input| self.is_blocked(input))
    }

    fn unblock(&self, was_blocking: bool, commands: &mut Vec<GateCommand>) {
        if was_blocking && !self.is_blocking() {
            commands.push(GateCommand::UnblockAll);
        }
    }

    fn checked(&self, commands: Vec<GateCommand>) -> Vec<GateCommand> {
        debug_assert_eq!(self.check_invariants(), Ok(()));
        commands
    }
}
