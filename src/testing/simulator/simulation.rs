//! One run from one seed: the job is started, goes through whatever the seed has in store for it, and must come to its end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};

use super::coverage::{Coverage, Happening};
use super::outside::Outside;
use super::process::Process;
use super::recipe::Positions;
use super::scenario::Scenario;
use super::shelf::Shelf;
use super::start::Command;
use super::trace::Trace;
use super::witness::Witness;
use crate::config::CheckpointMode;
use crate::error::Error;
use crate::model::{CheckpointId, Clock, ManualClock, hash_key};
use crate::runtime::Action;
use crate::storage::SimulatedDisk;

/// After so many actions a run counts as one that does not come to its end.
const ACTIONS_MAX: usize = 400_000;

/// How often time passes at most because nothing else can happen, after the last incident.
const RESTS_MAX: usize = 4_000;

/// The outcome of a run that held all promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// What two runs of one seed have in common.
    pub(super) trace: u64,
    pub(super) actions: usize,
    pub(super) starts: u64,
    pub(super) coverage: Coverage,
    pub(super) scenario: String,
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
    pub(super) random: Rng,
    pub(super) scenario: Scenario,
    pub(super) outside: Arc<Outside>,
    pub(super) witness: Witness,
    pub(super) clock: Arc<ManualClock>,
    pub(super) runtime: Runtime,
    pub(super) disk: SimulatedDisk,
    /// How many steps of the disk are in the trace.
    pub(super) steps_traced: usize,
    pub(super) trace: Trace,
    pub(super) coverage: Coverage,
    pub(super) starts: u64,
    pub(super) attempts: u64,
    pub(super) incidents_left: usize,
    actions: usize,
    /// How often time had to pass since the last incident.
    rests: usize,
    /// The newest checkpoint of which the coordinator has heard that it is complete.
    pub(super) newest: Option<CheckpointId>,
    /// What the owner of the job has recovered from, once it has; the least id for nothing.
    pub(super) last_recovered: Option<CheckpointId>,
    /// How many subtasks each operator had in the last attempt.
    pub(super) last_parallelism: Option<usize>,
    /// Whether the disk of this process is to stop or to fail.
    pub(super) is_disturbed: bool,
    pub(super) shelf: Shelf,
    /// What each manifest refers to, by its path and a number that stands for its content.
    pub(super) manifests: BTreeMap<(String, u64), Vec<String>>,
    /// The snapshot that whoever starts the job names.
    pub(super) command: Option<Command>,
    /// The checkpoint that a snapshot was last taken over as.
    pub(super) taken_over_as: Option<CheckpointId>,
    /// Whether a savepoint may have been half written when nobody knew of it any more.
    pub(super) may_leave_savepoint: bool,
    /// How far each source was read when that was last known.
    pub(super) positions: Vec<Positions>,
    /// Whether the input of the job may have been ended early.
    pub(super) is_drained: bool,
}

/// Why a process is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Finished,
    /// It can be started again.
    Ended,
    Crashed,
}

/// What came of the turn of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something has happened.
    Did,
    /// Nothing can before this time.
    Rests(Duration),
    Over(Over),
}

pub(super) type Checked<T> = Result<T, String>;

pub(super) fn told(error: Error) -> String {
    error.full_message()
}

impl Simulation {
    /// Runs a seed to its end.
    pub(super) fn run(seed: u64, keeps_trace: bool) -> Result<Summary, Box<Broken>> {
        let mut random = Rng::with_seed(seed);
        let scenario = Scenario::draw(&mut random);
        let outside = Outside::new(
            scenario.recipe.expected(),
            scenario.checkpoint.mode == CheckpointMode::AtLeastOnce,
        );
        let mut simulation = Self {
            random,
            incidents_left: scenario.incidents,
            scenario,
            outside,
            witness: Witness::default(),
            clock: Arc::default(),
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
            disk: SimulatedDisk::default(),
            steps_traced: 0,
            trace: Trace::new(keeps_trace),
            coverage: Coverage::default(),
            starts: 0,
            attempts: 0,
            actions: 0,
            rests: 0,
            newest: None,
            last_recovered: None,
            last_parallelism: None,
            is_disturbed: false,
            shelf: Shelf::default(),
            manifests: BTreeMap::new(),
            command: None,
            taken_over_as: None,
            may_leave_savepoint: false,
            positions: Vec::new(),
            is_drained: false,
        };
        match simulation.live() {
            Ok(()) => Ok(Summary {
                trace: simulation.trace.hash(),
                actions: simulation.actions,
                starts: simulation.starts,
                coverage: simulation.coverage,
                scenario: format!("{:#?}", simulation.scenario),
            }),
            Err(promise) => Err(Box::new(Broken {
                seed,
                promise,
                scenario: simulation.scenario,
                trace: simulation.trace.lines().to_vec(),
            })),
        }
    }

    fn live(&mut self) -> Checked<()> {
        loop {
            self.choose_command();
            let over = self.play()?;
            self.end_machine();
            if over == Over::Finished && !self.goes_back() {
                break;
            }
        }
        // Again without incidents, until the last checkpoints have superseded all that were there before: nothing is left to
        // do, and what crashes have left behind goes.
        self.incidents_left = 0;
        self.command = None;
        for _ in 0..=self.scenario.checkpoint.retain {
            match self.play()? {
                Over::Finished => self.end_machine(),
                over => {
                    return Err(format!(
                        "a finished job has {over:?} when it is started again"
                    ));
                }
            }
        }
        self.check_output()?;
        self.check_nothing_is_left_behind()
    }

    /// Whether somebody goes back to a snapshot of a job that has finished.
    fn goes_back(&mut self) -> bool {
        if self.incidents_left == 0 || self.random.u8(0..4) == 0 {
            return false;
        }
        self.command = None;
        self.name_snapshot();
        self.command.is_some()
    }

    /// Starts the job, and lets things happen until it has to be started again.
    fn play(&mut self) -> Checked<Over> {
        let mut processes = vec![self.start_process(false)?];
        loop {
            self.actions += 1;
            if self.actions > ACTIONS_MAX {
                return Err("the job does not come to its end".to_owned());
            }
            if self.incidents_left > 0 {
                self.rests = 0;
                let is_calm = self.random.u32(0..self.scenario.calm) > 0;
                if !is_calm && self.incident(&mut processes)? {
                    self.abandon(&processes);
                    return Ok(Over::Crashed);
                }
                if self.random.u32(0..self.scenario.pace.clock) == 0 {
                    let nanos = self.scenario.pace.clock_max.as_nanos() as u64;
                    self.clock
                        .advance(Duration::from_nanos(self.random.u64(0..nanos)));
                }
            }
            if let Some(over) = self.round(&mut processes)? {
                return Ok(over);
            }
        }
    }

    /// Lets one of the processes do something, or time pass. Gives why the owner, which is the last of them, is over if it
    /// is.
    fn round(&mut self, processes: &mut Vec<Process>) -> Checked<Option<Over>> {
        let first = self.random.usize(0..processes.len());
        let owner = processes.len() - 1;
        let mut rests_until: Option<Duration> = None;
        for offset in 0..processes.len() {
            let place = (first + offset) % processes.len();
            match self.turn(&mut processes[place])? {
                Turn::Did => return Ok(None),
                Turn::Rests(until) => {
                    rests_until = Some(rests_until.map_or(until, |least| least.min(until)));
                }
                Turn::Over(over) if place == owner || over == Over::Crashed => {
                    self.abandon(&processes[..owner]);
                    return Ok(Some(over));
                }
                Turn::Over(_) => {
                    self.abandon(&[processes.remove(place)]);
                    return Ok(None);
                }
            }
        }
        self.rests += 1;
        if self.rests > RESTS_MAX {
            return Err("time passes, and the job does not come to its end".to_owned());
        }
        let now = self.clock.elapsed();
        let until = rests_until.unwrap_or(now);
        self.clock.advance(until.saturating_sub(now));
        Ok(None)
    }

    /// These processes are killed.
    fn abandon(&mut self, processes: &[Process]) {
        // Nobody knows any more of a savepoint that one was writing which had lost the job: its note may be gone.
        self.may_leave_savepoint |= processes
            .iter()
            .any(|process| !process.is_owner && process.is_asked_for_savepoint);
    }

    /// All processes are gone, and the next one finds the disk as it is; now and then the power is gone as well.
    fn end_machine(&mut self) {
        self.disk = if self.incidents_left > 0 && self.random.u8(0..3) == 0 {
            self.trace.add("power cut".to_owned());
            self.coverage.note(Happening::PowerCut);
            self.disk.after_power_cut(&mut self.random)
        } else {
            self.disk.after_kill()
        };
        self.witness.strike_after(None);
        self.is_disturbed = false;
        self.steps_traced = 0;
    }

    /// Picks one of the actions, by their weights.
    pub(super) fn choose(&mut self, actions: &[Action]) -> Option<Action> {
        let pace = self.scenario.pace;
        let is_calm = self.incidents_left == 0;
        let weight = |action: &Action| match action {
            Action::Step(place) if pace.is_slow(*place) => 1,
            _ if is_calm => 8,
            Action::Open(_) | Action::Step(_) => pace.step,
            Action::Order(_) => pace.order,
            Action::Letter(_) | Action::Tick => pace.letter,
            // Some are far slower than others.
            Action::Background(task) => match hash_key(&task.0.to_le_bytes()) % 4 {
                0 => 1,
                _ => pace.background,
            },
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
    pub(super) fn trace_disk(&mut self) -> Checked<()> {
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
}
