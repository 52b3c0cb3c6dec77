//! What goes wrong, and what somebody asks for.

use std::path::Path;

use super::coverage::Happening;
use super::process::{Process, Stage};
use super::shelf::{Fate, KnownSnapshot};
use super::simulation::{Checked, Simulation, told};
use crate::engine::{SavepointRequest, StopRequest};
use crate::error::ErrorKind;
use crate::model::Clock;
use crate::runtime::Asked;
use crate::snapshot::CheckpointStore;
use crate::storage::{Claimant, Fault, Holder};

/// An incident of the disk comes within so many of its steps.
const STEPS_UNTIL_INCIDENT: usize = 60;

/// The outside fails within so many calls.
const CALLS_UNTIL_STRIKE: u32 = 12;

/// What somebody asks of a running job.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Cancel,
    Checkpoint,
    Savepoint,
    /// To stop, with a savepoint or without, drained or not.
    Stop,
}

impl Simulation {
    /// Something goes wrong, or somebody asks for something. Whether the machine is gone.
    pub(super) fn incident(&mut self, processes: &mut Vec<Process>) -> Checked<bool> {
        self.incidents_left -= 1;
        match self.random.u8(0..25) {
            0..=3 => {
                self.trace.add("crash".to_owned());
                self.coverage.note(Happening::Crashed);
                return Ok(true);
            }
            4..=6 => self.disturb_disk(),
            7..=8 => self.strike(),
            9..=11 => self.take_over(processes)?,
            12 => self.refuse_second_process(processes)?,
            13 => self.dispose(),
            14 => self.ask(processes, Wish::Cancel),
            15 => self.ask(processes, Wish::Checkpoint),
            16..=18 => self.ask(processes, Wish::Stop),
            _ => self.ask(processes, Wish::Savepoint),
        }
        Ok(false)
    }

    /// The disk stops for good before one of its next steps, or some of them fail.
    pub(super) fn disturb_disk(&mut self) {
        self.is_disturbed = true;
        self.coverage.note(Happening::StoreFailed);
        let step = self.disk.steps() + self.random.usize(0..STEPS_UNTIL_INCIDENT);
        let fault = match self.random.u8(0..4) {
            0 => {
                self.trace
                    .add(format!("the disk will stop before step {step}"));
                self.disk.stop_before(step);
                return;
            }
            1 => Fault::Done,
            2 => Fault::Torn,
            _ => Fault::Undone,
        };
        let count = [1, 1, 2, 20][self.random.usize(0..4)];
        self.trace
            .add(format!("{count} times {fault:?} from step {step} on"));
        self.disk.fail(step..step + count, fault);
    }

    /// The outside cannot be reached once, which fails the attempt.
    fn strike(&mut self) {
        let calls = self.random.u32(0..CALLS_UNTIL_STRIKE);
        self.trace
            .add(format!("the outside fails after {calls} calls"));
        self.is_disturbed = true;
        self.witness.strike_after(Some(calls));
    }

    /// Somebody asks for something, if the job runs.
    fn ask(&mut self, processes: &mut [Process], wish: Wish) {
        let Some(owner) = processes.last_mut() else {
            return;
        };
        owner.is_asked_for_savepoint |= matches!(wish, Wish::Savepoint | Wish::Stop);
        let Some(attempt) = owner.attempt() else {
            return;
        };
        self.trace.add(format!("{wish:?} is asked for"));
        let savepoint = SavepointRequest::default();
        match wish {
            Wish::Cancel => attempt.ask(Asked::Cancel),
            Wish::Checkpoint => attempt.ask(Asked::Checkpoint),
            Wish::Savepoint => {
                let savepoint = attempt.take_savepoint(savepoint);
                owner.savepoints.push(savepoint);
            }
            Wish::Stop => {
                let request = StopRequest {
                    savepoint: (self.random.u8(0..3) > 0).then_some(savepoint),
                    drain: self.random.u8(0..3) == 0,
                };
                if request.drain {
                    self.is_drained = true;
                    self.outside.cut_short();
                    self.coverage.note(Happening::Drained);
                }
                let stop = attempt.stop(request);
                owner.stops.push(stop);
            }
        }
    }

    /// Another process takes the job over, while the one that has it goes on.
    fn take_over(&mut self, processes: &mut Vec<Process>) -> Checked<()> {
        let Some(owner) = processes.last_mut() else {
            return Ok(());
        };
        // Between its last look at the owner's record and the last of its sinks that has opened, a process relies on the
        // outside to know better.
        let is_opening = owner.attempt().is_some_and(|attempt| attempt.is_opening());
        let is_starting = !owner.has_started;
        if is_opening || is_starting || matches!(owner.stage, Stage::Over) {
            return Ok(());
        }
        owner.is_owner = false;
        self.last_recovered = None;
        self.trace.add("the job is taken over".to_owned());
        self.coverage.note(Happening::TakenOver);
        let process = self.start_process(true)?;
        processes.push(process);
        Ok(())
    }

    /// A second process finds that the job belongs to one that lives.
    fn refuse_second_process(&mut self, processes: &[Process]) -> Checked<()> {
        if !processes.last().is_some_and(|owner| owner.has_started) {
            return Ok(());
        }
        let store = CheckpointStore::over(self.disk.store(), "job").map_err(told)?;
        let claimant = Claimant {
            process: 2,
            now_unix_millis: self.clock.unix_millis(),
            takes_over: false,
        };
        let steps = self.disk.steps();
        let claimed = store.claim_unlocked(&claimant, Holder::Alive);
        match self.runtime.block_on(claimed) {
            Err(error) if error.kind() == ErrorKind::Conflict && steps == self.disk.steps() => {
                self.coverage.note(Happening::SecondProcessRefused);
                Ok(())
            }
            _ if self.disk.has_stopped() => Ok(()),
            _ => Err("a second process was not refused".to_owned()),
        }
    }

    /// Somebody deletes a savepoint of theirs.
    fn dispose(&mut self) {
        let chosen = (self.shelf).choose(&self.disk, &mut self.random, KnownSnapshot::is_savepoint);
        let Some(place) = chosen.filter(|place| !self.is_named(*place)) else {
            return;
        };
        let Some(known) = self.shelf.get_mut(place) else {
            return;
        };
        known.fate = Fate::HalfDisposed;
        let path = known.path.clone();
        let store = CheckpointStore::over(self.disk.store(), "job");
        let disposed = self.runtime.block_on(async {
            let snapshot = store?.open_snapshot(&path, Path::new("/")).await?;
            snapshot.dispose().await
        });
        self.trace
            .add(format!("{path} is disposed of: {disposed:?}"));
        if disposed.is_ok()
            && let Some(known) = self.shelf.get_mut(place)
        {
            known.fate = Fate::Disposed;
            self.coverage.note(Happening::Disposed);
        }
    }
}
