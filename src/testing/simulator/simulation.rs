//! One run from one seed: the job is started, goes through whatever the seed has in store for it, and must come to its end.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};

use super::outside::{Outside, check_is_durable};
use super::scenario::Scenario;
use super::trace::Trace;
use crate::config::CheckpointMode;
use crate::coordinator::JobState;
use crate::error::{Error, ErrorKind};
use crate::model::{CheckpointId, Clock, ManualClock};
use crate::runtime::{Action, Asked, Deed, SteppedAttempt};
use crate::snapshot::{CheckpointStore, Damage, Recovery};
use crate::storage::{Fault, SimulatedDisk};
use crate::testing::stepped_run::stepped_run;

/// After so many actions a run counts as one that does not come to its end.
const ACTIONS_MAX: usize = 400_000;

/// An incident of the disk comes within so many of its steps.
const STEPS_UNTIL_INCIDENT: usize = 60;

/// The outcome of a run that held all promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// What two runs of one seed have in common.
    pub(super) trace: u64,
    pub(super) actions: usize,
    pub(super) starts: u64,
    pub(super) completed: u64,
}

/// A promise that a run has broken.
pub(super) struct Broken {
    pub(super) seed: u64,
    pub(super) promise: String,
    pub(super) scenario: Scenario,
    pub(super) trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(formatter, "{line}")?;
        }
        writeln!(formatter, "{:#?}", self.scenario)?;
        write!(formatter, "seed {}: {}", self.seed, self.promise)
    }
}

/// A run that is under way.
pub(super) struct Simulation {
    seed: u64,
    random: Rng,
    scenario: Scenario,
    outside: Arc<Outside>,
    clock: Arc<ManualClock>,
    runtime: Runtime,
    disk: SimulatedDisk,
    /// How many steps of the disk are in the trace.
    steps_traced: usize,
    trace: Trace,
    starts: u64,
    incidents_left: usize,
    actions: usize,
    completed: u64,
    /// The newest checkpoint of which the coordinator has heard that it is complete.
    newest: Option<CheckpointId>,
    /// Whether the disk of this process is to stop or to fail.
    is_disturbed: bool,
}

/// Why an attempt is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Finished,
    /// It can be started again.
    Ended,
    Crashed,
}

type Checked<T> = Result<T, String>;

impl Simulation {
    /// Runs a seed to its end.
    pub(super) fn run(seed: u64, keeps_trace: bool) -> Result<Summary, Box<Broken>> {
        let mut random = Rng::with_seed(seed);
        let scenario = Scenario::draw(&mut random);
        let outside = Outside::new(
            scenario.recipe.expected(),
            scenario.checkpoint.mode == CheckpointMode::AtLeastOnce,
        );
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let mut simulation = Self {
            seed,
            random,
            incidents_left: scenario.incidents,
            scenario,
            outside,
            clock: Arc::default(),
            runtime,
            disk: SimulatedDisk::default(),
            steps_traced: 0,
            trace: Trace::new(keeps_trace),
            starts: 0,
            actions: 0,
            completed: 0,
            newest: None,
            is_disturbed: false,
        };
        match simulation.live() {
            Ok(()) => Ok(Summary {
                trace: simulation.trace.hash(),
                actions: simulation.actions,
                starts: simulation.starts,
                completed: simulation.completed,
            }),
            Err(promise) => Err(Box::new(Broken {
                seed: simulation.seed,
                promise,
                scenario: simulation.scenario,
                trace: simulation.trace.lines().to_vec(),
            })),
        }
    }

    fn live(&mut self) -> Checked<()> {
        while self.attempt()? != Over::Finished {}
        // Again without incidents, until the last checkpoints have superseded all that were there before: nothing is left to
        // do, and what crashes have left behind goes.
        self.incidents_left = 0;
        for _ in 0..=self.scenario.checkpoint.retain {
            match self.attempt()? {
                Over::Finished => {}
                over => {
                    return Err(format!(
                        "a finished job has {over:?} when it is started again"
                    ));
                }
            }
        }
        if let Some(missing) = self.outside.missing() {
            return Err(format!("the job has finished, but {missing}"));
        }
        self.check_nothing_is_left_behind()
    }

    /// One start of the job, to its end or its crash.
    fn attempt(&mut self) -> Checked<Over> {
        self.starts += 1;
        // Between two starts some time passes.
        self.clock.advance(Duration::from_millis(1));
        // The lock lies in the job's folder and makes it, without syncing anything.
        self.disk.make_folder("job");
        self.outside.use_disk(&self.disk);
        let parallelism = self.scenario.draw_parallelism(&mut self.random);
        self.trace.add(format!(
            "start {} at parallelism {parallelism}",
            self.starts
        ));
        if self.incidents_left > 0 && self.random.u8(0..4) == 0 {
            self.disturb_disk();
        }
        let over = match self.start(parallelism)? {
            Some(mut attempt) => self.play(&mut attempt)?,
            None => Over::Crashed,
        };
        self.end_process();
        Ok(over)
    }

    /// Recovers the job. Gives nothing when the disk did not let it.
    fn start(&mut self, parallelism: usize) -> Checked<Option<SteppedAttempt>> {
        let told = |error: Error| error.full_message();
        let store = CheckpointStore::over(self.disk.store(), "job").map_err(told)?;
        let graph = self.scenario.recipe.graph(parallelism, &self.outside);
        let run = stepped_run(
            graph.map_err(told)?,
            &self.scenario.settings(),
            store,
            self.clock.clone(),
            self.starts,
        );
        let recovered = SteppedAttempt::recover(&run, &self.runtime);
        self.trace_disk()?;
        match recovered {
            Ok(recovery) => {
                self.check_recovery(&recovery)?;
                let attempt = SteppedAttempt::new(&run, &recovery, &self.runtime);
                attempt.map(Some).map_err(told)
            }
            Err(error) if self.is_disturbed && error.kind() == ErrorKind::Environment => Ok(None),
            Err(error) => Err(format!("the job cannot be started: {}", told(error))),
        }
    }

    /// Lets things happen until the attempt is over.
    fn play(&mut self, attempt: &mut SteppedAttempt) -> Checked<Over> {
        loop {
            self.actions += 1;
            if self.actions > ACTIONS_MAX {
                return Err("the job does not come to its end".to_owned());
            }
            if self.incidents_left > 0 {
                if self.random.u32(0..self.scenario.calm) == 0 && self.incident(attempt) {
                    return Ok(Over::Crashed);
                }
                if self.random.u32(0..self.scenario.pace.clock) == 0 {
                    let nanos = self.scenario.pace.clock_max.as_nanos() as u64;
                    self.clock
                        .advance(Duration::from_nanos(self.random.u64(0..nanos)));
                }
            }
            let Some(action) = self.choose(&attempt.actions()) else {
                match self.at_rest(attempt)? {
                    Some(over) => return Ok(over),
                    None => continue,
                }
            };
            let rows_max = self.random.usize(1..=self.scenario.pace.rows_max);
            let deed = attempt.perform(action, rows_max);
            self.trace.add(deed.to_string());
            if let Some(violation) = self.outside.violation() {
                return Err(violation);
            }
            attempt.check_invariants()?;
            if self.disk.has_stopped() {
                return Ok(Over::Crashed);
            }
            self.trace_disk()?;
            if let Deed::HeardManifest(checkpoint, true) = deed {
                self.check_completed(checkpoint)?;
            }
        }
    }

    /// Nothing can happen now: the attempt is over, or time has to pass.
    fn at_rest(&mut self, attempt: &SteppedAttempt) -> Checked<Option<Over>> {
        if let Some(end) = attempt.end() {
            return match (end.state, &end.failure) {
                (JobState::Finished, _) => Ok(Some(Over::Finished)),
                (JobState::Failed, Some(error)) if error.kind() == ErrorKind::Environment => {
                    // A job that tolerates nothing could fail for ever.
                    self.incidents_left = self.incidents_left.saturating_sub(1);
                    Ok(Some(Over::Ended))
                }
                (JobState::Stopped | JobState::Cancelled, _) => Ok(Some(Over::Ended)),
                (state, failure) => Err(format!("the job is {state:?}: {failure:?}")),
            };
        }
        match attempt.next_time() {
            Some(time) => {
                self.clock
                    .advance(time.saturating_sub(self.clock.elapsed()));
                Ok(None)
            }
            None => Err("the job stands still, and waits for nothing".to_owned()),
        }
    }

    /// Something goes wrong, or somebody asks for something. Whether the process is gone.
    fn incident(&mut self, attempt: &mut SteppedAttempt) -> bool {
        self.incidents_left -= 1;
        let request = match self.random.u8(0..10) {
            0..=3 => {
                self.trace.add("crash".to_owned());
                return true;
            }
            4..=6 => {
                self.disturb_disk();
                return false;
            }
            7 => Asked::Stop,
            8 => Asked::Cancel,
            _ => Asked::Checkpoint,
        };
        self.trace.add(format!("{request:?} is asked for"));
        attempt.ask(request);
        false
    }

    /// The disk stops for good before one of its next steps, or some of them fail.
    fn disturb_disk(&mut self) {
        self.is_disturbed = true;
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

    /// The process is gone, and the next one finds the disk as it is; now and then the power is gone as well.
    fn end_process(&mut self) {
        self.disk = if self.incidents_left > 0 && self.random.u8(0..3) == 0 {
            self.trace.add("power cut".to_owned());
            self.disk.after_power_cut(&mut self.random)
        } else {
            self.disk.after_kill()
        };
        self.is_disturbed = false;
        self.steps_traced = 0;
    }

    /// Picks one of the actions, by their weights.
    fn choose(&mut self, actions: &[Action]) -> Option<Action> {
        let pace = self.scenario.pace;
        let is_calm = self.incidents_left == 0;
        let weight = |action: &Action| match action {
            _ if is_calm => 1,
            Action::Open(_) | Action::Step(_) => u32::from(pace.step),
            Action::Order(_) => u32::from(pace.order),
            Action::Letter(_) | Action::Tick => u32::from(pace.letter),
            Action::Background(_) => u32::from(pace.background),
        };
        let total: u32 = actions.iter().map(weight).sum();
        if total == 0 {
            return None;
        }
        let mut left = self.random.u32(0..total);
        actions.iter().copied().find(|action| {
            let weight = weight(action);
            let is_it = left < weight;
            left = left.saturating_sub(weight);
            is_it
        })
    }

    /// Takes the disk's last steps into the trace. After each removal, everything must still be there that a manifest
    /// refers to.
    fn trace_disk(&mut self) -> Checked<()> {
        let steps = self.disk.steps_since(self.steps_traced);
        self.steps_traced += steps.len();
        let mut has_removed = false;
        for step in steps {
            has_removed |= step.starts_with("remove job/");
            self.trace.add(step);
        }
        match has_removed && !self.disk.has_stopped() {
            true => self.check_references().map(drop),
            false => Ok(()),
        }
    }

    fn check_completed(&mut self, checkpoint: CheckpointId) -> Checked<()> {
        self.completed += 1;
        if self.newest >= Some(checkpoint) {
            return Err(format!("{checkpoint} is complete after {:?}", self.newest));
        }
        self.newest = Some(checkpoint);
        check_is_durable(&self.disk, checkpoint)
            .map_err(|violation| format!("{checkpoint} counts as complete, but {violation}"))
    }

    /// What is gone on from is the newest complete checkpoint or one that is newer still, nothing is damaged, and no id
    /// is used twice of which there is a trace.
    fn check_recovery(&self, recovery: &Recovery) -> Checked<()> {
        let found = recovery.checkpoint.as_ref();
        let found = found.map(|loaded| loaded.manifest().checkpoint);
        let next = recovery.next_id();
        let of_folder = |path: &String| {
            let id = path.strip_prefix("job/chk-")?.split('/').next()?;
            id.parse().ok().map(CheckpointId)
        };
        let highest = self.disk.paths().iter().filter_map(of_folder).max();
        if !recovery.damaged.is_empty() {
            Err(format!("damaged: {:?}", recovery.damaged))
        } else if found < self.newest {
            Err(format!(
                "{found:?} is restored, although {:?} was complete",
                self.newest
            ))
        } else if Some(next) <= highest.max(self.newest) {
            Err(format!(
                "the next checkpoint is {next}, which was used before"
            ))
        } else {
            Ok(())
        }
    }

    /// Everything that a manifest refers to is there. Gives all paths that there is a reason for.
    fn check_references(&self) -> Checked<BTreeSet<String>> {
        let told = |error: Error| error.full_message();
        let store = CheckpointStore::over(self.disk.store(), "job").map_err(told)?;
        let always = ["job/", "job/shared/", "job/history.json"];
        let mut reasons = BTreeSet::from(always.map(str::to_owned));
        for listed in self.runtime.block_on(store.list()).map_err(told)? {
            let id = listed.checkpoint;
            match listed.summary {
                Ok(_) => {}
                Err(Damage::Incomplete) => continue,
                Err(damage) => return Err(format!("checkpoint {id}: {damage}")),
            }
            let manifest = self.runtime.block_on(store.manifest(id)).map_err(told)?;
            reasons.insert(format!("job/chk-{id}/"));
            reasons.insert(format!("job/chk-{id}/manifest.json"));
            let objects = manifest
                .pieces()
                .map(|piece| format!("job/{}", piece.object));
            reasons.extend(objects);
        }
        Ok(reasons)
    }

    /// There is nothing in the store but the checkpoints that are kept.
    fn check_nothing_is_left_behind(&self) -> Checked<()> {
        let reasons = self.check_references()?;
        let found: BTreeSet<String> = self.disk.paths().into_iter().collect();
        let left: Vec<_> = found.difference(&reasons).collect();
        let is_manifest = |path: &&String| path.ends_with("/manifest.json");
        let kept = found.iter().filter(is_manifest).count();
        if !left.is_empty() {
            Err(format!("left behind: {left:?}"))
        } else if kept > self.scenario.checkpoint.retain {
            Err(format!("{kept} checkpoints are kept"))
        } else {
            Ok(())
        }
    }
}
