//! Every step of a job's life fails, one at a time; and the disk is full for a while.

use fastrand::Rng;

use crate::error::{Error, ErrorKind};
use crate::snapshot::test_support::block_on;
use crate::storage::{Fault, SimulatedDisk};

use super::job::TestJob;
use super::ledger::Ledger;
use super::life::Life;

/// How many steps fail one after the other when the disk fails for a while: more than there are retries.
const STEPS_OF_A_WHILE: usize = 10;

/// From one amount of room to the next.
const ROOM_STEP: usize = 64;

const LIFE: Life = Life {
    seed: 3,
    retained_max: 2,
    is_stubborn: false,
};
const STUBBORN_LIFE: Life = Life {
    is_stubborn: true,
    ..LIFE
};

#[test]
fn a_step_that_fails_costs_one_checkpoint_at_most_and_loses_nothing() {
    check_every_step(LIFE, 1, &[Fault::Undone]);
}

#[test]
fn a_step_that_fails_although_something_is_done_costs_one_checkpoint_at_most_and_loses_nothing() {
    check_every_step(LIFE, 1, &[Fault::Done, Fault::Torn]);
}

#[test]
fn a_step_that_fails_and_is_tried_again_loses_nothing() {
    check_every_step(STUBBORN_LIFE, 1, &[Fault::Undone]);
}

#[test]
fn a_disk_that_fails_for_longer_than_is_tried_loses_nothing() {
    check_every_step(STUBBORN_LIFE, STEPS_OF_A_WHILE, &[Fault::Undone]);
}

/// Whatever room there is for a checkpoint, it fails with the cause or is complete, and the one after it, with room
/// enough, is complete and leaves nothing behind of the one that failed.
#[test]
fn a_checkpoint_that_finds_the_disk_full_fails_with_the_cause_and_the_job_goes_on() {
    let mut failures = 0;
    for room in (0..).step_by(ROOM_STEP) {
        let story = format!("{room} bytes of room");
        let error = match block_on(fill_up(room, &story)) {
            None => break,
            Some(error) => error,
        };
        failures += 1;
        assert_eq!(error.kind(), ErrorKind::Environment, "{story}");
        let message = error.full_message();
        assert!(
            message.contains("No space left on device"),
            "{story}: {message}"
        );
        assert!(message.contains("/simulated/job/"), "{story}: {message}");
    }
    assert!(
        failures > 10,
        "only {failures} checkpoints found the disk full"
    );
}

/// Gives what a checkpoint fails with when there is only so much room for it.
async fn fill_up(room: usize, story: &str) -> Option<Error> {
    let disk = SimulatedDisk::default();
    let mut rng = Rng::with_seed(LIFE.seed);
    let mut ledger = Ledger::default();
    ledger.story = story.to_owned();
    let started = TestJob::start(&disk, disk.store(), 2, LIFE.retained_max, &mut ledger).await;
    let mut job = started.expect(story);
    let mut checkpoint = async |job: &mut TestJob| {
        job.work(&mut rng, &mut ledger);
        let taken = job.checkpoint(&mut rng, &mut ledger).await;
        job.finish_cleaning().await;
        taken
    };
    for _ in 0..LIFE.retained_max {
        checkpoint(&mut job).await.expect(story);
    }
    disk.leave_room(Some(room));
    let taken = checkpoint(&mut job).await;
    disk.leave_room(None);
    for _ in 0..LIFE.retained_max {
        checkpoint(&mut job).await.expect(story);
    }
    job.check_retained(&ledger).await;
    job.check_nothing_is_left_behind(&disk, &ledger).await;
    taken.err()
}

/// Lets each step of a life fail in one of these ways, and with it those after it until there are so many.
fn check_every_step(life: Life, failing: usize, faults: &[Fault]) {
    let sound = SimulatedDisk::default();
    block_on(life.run(&sound, &mut Ledger::default())).unwrap();
    for step in 0..sound.steps() {
        let mut rng = Rng::with_seed(step as u64);
        let fault = *rng.choice(faults).unwrap();
        let disk = SimulatedDisk::default();
        disk.fail(step..step + failing, fault);
        let mut ledger = Ledger::default();
        ledger.story = format!("{life:?}, {failing} times {fault:?} from step {step} on");
        let lived = block_on(life.run(&disk, &mut ledger));
        lived.expect(&ledger.story);
        let story = format!("{}, last steps: {}", ledger.story, disk.last_steps());
        let failures = ledger.failures;
        assert!(failures <= failing, "{failures} failures: {story}");
        ledger.story = story;
        let next = Life {
            is_stubborn: false,
            ..life
        };
        for disk in [disk.after_kill(), disk.after_power_cut(&mut rng)] {
            block_on(next.check_recovery(&disk, &mut rng, ledger.clone()));
        }
    }
}
