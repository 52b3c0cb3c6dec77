//! From a topic to a topic, exactly once, through kills at random moments. `FLOODMARK_SEED` sets the seed.

use std::time::Duration;

use serde_json::Value;

use crate::market_lag::{COMPLETED, Input, Job, Life, seed};

/// How often a job is killed at least, and the one that goes through several parallelisms.
const KILLS: usize = 50;
const KILLS_RESCALED: usize = 20;

/// How often a job is stopped with a savepoint.
const STOPS: usize = 8;

const ROWS: usize = 150_000;

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn each_result_is_read_once_and_in_order_after_kills() {
    kill_again_and_again(KILLS, 1, |_| 2);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn each_result_is_read_once_and_in_order_after_kills_and_changes_of_parallelism() {
    kill_again_and_again(KILLS_RESCALED, 2, |random| random.usize(1..=4));
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn each_result_is_read_once_and_in_order_after_stops_with_savepoints_and_kills() {
    let seed = seed(3);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut input = Input::flowing(ROWS);
    let mut life = Life::new(Job::over(&input));
    let mut from: Option<String> = None;
    for _ in 0..STOPS {
        // The checkpoints of the runs before are of another origin.
        let arguments = from.as_ref().map(|path| ["--fresh", "--from", path]);
        let arguments = arguments.as_ref().map_or(&[][..], |all| all);
        let mut process = life.start(arguments);
        process.wait_for_log(COMPLETED);
        // Now and then it is killed, and goes on from its own newest checkpoint.
        if random.bool() {
            life.kill(process, 0, Duration::from_millis(random.u64(0..50)));
            process = life.start(&[]);
            process.wait_for_log(COMPLETED);
        }
        let stop = ["stop", "job.toml", "--savepoint", "savepoints", "--json"];
        let stopped = life.folder.floodmark(&stop);
        stopped.expect_code(0);
        process.wait().expect_code(0);
        let stopped: Value = serde_json::from_str(&stopped.stdout).unwrap();
        from = Some(stopped["location"].as_str().unwrap().to_owned());
        life.job.parallelism = random.usize(1..=4);
    }
    input.complete();
    life.finish();
    let context = format!("seed {seed}, {} kills", life.kills);
    assert!(life.kills > 0, "{context}");
    input.expect_in(&life.job.output, &context);
}

/// Kills the job so often, each time at the parallelism that `parallelism` draws, and lets it run to its end then.
fn kill_again_and_again(kills: usize, default: u64, parallelism: fn(&mut fastrand::Rng) -> usize) {
    let seed = seed(default);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut input = Input::flowing(ROWS);
    let mut life = Life::new(Job::over(&input));
    while life.kills < kills {
        life.job.parallelism = parallelism(&mut random);
        life.kill_at_random(&mut random);
    }
    input.complete();
    life.finish();
    let context = format!("seed {seed}, {kills} kills");
    input.expect_in(&life.job.output, &context);
    // Else the kills came too early to try anything but the start.
    let resumed = life.resumed;
    assert!(resumed >= kills / 2, "{context}: {resumed} resumed");
}
