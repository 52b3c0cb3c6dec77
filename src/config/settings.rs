//! What a job file says beside its graph. All defaults stand here, and `configs/default.toml` shows them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::s3::S3Section;
use crate::model::MAX_PARALLELISM_DEFAULT;

/// `[job]`: the job as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSettings {
    /// The job's name: letters, digits, `-` and `_`. Its checkpoints are found again by it.
    pub name: String,
    /// How many subtasks each operator has, and how many workers run them.
    pub parallelism: usize,
    /// The number of key groups, and so the largest parallelism that the job can ever be rescaled to. It is fixed for
    /// the life of the job's state.
    pub max_parallelism: u16,
}

impl JobSettings {
    /// The defaults, for a job of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            parallelism: 1,
            max_parallelism: MAX_PARALLELISM_DEFAULT,
        }
    }
}

/// What a barrier promises about the records around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointMode {
    /// Barriers are aligned: an input whose barrier has arrived is blocked until the others' have. After a restart
    /// each record has its effect once.
    #[default]
    ExactlyOnce,
    /// Inputs are never blocked for a barrier: after a restart some records can have their effect twice.
    AtLeastOnce,
}

/// What becomes of a job's checkpoints when it is cancelled; Flink's `externalized-checkpoint-retention`. Savepoints stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCancel {
    /// They stay, and the job can be resumed from the newest one: Flink's `RETAIN_ON_CANCELLATION`. The default, since a
    /// job is found again by its name.
    #[default]
    Retain,
    /// They are deleted, and the next run starts from the beginning: Flink's `DELETE_ON_CANCELLATION`. A job that fails,
    /// or is stopped, keeps them; one that has finished keeps its last, which says so.
    Delete,
}

/// `[checkpoint]`: when checkpoints are taken, how many are kept, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointSection {
    /// The time between the starts of two checkpoints; nothing means that only the final one is taken.
    pub interval: Option<Duration>,
    /// What a barrier promises.
    pub mode: CheckpointMode,
    /// After this long a checkpoint is given up.
    pub timeout: Duration,
    /// The least time between the end of a checkpoint and the start of the next.
    pub min_pause: Duration,
    /// How many checkpoints can be under way at once.
    pub max_concurrent: usize,
    /// Whether barriers overtake the records that wait on the exchanges by key: those go into the checkpoint then. Needs
    /// [`CheckpointMode::ExactlyOnce`] and `max_concurrent` 1.
    pub unaligned: bool,
    /// When this long has passed since its trigger, a barrier begins to overtake; zero: at once.
    pub aligned_timeout: Duration,
    /// How many checkpoints can fail in a row before the job fails.
    pub tolerable_failures: u32,
    /// How many completed checkpoints are kept.
    pub retain: usize,
    /// What becomes of them when the job is cancelled.
    pub on_cancel: OnCancel,
    /// How many checkpoints the history says what became of.
    pub history_max: usize,
    /// A path, or a URL such as `file:///var/lib/floodmark` or `s3://bucket/prefix`.
    pub storage: String,
    /// Where savepoints go unless a request names another place: a path or a URL.
    pub savepoint_dir: Option<String>,
    /// How long the owner of a job must not be heard of before a process on another machine takes the job for free; where
    /// checkpoints lie in a bucket.
    pub lease: Duration,
    /// How S3 is reached, for checkpoints and savepoints.
    pub s3: S3Section,
}

impl Default for CheckpointSection {
    fn default() -> Self {
        Self {
            interval: None,
            mode: CheckpointMode::default(),
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            max_concurrent: 1,
            unaligned: false,
            aligned_timeout: Duration::ZERO,
            tolerable_failures: 0,
            retain: 1,
            on_cancel: OnCancel::default(),
            history_max: 10,
            storage: "floodmark-data/checkpoints".to_owned(),
            savepoint_dir: None,
            lease: Duration::from_secs(10),
            s3: S3Section::default(),
        }
    }
}

impl CheckpointSection {
    /// Whether barriers may overtake records with the other settings as they are.
    ///
    /// # Errors
    /// Says what `unaligned` does not go with, and what to do about it.
    pub fn check_unaligned(&self) -> Result<(), &'static str> {
        if !self.unaligned {
            Ok(())
        } else if self.mode != CheckpointMode::ExactlyOnce {
            Err(
                "needs mode \"exactly-once\": in the other mode no barrier waits for another anyway",
            )
        } else if self.max_concurrent != 1 {
            Err("needs max_concurrent 1: what is in flight can go into one checkpoint at a time")
        } else {
            Ok(())
        }
    }
}

/// Where working state lies while the job runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateBacking {
    /// A folder on a file system in memory, if the machine has one.
    #[default]
    Memory,
    /// A folder on disk: state can be larger than memory.
    Disk,
}

/// `[state]`: the working state, as opposed to its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateSection {
    /// What kind of folder is chosen when `directory` names none.
    pub backing: StateBacking,
    /// The folder of the working segments.
    pub directory: Option<PathBuf>,
    /// Whether the working segments of a process that was killed are taken up by the next one instead of reading keyed
    /// state from the store.
    pub local_recovery: bool,
}

/// `[link]`: the bounds of each link between two subtasks. A full link stops its producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSection {
    /// The most rows that a link holds.
    pub rows_max: usize,
    /// The most elements (batches, watermarks, barriers) that a link holds.
    pub elements_max: usize,
}

impl Default for LinkSection {
    fn default() -> Self {
        Self {
            rows_max: 4096,
            elements_max: 256,
        }
    }
}

/// `[server]`: where a running job can be watched and controlled over HTTP. Only `floodmark run` starts a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSection {
    /// Whether there is a server.
    pub enabled: bool,
    /// The address and port it listens on. With port 0 the system chooses a free one, and a file in the job's folder
    /// says which. Any but a loopback address needs a token.
    pub address: SocketAddr,
    /// The file with the token that every request must bear.
    pub token_file: Option<PathBuf>,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            enabled: true,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token_file: None,
        }
    }
}
