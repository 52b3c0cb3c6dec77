//! What an operator is told about the job that it belongs to.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;

/// What an operator is told about its job. Clones are the same.
#[derive(Clone)]
pub struct JobContext {
    /// The job's name.
    pub name: Arc<str>,
    /// A number that no other attempt at the job has.
    pub attempt: u64,
    /// From one periodic checkpoint to the next; nothing when there are none.
    pub checkpoint_interval: Option<Duration>,
    /// How long a checkpoint may take.
    pub checkpoint_timeout: Duration,
    ownership: Arc<dyn Fn() -> Result<()> + Send + Sync>,
}

impl JobContext {
    /// The context of a job that nobody can take from this process, and that takes no checkpoint by itself.
    pub fn alone(name: &str) -> Self {
        Self {
            name: name.into(),
            attempt: 1,
            checkpoint_interval: None,
            checkpoint_timeout: Duration::MAX,
            ownership: Arc::new(|| Ok(())),
        }
    }

    /// The same, of a job that this process owns as long as `ownership` says so.
    #[must_use]
    pub fn with_ownership(
        self,
        ownership: impl Fn() -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let ownership = Arc::new(ownership);
        Self { ownership, ..self }
    }

    /// Looks whether this process still owns the job: to be called, in background work alone since it may block, before
    /// anything is done outside that would harm another owner.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Conflict`] when it does not; [`crate::error::ErrorKind::Environment`] when the store
    /// does not say.
    pub fn ensure_owner(&self) -> Result<()> {
        (self.ownership)()
    }
}
