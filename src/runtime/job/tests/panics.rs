//! Panics where nothing catches them but the threads: the job fails with an error or goes on, and never hangs.

use std::time::Duration;

use super::*;
use crate::model::Clock;
use crate::runtime::panic::guard::is_guarded;

/// Panics once, in a step of the disk of which `is_meant` says so.
fn panic_once(disk: &SimulatedDisk, is_meant: fn(&str) -> bool) {
    let has_panicked = AtomicBool::new(false);
    disk.fail_when(Box::new(move |step| {
        assert!(
            !is_meant(step) || has_panicked.swap(true, Ordering::SeqCst),
            "the disk has gone mad"
        );
        false
    }));
}

fn failure(job: Counting) -> String {
    match job.job.join().unwrap() {
        JobOutcome::Failed(error) => error.full_message(),
        outcome => panic!("{outcome:?}"),
    }
}

/// The background of a subtask was gone then, and its checkpoint was waited for until it expired.
#[test]
fn a_panic_in_the_background_of_a_subtask_fails_the_job() {
    let disk = SimulatedDisk::default();
    let job = Counting::start(&disk, false);
    job.wait_for_checkpoints(1);
    panic_once(&disk, |step| step.ends_with(".delta"));
    let failure = failure(job);
    assert!(
        failure.contains("panicked: the disk has gone mad"),
        "{failure}"
    );
}

/// Nobody reported the manifest then, so that the checkpoint stayed pending for ever, and nothing was triggered any more.
#[test]
fn a_panic_while_a_manifest_is_written_fails_the_checkpoint_only() {
    let disk = SimulatedDisk::default();
    let job = Counting::start(&disk, false);
    job.wait_for_checkpoints(1);
    panic_once(&disk, |step| step.starts_with("rename"));
    job.wait_for_a_failed_checkpoint();
    job.wait_for_checkpoints(1);
    assert!(job.status.snapshot().checkpoints_failed > 0);
    job.finish();
}

/// The removal counted as under way for ever then, and the second one would have held back all checkpoints.
#[test]
fn panics_while_superseded_checkpoints_are_removed_do_no_harm() {
    let disk = SimulatedDisk::default();
    let job = Counting::start(&disk, false);
    for _ in 0..3 {
        job.wait_for_checkpoints(1);
        panic_once(&disk, |step| step.starts_with("remove"));
    }
    job.wait_for_checkpoints(3);
    job.finish();
}

/// A clock that panics on the threads of workers from some time on, outside of all that is guarded there.
struct MadClock {
    clock: SharedClock,
    is_mad: Arc<AtomicBool>,
}

impl MadClock {
    fn panic_if_mad(&self) {
        let thread = thread::current();
        let is_worker = thread.name().is_some_and(|name| name.contains("arbiter"));
        let is_spared = !is_worker || is_guarded() || thread::panicking();
        assert!(
            is_spared || !self.is_mad.load(Ordering::SeqCst),
            "the clock has gone mad"
        );
    }
}

impl Clock for MadClock {
    fn unix_millis(&self) -> i64 {
        self.panic_if_mad();
        self.clock.unix_millis()
    }

    fn elapsed(&self) -> Duration {
        self.panic_if_mad();
        self.clock.elapsed()
    }
}

#[test]
fn a_panic_on_a_worker_outside_of_any_operator_fails_the_job() {
    let disk = SimulatedDisk::default();
    let is_mad = Arc::new(AtomicBool::new(false));
    let clock = MadClock {
        clock: SystemClock::shared(),
        is_mad: Arc::clone(&is_mad),
    };
    let job = Counting::start_with(&disk, false, Arc::new(clock));
    job.wait_for_checkpoints(1);
    is_mad.store(true, Ordering::SeqCst);
    let failure = failure(job);
    assert!(
        failure.contains("ended although nothing had told it to"),
        "{failure}"
    );
}
