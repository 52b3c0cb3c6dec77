//! Where background work runs, as a parameter: on threads of its own, or a step at a time in a simulation.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;

use crate::error::{Error, ErrorKind, Result};
use crate::operator::BackgroundWork;

/// Runs what must not stand in an actor's handler.
pub(super) trait Executor: Send + Sync {
    /// Runs `task` to its end, beside whoever asks.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// The same; a job that ends well waits for it.
    fn spawn_to_its_end(&self, task: BoxFuture<'static, ()>) {
        self.spawn(task);
    }

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
pub(super) struct BackgroundThreads {
    handle: Handle,
    /// How many tasks are waited for.
    waited_for: Arc<watch::Sender<usize>>,
}

impl BackgroundThreads {
    /// Those that the handle leads to.
    pub(super) fn new(handle: Handle) -> Self {
        Self {
            handle,
            waited_for: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Waits until all tasks have ended that are waited for.
    pub(super) async fn wait(&self) {
        let mut waited_for = self.waited_for.subscribe();
        // The sender is here, so there is no other outcome.
        let _ = waited_for.wait_for(|count| *count == 0).await;
    }
}

impl Executor for BackgroundThreads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.handle.spawn(task);
    }

    fn spawn_to_its_end(&self, task: BoxFuture<'static, ()>) {
        self.waited_for.send_modify(|count| *count += 1);
        let waited_for = Arc::clone(&self.waited_for);
        self.handle.spawn(async move {
            // What panics has ended as well.
            let _ = AssertUnwindSafe(task).catch_unwind().await;
            waited_for.send_modify(|count| *count -= 1);
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_waited_for_to_their_end_even_if_that_is_a_panic() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let threads = BackgroundThreads::new(runtime.handle().clone());
        runtime.block_on(async {
            let (go_on, held) = oneshot::channel::<()>();
            threads.spawn_to_its_end(held.map(drop).boxed());
            threads.spawn_to_its_end(
                async { panic!("it is to be seen that this does no harm") }.boxed(),
            );
            // Nobody waits for these.
            threads.spawn(std::future::pending().boxed());
            for _ in 0..10 {
                tokio::task::yield_now().await;
                assert!(threads.wait().now_or_never().is_none());
            }
            drop(go_on);
            threads.wait().await;
        });
    }
}
