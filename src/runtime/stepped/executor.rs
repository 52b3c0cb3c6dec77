//! Background tasks that go on only when they are told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::error::Result;
use crate::operator::BackgroundWork;
use crate::runtime::executor::Executor;
use crate::runtime::panic::catch_panic;

/// A background task; they are numbered as they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(pub(crate) u64);

/// Holds the background tasks of an attempt.
pub(super) struct SteppedExecutor {
    /// The store asks it for timers, although none of them ever rings.
    timers: Handle,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    next: u64,
    /// A task that is being polled is not in here.
    waiting: BTreeMap<TaskId, Task>,
}

struct Task {
    future: BoxFuture<'static, ()>,
    woken: Arc<Woken>,
}

/// Whether a task has something to do.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl SteppedExecutor {
    pub(super) fn new(timers: Handle) -> Self {
        Self {
            timers,
            tasks: Mutex::default(),
        }
    }

    /// The tasks that have something to do.
    pub(super) fn ready(&self) -> Vec<TaskId> {
        let tasks = self.lock();
        let woken = |task: &Task| task.woken.0.load(Ordering::SeqCst);
        let ready = tasks.waiting.iter().filter(|(_, task)| woken(task));
        ready.map(|(id, _)| *id).collect()
    }

    /// Lets a task go on to where it waits next, which in the store is before each step. Whether it is done.
    pub(super) fn poll(&self, id: TaskId) -> bool {
        let Some(mut task) = self.lock().waiting.remove(&id) else {
            return true;
        };
        task.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&task.woken));
        let _timers = self.timers.enter();
        let is_done = task
            .future
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_ready();
        if !is_done {
            self.lock().waiting.insert(id, task);
        }
        is_done
    }

    /// Drops every task where it stands, as a crash does.
    pub(super) fn drop_all(&self) {
        // Outside of the lock: what a task holds may end other tasks.
        let waiting = std::mem::take(&mut self.lock().waiting);
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        // A panic in a task happens outside of the lock.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor for SteppedExecutor {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        let mut tasks = self.lock();
        let id = TaskId(tasks.next);
        tasks.next += 1;
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        tasks.waiting.insert(id, Task { future, woken });
    }

    fn run_blocking(&self, work: BackgroundWork) -> BoxFuture<'static, Result<()>> {
        async move {
            // Others have their turn before it, and a crash may come.
            yield_now().await;
            catch_panic(work)
        }
        .boxed()
    }
}
