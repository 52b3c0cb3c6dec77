//! The façade: a graph and its settings in, a handle on a running job out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use crate::channel::LinkLimits;
use crate::config::{
    CheckpointSection, JobFile, LinkSection, RestartSection, StateBacking, StateSection,
};
use crate::coordinator::CheckpointSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{JobGraph, JobOutline};
use crate::model::{SharedClock, SystemClock, hash_key};
use crate::runtime::{JobClaim, JobRun};
use crate::snapshot::CheckpointStore;
use crate::storage::StoreLocation;
use crate::telemetry::JobStatus;

pub use crate::runtime::{
    CompletedCheckpoint, CompletedStop, JobControl, JobOutcome, SavepointRequest, StopRequest,
    Ticket,
};

pub use crate::snapshot::{ClaimMode, StartFrom};

/// How a job is run, as opposed to what it does.
#[derive(Clone)]
pub struct EngineSettings {
    /// When checkpoints are taken, how many are kept, and where.
    pub checkpoint: CheckpointSection,
    /// What follows a failure.
    pub restart: RestartSection,
    /// Where working state lies.
    pub state: StateSection,
    /// The bounds of the links between subtasks.
    pub link: LinkSection,
    /// Whether checkpoints of earlier runs are passed over.
    pub fresh: bool,
    /// Whether the job is taken over even from a process that runs it, for example because that hangs. That process
    /// commits nothing from then on.
    pub take_over: bool,
    /// The snapshot to start from. A job that was started from it before goes on from its own newest checkpoint, unless
    /// it is to start fresh; one that has checkpoints of another origin is refused.
    pub start_from: Option<StartFrom>,
    /// Whether the state of operators that the job no longer has is dropped. Otherwise such a job is not started.
    pub allow_non_restored_state: bool,
    /// Where the time comes from.
    pub clock: SharedClock,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            checkpoint: CheckpointSection::default(),
            restart: RestartSection::default(),
            state: StateSection::default(),
            link: LinkSection::default(),
            fresh: false,
            take_over: false,
            start_from: None,
            allow_non_restored_state: false,
            clock: SystemClock::shared(),
        }
    }
}

impl EngineSettings {
    /// Puts checkpoints into `storage`: a path, or an address such as `s3://bucket/prefix`.
    #[must_use]
    pub fn with_storage(mut self, storage: impl Into<String>) -> Self {
        self.checkpoint.storage = storage.into();
        self
    }
}

impl From<&JobFile> for EngineSettings {
    fn from(file: &JobFile) -> Self {
        Self {
            checkpoint: file.checkpoint.clone(),
            restart: file.restart.clone(),
            state: file.state.clone(),
            link: file.link.clone(),
            ..Self::default()
        }
    }
}

/// A job that is ready to run.
///
/// ```
/// use floodmark::connectors::{MemoryOutput, MemorySink, MemorySource};
/// use floodmark::engine::{Engine, EngineSettings, JobOutcome};
/// use floodmark::graph::StreamBuilder;
///
/// let output = MemoryOutput::<i64>::default();
/// let written = output.clone();
/// let job = StreamBuilder::new("doubles");
/// job.source("numbers", || MemorySource::of_rows(vec![1_i64, 2, 3], 1))
///     .map("double", |number: i64| number * 2)
///     .sink("out", move || Ok(MemorySink::of_rows(&written)));
///
/// let folder = tempfile::tempdir()?;
/// let settings = EngineSettings::default().with_storage(folder.path().to_string_lossy());
/// let job = Engine::new(job.build()?, settings).start()?;
/// assert!(matches!(job.wait(), JobOutcome::Finished));
/// assert_eq!(output.rows(), [2, 4, 6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine {
    graph: JobGraph,
    settings: EngineSettings,
}

/// A running job. Dropping the handle leaves the job running.
pub struct JobHandle {
    control: JobControl,
    status: Arc<JobStatus>,
    outline: JobOutline,
    outcome: Receiver<JobOutcome>,
}

impl Engine {
    /// An engine for one job.
    pub fn new(graph: JobGraph, settings: EngineSettings) -> Self {
        Self { graph, settings }
    }

    /// Starts the job: resumes it from its newest valid checkpoint, if there is one. Returns when the checkpoint is
    /// loaded; what goes wrong in an operator from then on is in the [`JobOutcome`].
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when graph, settings and checkpoint do not fit together,
    /// [`ErrorKind::Conflict`] when the job is already running, [`ErrorKind::Corrupt`] when all its checkpoints are
    /// damaged, [`ErrorKind::Environment`] when the storage cannot be used.
    pub fn start(self) -> Result<JobHandle> {
        self.start_over(|store| store)
    }

    /// The same, and tells `observer` of each step of the store of checkpoints, before it is done: for tests that let the
    /// process die there. [`crate::testing::FaultPoint::is_step`] knows the steps that count.
    ///
    /// # Errors
    /// As for [`Engine::start`].
    #[cfg(any(test, feature = "testing"))]
    pub fn start_observed(
        self,
        observer: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<JobHandle> {
        self.start_over(|store| store.observed(observer))
    }

    fn start_over(
        self,
        with: impl FnOnce(CheckpointStore) -> CheckpointStore,
    ) -> Result<JobHandle> {
        let Self { graph, settings } = self;
        graph.validate()?;
        let unaligned = settings.checkpoint.check_unaligned();
        unaligned.map_err(|problem| {
            let message = format!("checkpoint.unaligned: {problem}");
            Error::new(ErrorKind::Configuration, message)
        })?;
        let working_directory = std::env::current_dir()
            .map_err(|error| Error::io("find the working directory", error))?;
        let location = StoreLocation::parse(&settings.checkpoint.storage, &working_directory)?
            .with_s3(&settings.checkpoint.s3);
        let store = with(CheckpointStore::open(&location, &graph.name)?);
        let section = &settings.checkpoint;
        let status = JobStatus::with_history(section.history_max);
        let outline = JobOutline::of(&graph);
        let nonce = format!("{} {}", std::process::id(), settings.clock.unix_millis());
        let run = JobRun {
            store,
            claim: Some(JobClaim {
                takes_over: settings.take_over,
                lease: section.lease,
            }),
            retained_max: section.retain,
            on_cancel: section.on_cancel,
            fresh: settings.fresh,
            start_from: settings.start_from,
            allow_non_restored_state: settings.allow_non_restored_state,
            savepoint_directory: section.savepoint_dir.clone(),
            checkpoints: CheckpointSettings::from(section),
            restart: settings.restart,
            mode: section.mode,
            limits: LinkLimits::from(&settings.link),
            directory: state_directory(&settings.state, &location, &graph.name),
            clock: settings.clock,
            status: Arc::clone(&status),
            nonce: hash_key(nonce.as_bytes()),
            boot: settings.state.local_recovery.then(boot).flatten(),
            graph,
        };
        let (started_sender, started) = sync_channel(1);
        let (outcome_sender, outcome) = sync_channel(1);
        thread::Builder::new()
            .name("floodmark-job".to_owned())
            .spawn(move || {
                let outcome = run.run(&started_sender);
                // Nobody may be waiting.
                let _ = outcome_sender.send(outcome);
            })
            .map_err(|error| Error::io("start the job's thread", error))?;
        let control = match started.recv().unwrap_or_else(|_| Err(job_is_gone())) {
            Ok(control) => control,
            Err(error) => {
                // The job's lock is given back by then: whoever mends what was wrong can start again at once.
                let _ = outcome.recv();
                return Err(error);
            }
        };
        Ok(JobHandle {
            control,
            status,
            outline,
            outcome,
        })
    }
}

impl JobHandle {
    /// The job's figures, live.
    pub fn status(&self) -> Arc<JobStatus> {
        Arc::clone(&self.status)
    }

    /// What the job consists of.
    pub fn outline(&self) -> &JobOutline {
        &self.outline
    }

    /// What the job can be controlled with while another thread waits for its end.
    pub fn control(&self) -> JobControl {
        self.control.clone()
    }

    /// Asks the job to stop with a last checkpoint, from which it can be resumed, and with a savepoint if that is asked
    /// for.
    pub fn stop(&self, request: StopRequest) -> Ticket<CompletedStop> {
        self.control.stop(request)
    }

    /// Asks for a savepoint: a self-contained snapshot that belongs to whoever asks.
    pub fn savepoint(&self, request: SavepointRequest) -> Ticket<CompletedCheckpoint> {
        self.control.savepoint(request)
    }

    /// Asks the job to end at once; it can be resumed from its newest checkpoint.
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// Asks for a checkpoint now.
    pub fn checkpoint(&self) -> Ticket<CompletedCheckpoint> {
        self.control.checkpoint()
    }

    /// Waits for the job's end. Blocks the thread: not to be called on one that runs futures.
    pub fn wait(self) -> JobOutcome {
        self.outcome
            .recv()
            .unwrap_or_else(|_| JobOutcome::Failed(job_is_gone()))
    }
}

fn job_is_gone() -> Error {
    Error::new(ErrorKind::Bug, "the job's thread ended without an outcome")
}

/// The folder of a job's working segments. Jobs of one name with different storage do not share it.
/// A number that stands for this start of the machine, where the system tells.
fn boot() -> Option<u64> {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    Some(hash_key(&id))
}

/// The folder of a job's working segments; nothing when they may end with the process.
fn state_directory(section: &StateSection, location: &StoreLocation, job: &str) -> Option<PathBuf> {
    let tmpfs = Path::new("/dev/shm");
    let base = match (&section.directory, section.backing) {
        (Some(directory), _) => directory.clone(),
        (None, StateBacking::Disk) => PathBuf::from("floodmark-data/state"),
        // Memory without a file can have huge pages, which makes large tables twice as fast.
        (None, StateBacking::Memory) if !section.local_recovery => return None,
        (None, StateBacking::Memory) if tmpfs.is_dir() => tmpfs.join("floodmark"),
        (None, StateBacking::Memory) => std::env::temp_dir().join("floodmark"),
    };
    let root = hash_key(location.to_string().as_bytes());
    Some(base.join(format!("{job}-{root:016x}")))
}
