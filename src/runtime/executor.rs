//! Where background work runs, as a parameter: on threads of its own, or a step at a time in a simulation.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::error::{Error, ErrorKind, Result};
use crate::operator::BackgroundWork;

/// Runs what must not stand in an actor's handler.
pub(super) trait Executor: Send + Sync {
    /// Runs `task` to its end, beside whoever asks.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Does work that may block, where that does no harm. A panic in it is an error.
    fn run_blocking(&self, work: BackgroundWork) -> BoxFuture<'static, Result<()>>;
}

/// An executor shared by all parts of a job.
pub(super) type SharedExecutor = Arc<dyn Executor>;

/// What a task that was begun will give; nothing when it panicked or was dropped.
pub(super) type Begun<T> = oneshot::Receiver<T>;

/// Begins a task whose outcome somebody may wait for.
pub(super) fn begin<T: Send + 'static>(
    executor: &dyn Executor,
    task: impl Future<Output = T> + Send + 'static,
) -> Begun<T> {
    let (sender, receiver) = oneshot::channel();
    executor.spawn(
        async move {
            // Nobody need wait for it.
            let _ = sender.send(task.await);
        }
        .boxed(),
    );
    receiver
}

/// The threads of a tokio runtime.
pub(super) struct BackgroundThreads(pub(super) Handle);

impl Executor for BackgroundThreads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn run_blocking(&self, work: BackgroundWork) -> BoxFuture<'static, Result<()>> {
        let done = spawn_blocking(work);
        async move {
            done.await.unwrap_or_else(|panic| {
                let message = "its background work panicked";
                Err(Error::new(ErrorKind::Operator, message).with_source(panic))
            })
        }
        .boxed()
    }
}
