//! A job from a topic to a topic with its checkpoints on S3: through kills, and on a store that is slow, fails, is full,
//! refuses, and is killed itself. `FLOODMARK_SEED` sets the seed.

use std::time::Duration;

use crate::market_lag::{COMPLETED, Input, Job, Life, Storage, seed};
use crate::support::{Fate, OwnS3, Passing, http_proxy, refusal, s3_endpoint};

const ROWS: usize = 120_000;

/// How often a job is killed, and one whose store makes every start slow.
const KILLS: usize = 12;
const KILLS_UNRELIABLE: usize = 4;

/// What a process logs when a checkpoint is not complete.
const FAILED: &str = "checkpoint failed";

/// However often a checkpoint fails, the job goes on.
const TOLERANT: &str = "tolerable_failures = 10_000";

fn job(input: &Input, endpoint: &str) -> Job {
    Job {
        storage: Storage::s3(endpoint),
        checkpoint: TOLERANT,
        ..Job::over(input)
    }
}

#[test]
#[ignore = "needs Kafka and S3: scripts/services.sh"]
fn kills_and_changes_of_parallelism_lose_nothing_with_checkpoints_on_s3() {
    let seed = seed(6);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut input = Input::flowing(ROWS);
    let mut life = Life::new(job(&input, &s3_endpoint()));
    kill_some_times(KILLS, &mut life, &mut random);
    input.complete();
    life.finish();
    let context = format!("seed {seed}, {} kills", life.kills);
    input.expect_in(&life.job.output, &context);
    assert!(
        life.resumed >= KILLS / 3,
        "{context}, {} resumed",
        life.resumed
    );
}

#[test]
#[ignore = "needs Kafka and S3: scripts/services.sh"]
fn a_store_that_delays_fails_and_cuts_answers_off_loses_nothing() {
    let seed = seed(7);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut input = Input::flowing(ROWS);
    let store = http_proxy(&s3_endpoint());
    store.set(unreliable(random.fork()));
    let mut life = Life::new(job(&input, &format!("http://{}", store.address)));
    kill_some_times(KILLS_UNRELIABLE, &mut life, &mut random);
    input.complete();
    life.finish();
    input.expect_in(
        &life.job.output,
        &format!("seed {seed}, {} kills", life.kills),
    );
}

#[test]
#[ignore = "needs Kafka and S3: scripts/services.sh"]
fn a_full_store_and_one_that_refuses_decline_checkpoints_and_the_job_goes_on_after_it() {
    let mut input = Input::flowing(ROWS);
    let store = http_proxy(&s3_endpoint());
    let mut life = Life::new(job(&input, &format!("http://{}", store.address)));
    let mut process = life.start(&[]);
    for (status, code) in [(507, "InsufficientStorage"), (403, "AccessDenied")] {
        process.wait_for_log(COMPLETED);
        store.set(move |passing| match is_write(passing) {
            true => Fate::Answer(refusal(status, code)),
            false => Fate::Pass,
        });
        process.wait_for_log(code);
        process.wait_for_log(FAILED);
        store.set(|_| Fate::Pass);
        process.wait_for_log(COMPLETED);
    }
    process.signal("TERM");
    process.wait().expect_code(0);
    input.complete();
    life.finish();
    input.expect_in(&life.job.output, "after refusals");
}

#[test]
#[ignore = "needs Kafka and S3: scripts/services.sh"]
fn a_store_that_is_killed_and_started_again_loses_nothing() {
    let mut input = Input::flowing(ROWS);
    let store = OwnS3::start();
    let mut life = Life::new(job(&input, &store.endpoint));
    let mut process = life.start(&[]);
    process.wait_for_log(COMPLETED);
    store.kill();
    process.wait_for_log("the store failed and will be tried again");
    store.start_again();
    process.wait_for_log(COMPLETED);
    // What the store had when it was killed is enough to go on from.
    life.kill(process, 0, Duration::ZERO);
    assert_eq!(life.kills, 1);
    input.complete();
    let ended = life.finish();
    assert!(
        ended.stderr.contains("resumed from a checkpoint"),
        "{}",
        ended.stderr
    );
    input.expect_in(&life.job.output, "after a kill of the store");
}

#[test]
#[ignore = "needs Kafka and S3: scripts/services.sh"]
fn a_job_whose_store_refuses_from_the_start_ends_and_says_so() {
    let input = Input::write(1_000);
    let store = http_proxy(&s3_endpoint());
    store.set(|passing| match passing.is_answer {
        true => Fate::Pass,
        false => Fate::Answer(refusal(403, "InvalidAccessKeyId")),
    });
    let life = Life::new(job(&input, &format!("http://{}", store.address)));
    let ended = life.start(&[]).wait();
    let log = ended.expect_code(1);
    assert!(log.contains("InvalidAccessKeyId"), "{log}");
    assert!(log.contains("hint: "), "{log}");
}

/// Kills the job so often at random moments, each time at another parallelism.
fn kill_some_times(kills: usize, life: &mut Life, random: &mut fastrand::Rng) {
    while life.kills < kills {
        life.job.parallelism = random.usize(1..=4);
        life.kill_at_random(random);
    }
}

/// A store that is slow, and now and then fails before or after it has done what it was asked.
fn unreliable(mut random: fastrand::Rng) -> impl FnMut(&Passing<'_>) -> Fate + Send {
    move |passing| match (random.u8(0..100), passing.is_answer) {
        (0..5, false) => Fate::Answer(refusal(503, "SlowDown")),
        (5..8, false) | (0..3, true) => Fate::Lose,
        (3..6, true) => Fate::Truncate,
        (6..8, true) => Fate::Answer(refusal(500, "InternalError")),
        (8..50, _) => Fate::Delay(Duration::from_millis(random.u64(0..20))),
        _ => Fate::Pass,
    }
}

/// Whether something is asked of the store that changes it.
fn is_write(passing: &Passing<'_>) -> bool {
    let is_change = |method| passing.call.starts_with(method);
    !passing.is_answer && ["PUT ", "POST "].iter().any(is_change)
}
