//! How the job is started: plainly, or from a snapshot that somebody names.

use std::time::Duration;

use super::coverage::Happening;
use super::process::{Process, Stage};
use super::shelf::{Fate, SAVEPOINT_DIRECTORY};
use super::simulation::{Checked, Simulation, told};
use crate::coordinator::{RestartStrategy, Restarts};
use crate::engine::{ClaimMode, StartFrom};
use crate::model::{CheckpointId, Clock};
use crate::runtime::{SteppedRecovery, UsedIds};
use crate::snapshot::{CheckpointStore, Recovery};
use crate::storage::{Claimant, Holder};
use crate::testing::stepped_run::stepped_run;

/// The snapshot that whoever starts the job names, every time until it no longer matters.
#[derive(Clone, Debug)]
pub(super) struct Command {
    start: StartFrom,
    /// Its place on the shelf.
    snapshot: usize,
    /// Whether what the job has is left behind.
    is_fresh: bool,
    /// Whether the job has gone on from it.
    is_taken: bool,
    /// Whether the job has other checkpoints, which it is not to leave behind unasked.
    is_to_be_refused: bool,
}

impl Simulation {
    /// What is said when the job is started next.
    pub(super) fn choose_command(&mut self) {
        match &mut self.command {
            Some(command) if !command.is_taken && !command.is_to_be_refused => return,
            // The same command again: by now the job has checkpoints of that origin.
            Some(command) if command.is_taken && self.random.u8(0..3) > 0 => {
                command.is_fresh = false;
                return;
            }
            _ => self.command = None,
        }
        if self.incidents_left > 0 && self.random.u8(0..3) == 0 {
            self.name_snapshot();
        }
    }

    /// Names a snapshot to start from, if there is any.
    pub(super) fn name_snapshot(&mut self) {
        let Some(place) = self.shelf.choose(&self.disk, &mut self.random, |_| true) else {
            return;
        };
        self.incidents_left = self.incidents_left.saturating_sub(1);
        let has_checkpoints = self.has_checkpoints();
        if has_checkpoints && self.random.u8(0..6) == 0 {
            self.name_foreign_snapshot();
            return;
        }
        let is_savepoint = self
            .shelf
            .get(place)
            .is_some_and(|known| known.is_savepoint());
        let is_claimed = is_savepoint && self.random.bool();
        if is_savepoint && self.random.bool() {
            self.relocate(place);
        }
        let is_elsewhere = is_savepoint && self.random.bool();
        if is_elsewhere && self.disk.wipe("job").is_ok() {
            self.trace.add("the store is emptied".to_owned());
            self.coverage.note(Happening::RestoredElsewhere);
            self.newest = None;
            self.taken_over_as = None;
            self.shelf.forget_checkpoints();
            // The notes of savepoints that were being written are gone with the rest.
            self.may_leave_savepoint = true;
        }
        let claim_mode = match is_claimed {
            true => ClaimMode::Claim,
            false => ClaimMode::NoClaim,
        };
        self.name(place, claim_mode, has_checkpoints && !is_elsewhere, false);
    }

    /// Names one that the job must not be started from as long as it has checkpoints of another origin.
    fn name_foreign_snapshot(&mut self) {
        let origin = self.command.as_ref().map(|command| command.snapshot);
        let origin = origin.and_then(|place| self.shelf.get(place));
        let origin = origin.map(|known| known.checkpoint);
        let is_foreign = |id: CheckpointId| Some(id) != origin && self.taken_over_as.is_none();
        let chosen = self.shelf.choose(&self.disk, &mut self.random, |known| {
            is_foreign(known.checkpoint)
        });
        if let Some(place) = chosen {
            self.name(place, ClaimMode::NoClaim, false, true);
        }
    }

    fn name(
        &mut self,
        place: usize,
        claim_mode: ClaimMode,
        is_fresh: bool,
        is_to_be_refused: bool,
    ) {
        let Some(known) = self.shelf.get(place) else {
            return;
        };
        let command = Command {
            start: StartFrom {
                path: known.path.clone(),
                claim_mode,
            },
            snapshot: place,
            is_fresh,
            is_taken: false,
            is_to_be_refused,
        };
        self.trace.add(format!("{command:?}"));
        self.command = Some(command);
    }

    fn relocate(&mut self, place: usize) {
        let Some(known) = self.shelf.get_mut(place) else {
            return;
        };
        let path = format!("{SAVEPOINT_DIRECTORY}/moved-{}", self.starts);
        let from = known.folder().to_owned();
        let before = std::mem::replace(&mut known.path, path);
        let to = known.folder().to_owned();
        match self.disk.relocate(&from, &to) {
            Ok(()) => {
                self.trace.add(format!("{from} is moved to {to}"));
                self.coverage.note(Happening::Relocated);
            }
            Err(_) => known.path = before,
        }
    }

    /// Whether the job was, or is to be, started from this snapshot.
    pub(super) fn is_named(&self, place: usize) -> bool {
        (self.command.as_ref()).is_some_and(|command| command.snapshot == place)
    }

    fn has_checkpoints(&self) -> bool {
        let paths = self.disk.paths();
        let mut manifests = paths.iter().filter(|path| path.ends_with("/manifest.json"));
        manifests.any(|path| path.starts_with("job/"))
    }

    /// A process that is about to start; it takes the job over if somebody else has it.
    pub(super) fn start_process(&mut self, takes_over: bool) -> Checked<Process> {
        self.starts += 1;
        // Between two starts some time passes.
        self.clock.advance(Duration::from_millis(1));
        // The lock lies in the job's folder and makes it, without syncing anything.
        self.disk.make_folder("job");
        self.outside.use_disk(&self.disk);
        if self.incidents_left > 0 && !takes_over {
            if self.random.u8(0..4) == 0 {
                self.disturb_disk();
            }
            let lies = (self.random.u8(0..4) == 0).then(|| self.random.u64(..));
            if lies.is_some() {
                self.coverage.note(Happening::ListingsLied);
            }
            self.disk.lie(lies);
        }
        let parallelism = self.scenario.draw_parallelism(&mut self.random);
        self.trace.add(format!(
            "start {} at parallelism {parallelism}",
            self.starts
        ));
        let view = self.witness.view();
        let graph = self
            .scenario
            .recipe
            .graph(parallelism, &self.outside, &view);
        let store = CheckpointStore::over(self.disk.store(), "job").map_err(told)?;
        let settings = self.scenario.settings();
        let clock = self.clock.clone();
        let mut run = stepped_run(graph.map_err(told)?, &settings, store, clock, self.starts);
        run.savepoint_directory = Some(SAVEPOINT_DIRECTORY.to_owned());
        let command = self.command.as_ref().filter(|_| !takes_over);
        if let Some(command) = command {
            run.start_from = Some(command.start.clone());
            run.fresh = command.is_fresh;
        }
        let is_to_be_refused = command.is_some_and(|command| command.is_to_be_refused);
        let strategy = RestartStrategy::new(
            settings.restart.clone(),
            settings.checkpoint.interval.is_some(),
        );
        let claimant = Claimant {
            process: 1,
            now_unix_millis: self.clock.unix_millis(),
            takes_over,
        };
        let holder = match takes_over {
            true => Holder::Alive,
            false => Holder::Gone,
        };
        let claim = Some((claimant, holder));
        let recovery = SteppedRecovery::begin(run, UsedIds::default(), claim, &self.runtime);
        Ok(Process {
            stage: Stage::Recovering(recovery),
            restarts: Restarts::new(strategy, settings.restart.stop_on_repeat),
            view,
            is_owner: true,
            has_taken_over: takes_over,
            is_to_be_refused,
            has_started: false,
            has_progressed: false,
            last_triggered: None,
            is_asked_for_savepoint: false,
            savepoints: Vec::new(),
            stops: Vec::new(),
        })
    }

    /// The job goes on from what was found. Gives the id that this had when it was taken.
    pub(super) fn resume(
        &mut self,
        recovery: &Recovery,
        parallelism: usize,
    ) -> Checked<Option<CheckpointId>> {
        let manifest = recovery.checkpoint.as_ref().map(|loaded| loaded.manifest());
        let found = manifest.map(|manifest| manifest.checkpoint);
        self.last_recovered = Some(found.unwrap_or_default());
        let before = self.last_parallelism.replace(parallelism);
        let Some(manifest) = manifest else {
            return match &self.command {
                Some(command) if !command.is_taken => {
                    Err("the job has not gone on from the snapshot that was named".to_owned())
                }
                _ => Ok(None),
            };
        };
        self.note_positions(manifest)?;
        if before.is_some_and(|before| before != parallelism) {
            self.coverage.note(Happening::Rescaled);
        }
        let mut subtasks = (manifest.operators.values()).flat_map(|operator| &operator.subtasks);
        if subtasks.any(|subtask| !subtask.in_flight.is_empty()) {
            self.coverage.note(Happening::InFlightRestored);
        }
        let id = manifest.checkpoint;
        let is_taken_over = (manifest.started_from.as_ref())
            .is_some_and(|started| started.taken_over_as == id)
            && self.taken_over_as != Some(id);
        if is_taken_over {
            self.go_back_to_snapshot(id)?;
        }
        Ok(Some(id))
    }

    /// A snapshot was taken over as a checkpoint: whatever came after it is taken back.
    fn go_back_to_snapshot(&mut self, taken_over_as: CheckpointId) -> Checked<()> {
        let Some(command) = &mut self.command else {
            return Err("a snapshot was taken over that nobody has named".to_owned());
        };
        command.is_taken = true;
        let is_claimed = command.start.claim_mode == ClaimMode::Claim;
        let Some(known) = self.shelf.get_mut(command.snapshot) else {
            return Err("a snapshot was taken over that nobody knows".to_owned());
        };
        self.coverage.note(match known.is_savepoint() {
            true => Happening::StartedFromSavepoint,
            false => Happening::StartedFromCheckpoint,
        });
        if is_claimed {
            known.fate = Fate::Claimed;
            self.coverage.note(Happening::Claimed);
        }
        self.outside
            .go_back_to(known.transactions.clone(), known.checkpoint);
        self.witness.put_back(taken_over_as, &known.seals);
        self.taken_over_as = Some(taken_over_as);
        self.newest = Some(taken_over_as);
        Ok(())
    }
}
