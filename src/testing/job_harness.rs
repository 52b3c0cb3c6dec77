//! A whole job under test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};

use super::fault_point::FaultPoint;
use super::stepped_run::stepped_run;
use crate::config::JobFile;
use crate::coordinator::JobState;
use crate::engine::{EngineSettings, JobOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{self, JobGraph};
use crate::model::{CheckpointId, Clock, ManualClock};
use crate::runtime::{Asked, Deed, JobRun, SteppedAttempt};
use crate::snapshot::CheckpointStore;
use crate::storage::SimulatedDisk;

#[cfg(test)]
mod mode_tests;

/// How many rows a step of a subtask works off at most: few, so that many orders are possible.
const STEP_ROWS_MAX: usize = 64;

/// How many actions one call allows before it says that the job does not come to rest.
const ACTIONS_MAX: usize = 10_000_000;

/// How often the clock is moved at most to bring a job to its end.
const CLOCK_MOVES_MAX: usize = 100_000;

/// Runs a whole job, as far as a test says.
///
/// The job's checkpoints lie in memory, and its clock is a [`ManualClock`]. Nothing happens between the calls. Checkpoints
/// are taken by [`JobHarness::checkpoint`] and, if the settings have an interval, by the clock.
pub struct JobHarness {
    graph: JobGraph,
    settings: EngineSettings,
    clock: Arc<ManualClock>,
    random: Rng,
    runtime: Runtime,
    disk: SimulatedDisk,
    /// The store as it was when each checkpoint had just completed.
    images: BTreeMap<CheckpointId, SimulatedDisk>,
    attempt: Option<SteppedAttempt>,
    starts: u64,
    crash_at: Option<FaultPoint>,
}

impl JobHarness {
    /// A harness of a job with the settings that are the default, so without periodic checkpoints.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the graph is wrong.
    pub fn new(graph: JobGraph) -> Result<Self> {
        Self::with_settings(graph, EngineSettings::default())
    }

    /// The same with settings of one's own. Where checkpoints and working state would lie does not count, nor does the
    /// clock.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the graph is wrong.
    pub fn with_settings(graph: JobGraph, settings: EngineSettings) -> Result<Self> {
        graph.validate()?;
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| Error::io("make the timers of the store", error))?;
        Ok(Self {
            graph,
            settings,
            clock: Arc::default(),
            random: Rng::with_seed(0),
            runtime,
            disk: SimulatedDisk::default(),
            images: BTreeMap::new(),
            attempt: None,
            starts: 0,
            crash_at: None,
        })
    }

    /// A harness of the job that a file describes; `text` is what stands in it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] with every problem of the text.
    pub fn from_toml(text: &str) -> Result<Self> {
        let file = JobFile::parse("job.toml", text)?;
        Self::with_settings(graph::build(&file)?, EngineSettings::from(&file))
    }

    /// Sets what the order of everything follows from that the test does not decide. 0 unless set.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.random = Rng::with_seed(seed);
        self
    }

    /// The job's clock. To move it does nothing by itself; [`JobHarness::advance`] also lets the job act on it.
    pub fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    /// Starts the job, or goes on from its newest checkpoint after a crash, and opens all its operators.
    ///
    /// # Errors
    /// What keeps the job from starting. [`ErrorKind::Conflict`] when it is running.
    pub fn start(&mut self) -> Result<()> {
        if self.attempt.is_some() {
            let message =
                "the job is running; crash it, or run it to its end, before it is started";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.starts += 1;
        let run = self.run()?;
        let recovery = SteppedAttempt::recover(&run, &self.runtime)?;
        self.attempt = Some(SteppedAttempt::new(&run, &recovery, &self.runtime)?);
        self.run_until_idle()
    }

    /// Goes on from the newest checkpoint with so many subtasks of each operator.
    ///
    /// # Errors
    /// As for [`JobHarness::start`]; [`ErrorKind::Configuration`] for a parallelism that the graph cannot have.
    pub fn restore_at(&mut self, parallelism: usize) -> Result<()> {
        self.set_parallelism(parallelism)?;
        self.start()
    }

    /// Sets how many subtasks each operator has from the next start on.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a parallelism that the graph cannot have.
    pub fn set_parallelism(&mut self, parallelism: usize) -> Result<()> {
        let before = std::mem::replace(&mut self.graph.parallelism, parallelism);
        let validated = self.graph.validate();
        if validated.is_err() {
            self.graph.parallelism = before;
        }
        validated
    }

    /// Sets the settings from the next start on, for a job that is to go on in another mode, for example.
    pub fn set_settings(&mut self, settings: EngineSettings) {
        self.settings = settings;
    }

    /// Goes back to a checkpoint that was complete at some time, and on from there: what came later is as if it had never
    /// been, in the store and in what [`super::collect`] shows.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a checkpoint that never was complete, and as for [`JobHarness::start`].
    pub fn restore_from(&mut self, checkpoint: CheckpointId) -> Result<()> {
        let Some(image) = self.images.get(&checkpoint) else {
            let message = format!("checkpoint {checkpoint} was never complete");
            return Err(Error::new(ErrorKind::Configuration, message));
        };
        if self.attempt.is_none() {
            self.disk = image.after_kill();
            self.images.split_off(&checkpoint.next());
        }
        self.start()
    }

    /// Lets the job do all that it can without more rows and without time.
    ///
    /// # Errors
    /// What the job failed with.
    pub fn run_until_idle(&mut self) -> Result<()> {
        self.rouse();
        for _ in 0..ACTIONS_MAX {
            if !self.act()? {
                return Ok(());
            }
        }
        let message = format!("the job has not come to rest after {ACTIONS_MAX} actions");
        Err(Error::new(ErrorKind::Operator, message))
    }

    /// Lets so many things happen, or as many as can: to stop in the middle of something.
    ///
    /// # Errors
    /// What the job failed with.
    pub fn run_actions(&mut self, count: usize) -> Result<()> {
        self.rouse();
        for _ in 0..count {
            if !self.act()? {
                break;
            }
        }
        Ok(())
    }

    /// Moves the clock on, and lets the job do all that it can then.
    ///
    /// # Errors
    /// What the job failed with.
    pub fn advance(&mut self, duration: Duration) -> Result<()> {
        self.clock.advance(duration);
        self.run_until_idle()
    }

    /// Lets the job work off all that it has, and takes a checkpoint. Gives its id, or nothing when a crash at a
    /// [`FaultPoint`] came before it was complete.
    ///
    /// # Errors
    /// What the job failed with; [`ErrorKind::Environment`] when the checkpoint failed.
    pub fn checkpoint(&mut self) -> Result<Option<CheckpointId>> {
        self.run_until_idle()?;
        let before = self.newest();
        self.request(Asked::Checkpoint)?;
        self.run_until_idle()?;
        let newest = self.newest();
        if newest > before {
            return Ok(newest);
        }
        match self.attempt {
            None => Ok(None),
            Some(_) => {
                let message = "the checkpoint that was asked for has failed";
                Err(Error::new(ErrorKind::Environment, message))
            }
        }
    }

    /// Lets the job work off all that it has, and stops it with a last checkpoint, from which [`JobHarness::start`] goes
    /// on once [`JobHarness::run_to_end`] has said that it has stopped.
    ///
    /// # Errors
    /// What the job failed with.
    pub fn stop(&mut self) -> Result<()> {
        self.run_until_idle()?;
        self.request(Asked::Stop)?;
        self.run_until_idle()
    }

    /// Lets the job run to its end, and moves the clock whenever nothing happens without it. A job that ends at a
    /// [`FaultPoint`] counts as cancelled.
    ///
    /// # Errors
    /// What the job failed with; [`ErrorKind::Operator`] when it waits for something that never comes, such as the end of
    /// a [`super::RowsIn`].
    pub fn run_to_end(&mut self) -> Result<JobOutcome> {
        for _ in 0..CLOCK_MOVES_MAX {
            self.run_until_idle()?;
            let Some(attempt) = &self.attempt else {
                return Ok(JobOutcome::Cancelled);
            };
            if let Some(end) = attempt.end() {
                let outcome = match end.state {
                    JobState::Finished => JobOutcome::Finished,
                    JobState::Stopped => JobOutcome::Stopped,
                    _ => JobOutcome::Cancelled,
                };
                self.attempt = None;
                return Ok(outcome);
            }
            let Some(next) = attempt.next_time() else {
                break;
            };
            self.clock
                .advance(next.saturating_sub(self.clock.elapsed()));
        }
        let message = "the job waits for something that never comes; is every input finished?";
        Err(Error::new(ErrorKind::Operator, message))
    }

    /// Ends the job where it stands, as if its process had been killed.
    pub fn crash(&mut self) {
        self.attempt = None;
        self.disk = self.disk.after_kill();
    }

    /// Ends the job where it stands, as if the machine had lost its power: of what the store has not synced, some is
    /// lost, as the seed decides.
    pub fn cut_power(&mut self) {
        self.attempt = None;
        self.disk = self.disk.after_power_cut(&mut self.random);
    }

    /// Whether the job is running. It is not when it has crashed.
    pub fn is_running(&self) -> bool {
        self.attempt
            .as_ref()
            .is_some_and(|attempt| attempt.end().is_none())
    }

    /// Lets the job crash when it next comes to `point`.
    pub fn crash_at(&mut self, point: FaultPoint) {
        self.crash_at = Some(point);
        if point.is_in_store() {
            self.disk
                .stop_when(Box::new(move |step| point.is_step(step)));
        }
    }

    /// Lets the store fail when it next comes to `point`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the point is not one of the store.
    pub fn fail_at(&mut self, point: FaultPoint) -> Result<()> {
        if !point.is_in_store() {
            let message = format!("nothing can fail at \"{point}\": it is no step of the store");
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        self.disk
            .fail_when(Box::new(move |step| point.is_step(step)));
        Ok(())
    }

    /// The checkpoints that were complete at some time, oldest first.
    pub fn completed(&self) -> impl Iterator<Item = CheckpointId> {
        self.images.keys().copied()
    }
}

impl JobHarness {
    /// What the engine would make of the settings, on the store in memory.
    fn run(&self) -> Result<JobRun> {
        let store = CheckpointStore::over(self.disk.store(), &self.graph.name)?;
        Ok(stepped_run(
            self.graph.clone(),
            &self.settings,
            store,
            self.clock.clone(),
            self.starts,
        ))
    }

    fn newest(&self) -> Option<CheckpointId> {
        self.images
            .last_key_value()
            .map(|(checkpoint, _)| *checkpoint)
    }

    fn request(&mut self, request: Asked) -> Result<()> {
        let Some(attempt) = &mut self.attempt else {
            let message = "the job is not running; start it first";
            return Err(Error::new(ErrorKind::Conflict, message));
        };
        attempt.ask(request);
        Ok(())
    }

    /// There may be new rows in an input.
    fn rouse(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.rouse();
        }
    }

    /// Lets one thing happen; whether something did.
    fn act(&mut self) -> Result<bool> {
        let Some(attempt) = &mut self.attempt else {
            return Ok(false);
        };
        let actions = attempt.actions();
        let Some(action) = self.random.choice(&actions).copied() else {
            return Ok(false);
        };
        let upcoming = attempt.upcoming(action);
        if self.crash_at.is_some_and(|point| point.matches(upcoming)) {
            self.crash_at = None;
            self.crash();
            return Ok(false);
        }
        let deed = attempt.perform(action, STEP_ROWS_MAX);
        if self.disk.has_stopped() {
            self.crash_at = None;
            self.crash();
            return Ok(false);
        }
        if let Deed::HeardManifest(checkpoint, true) = deed {
            self.images.insert(checkpoint, self.disk.after_kill());
        }
        if attempt
            .end()
            .is_some_and(|end| end.state == JobState::Failed)
        {
            let failure = self.attempt.take().and_then(SteppedAttempt::into_failure);
            let unknown = || Error::new(ErrorKind::Bug, "the job failed without saying why");
            self.crash();
            return Err(failure.unwrap_or_else(unknown));
        }
        Ok(true)
    }
}
