//! Stays with a job until it has ended: shows its progress, and passes signals on.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

use super::interrupts::{Interrupts, Reaction};
use super::running_job::RunningJob;
use crate::engine::JobOutcome;
use crate::error::{Error, ErrorKind, Result};
use crate::model::SharedClock;
use crate::telemetry::{Progress, TerminalLine};

/// How often the progress is brought up to date.
const TICK_INTERVAL: Duration = Duration::from_millis(100);

/// How many events can wait for attention; more ticks than that are late anyway.
const EVENTS_MAX: usize = 16;

/// How the attention came to its end.
#[derive(Debug)]
pub(super) enum Ending {
    /// The job has ended.
    Job(JobOutcome),
    /// The user did not want to wait for that.
    Left,
}

/// Catches the signals that ask the process to end.
pub(super) struct Attendant {
    runtime: Runtime,
    signals: Vec<(Signal, &'static str)>,
}

impl Attendant {
    /// Catches signals from now on. To be called before the job is started: one that arrives in between is not lost
    /// then, and does not end the process without a last checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when signals cannot be caught.
    pub(super) fn new() -> Result<Self> {
        let failed = |error| Error::io("catch signals", error);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let mut signals = Vec::new();
        {
            let _inside = runtime.enter();
            for (kind, name) in [
                (SignalKind::interrupt(), "SIGINT"),
                (SignalKind::terminate(), "SIGTERM"),
            ] {
                signals.push((signal(kind).map_err(failed)?, name));
            }
        }
        Ok(Self { runtime, signals })
    }

    /// Blocks until the job has ended, or until the third signal.
    pub(super) fn attend(
        self,
        job: RunningJob,
        line: &TerminalLine,
        clock: &SharedClock,
    ) -> Ending {
        let Self { runtime, signals } = self;
        let ending = runtime.block_on(async {
            let (sender, events) = channel(EVENTS_MAX);
            for (signal, name) in signals {
                tokio::spawn(forward_signals(signal, name, sender.clone()));
            }
            tokio::spawn(send_ticks(sender.clone()));
            tokio::spawn(send_outcome(job.wait, sender));
            let progress = Progress::new(job.status, line.clone(), clock.elapsed());
            answer(events, &job.stop, &job.cancel, progress, clock).await
        });
        // A job that was left may never end; the process does not wait for its thread.
        runtime.shutdown_background();
        ending
    }
}

#[derive(Debug)]
enum Event {
    /// A signal of this name asks the process to end.
    Signal(&'static str),
    /// Some time has passed.
    Tick,
    /// The job has ended.
    Ended(JobOutcome),
}

/// Works off the events until the last one.
async fn answer(
    mut events: Receiver<Event>,
    stop: &dyn Fn(),
    cancel: &dyn Fn(),
    mut progress: Progress,
    clock: &SharedClock,
) -> Ending {
    let mut interrupts = Interrupts::default();
    let ending = loop {
        match events.recv().await {
            Some(Event::Tick) => progress.tick(clock.elapsed()),
            Some(Event::Ended(outcome)) => break Ending::Job(outcome),
            Some(Event::Signal(name)) => match interrupts.next() {
                // Done first, then said: whoever reads it can rely on it.
                Reaction::Stop => {
                    stop();
                    tracing::info!("{name}: taking a last checkpoint; once more to end at once");
                }
                Reaction::Cancel => {
                    cancel();
                    tracing::warn!("{name}: ending without a last checkpoint");
                }
                Reaction::Leave => break Ending::Left,
            },
            None => break Ending::Left,
        }
    };
    progress.finish(clock.elapsed());
    ending
}

// These three end when nobody receives any more.

async fn forward_signals(mut signal: Signal, name: &'static str, events: Sender<Event>) {
    while signal.recv().await.is_some() {
        if events.send(Event::Signal(name)).await.is_err() {
            return;
        }
    }
}

async fn send_ticks(events: Sender<Event>) {
    let mut ticks = interval(TICK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if events.send(Event::Tick).await.is_err() {
            return;
        }
    }
}

async fn send_outcome(wait: Box<dyn FnOnce() -> JobOutcome + Send>, events: Sender<Event>) {
    let outcome = tokio::task::spawn_blocking(wait).await;
    let outcome = outcome.unwrap_or_else(|error| {
        let error = Error::new(ErrorKind::Bug, "wait for the job").with_source(error);
        JobOutcome::Failed(error)
    });
    // Only when the user has left already does nobody want to know.
    let _ = events.send(Event::Ended(outcome)).await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::model::SystemClock;
    use crate::telemetry::JobStatus;

    /// What was asked of the job, and how the attention ended, for events that come in this order.
    fn check(events: Vec<Event>, expected_calls: &[&str], expected_ending: &str) {
        let calls = RefCell::new(Vec::new());
        let clock = SystemClock::shared();
        let progress = Progress::new(JobStatus::shared(), TerminalLine::hidden(), clock.elapsed());
        let runtime = Builder::new_current_thread().build().unwrap();
        let ending = runtime.block_on(async {
            let (sender, receiver) = channel(EVENTS_MAX);
            for event in events {
                sender.send(event).await.unwrap();
            }
            let stop = || calls.borrow_mut().push("stop");
            let cancel = || calls.borrow_mut().push("cancel");
            answer(receiver, &stop, &cancel, progress, &clock).await
        });
        assert_eq!(*calls.borrow(), expected_calls);
        assert_eq!(format!("{ending:?}"), expected_ending);
    }

    #[test]
    fn the_first_signal_stops_the_second_cancels_the_third_leaves() {
        let signal = || Event::Signal("SIGINT");
        let ended = Event::Ended;
        check(
            vec![Event::Tick, ended(JobOutcome::Finished)],
            &[],
            "Job(Finished)",
        );
        check(
            vec![signal(), Event::Tick, ended(JobOutcome::Stopped)],
            &["stop"],
            "Job(Stopped)",
        );
        check(
            vec![signal(), signal(), ended(JobOutcome::Cancelled)],
            &["stop", "cancel"],
            "Job(Cancelled)",
        );
        check(
            vec![signal(), signal(), signal()],
            &["stop", "cancel"],
            "Left",
        );
    }

    fn running(wait: impl FnOnce() -> JobOutcome + Send + 'static) -> RunningJob {
        RunningJob {
            status: JobStatus::shared(),
            stop: Box::new(|| {}),
            cancel: Box::new(|| {}),
            wait: Box::new(wait),
        }
    }

    fn attend(job: RunningJob) -> Ending {
        let attendant = Attendant::new().unwrap();
        attendant.attend(job, &TerminalLine::hidden(), &SystemClock::shared())
    }

    #[test]
    fn the_outcome_of_the_job_ends_the_attention() {
        let job = running(|| JobOutcome::Stopped);
        let ending = attend(job);
        assert!(
            matches!(ending, Ending::Job(JobOutcome::Stopped)),
            "{ending:?}"
        );
    }

    #[test]
    fn a_panic_while_waiting_is_a_failure_and_no_endless_wait() {
        let job = running(|| panic!("lost the job"));
        let ending = attend(job);
        let Ending::Job(JobOutcome::Failed(error)) = ending else {
            panic!("{ending:?}")
        };
        assert!(
            error.full_message().contains("lost the job"),
            "{}",
            error.full_message()
        );
    }

    /// A signal that came while the job was being started once ended the process on the spot.
    #[test]
    fn a_signal_from_before_the_job_was_started_stops_it() {
        let attendant = Attendant::new().unwrap();
        let pid = std::process::id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status();
        assert!(kill.unwrap().success());
        let (stop, mut stopped) = channel(EVENTS_MAX);
        let mut job = running(move || stopped.blocking_recv().unwrap());
        let cancel = stop.clone();
        job.stop = Box::new(move || stop.try_send(JobOutcome::Stopped).unwrap());
        job.cancel = Box::new(move || cancel.try_send(JobOutcome::Cancelled).unwrap());
        let ending = attendant.attend(job, &TerminalLine::hidden(), &SystemClock::shared());
        assert!(
            matches!(ending, Ending::Job(JobOutcome::Stopped)),
            "{ending:?}"
        );
    }
}
