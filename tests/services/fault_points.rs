//! A job from a topic to a topic is killed between any two steps of a checkpoint and its commit: not at random, but when a
//! proxy sees the step's request, which then never arrives, or its answer, which then never comes back.

use std::fmt;
use std::sync::mpsc::{Receiver, sync_channel};

use crate::market_lag::{Input, Job, Life, Storage, seed};
use crate::support::{
    Fate, Passing, Proxy, http_proxy, kafka_address, kafka_proxy, s3_endpoint, signal,
};

const ROWS: usize = 120_000;

/// Between which two steps a process is killed.
#[derive(Clone, Copy, Debug)]
struct FaultPoint {
    /// What has happened, or has not.
    step: &'static str,
    /// The call that does it.
    is_call: fn(&str) -> bool,
    is_answer: bool,
    /// Whether it comes once in a run only, at the start.
    is_at_the_start: bool,
}

/// The numbers of calls in Kafka's protocol.
const INIT_PRODUCER_ID: &str = "22";
const ADD_PARTITIONS_TO_TXN: &str = "24";
const ADD_OFFSETS_TO_TXN: &str = "25";
const END_TXN: &str = "26";
const TXN_OFFSET_COMMIT: &str = "28";

/// What happens at the broker, in this order.
const AT_THE_BROKER: [FaultPoint; 9] = [
    FaultPoint::before("the former producer is fenced", is_init_producer_id).at_the_start(),
    FaultPoint::after("the former producer is fenced", is_init_producer_id).at_the_start(),
    FaultPoint::before("the transaction is begun", |call| {
        call == ADD_PARTITIONS_TO_TXN
    }),
    FaultPoint::after("the transaction is begun", |call| {
        call == ADD_PARTITIONS_TO_TXN
    }),
    FaultPoint::before("the marker belongs to it", |call| {
        call == ADD_OFFSETS_TO_TXN
    }),
    FaultPoint::before("the marker is written", |call| call == TXN_OFFSET_COMMIT),
    FaultPoint::after("the marker is written", |call| call == TXN_OFFSET_COMMIT),
    FaultPoint::before("the transaction is committed", |call| call == END_TXN),
    FaultPoint::after("the transaction is committed", |call| call == END_TXN),
];

/// What happens at the store, in this order.
const AT_THE_STORE: [FaultPoint; 4] = [
    FaultPoint::before("state is stored", is_upload),
    FaultPoint::after("state is stored", is_upload),
    FaultPoint::before("the manifest is there", is_manifest),
    FaultPoint::after("the manifest is there", is_manifest),
];

fn is_init_producer_id(call: &str) -> bool {
    call == INIT_PRODUCER_ID
}

fn is_upload(call: &str) -> bool {
    call.starts_with("PUT ") && call.contains("/shared/")
}

fn is_manifest(call: &str) -> bool {
    call.starts_with("PUT ") && call.ends_with("/manifest.json")
}

impl FaultPoint {
    /// The call is made, and does not arrive.
    const fn before(step: &'static str, is_call: fn(&str) -> bool) -> Self {
        Self {
            step,
            is_call,
            is_answer: false,
            is_at_the_start: false,
        }
    }

    /// The call has done its work, and its answer does not come.
    const fn after(step: &'static str, is_call: fn(&str) -> bool) -> Self {
        Self {
            is_answer: true,
            ..Self::before(step, is_call)
        }
    }

    const fn at_the_start(self) -> Self {
        Self {
            is_at_the_start: true,
            ..self
        }
    }
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.is_answer { "after" } else { "before" };
        write!(formatter, "{when} {}", self.step)
    }
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_kill_at_any_step_of_a_transaction_loses_nothing_and_doubles_nothing() {
    at_the_broker(4, |_| 2);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_kill_at_any_step_of_a_transaction_can_come_with_another_parallelism() {
    at_the_broker(5, |random| random.usize(1..=4));
}

#[test]
#[ignore = "needs Kafka and S3: scripts/services.sh"]
fn a_kill_at_any_step_of_a_checkpoint_on_s3_loses_nothing_and_doubles_nothing() {
    let mut input = Input::flowing(ROWS);
    let store = http_proxy(&s3_endpoint());
    let job = Job {
        storage: Storage::s3(format!("http://{}", store.address)),
        ..Job::over(&input)
    };
    check(8, &mut input, job, &store, &AT_THE_STORE, |random| {
        random.usize(1..=4)
    });
}

fn at_the_broker(default_seed: u64, parallelism: fn(&mut fastrand::Rng) -> usize) {
    let mut input = Input::flowing(ROWS);
    let broker = kafka_proxy(&kafka_address());
    let job = Job {
        brokers: broker.address.clone(),
        ..Job::over(&input)
    };
    check(
        default_seed,
        &mut input,
        job,
        &broker,
        &AT_THE_BROKER,
        parallelism,
    );
}

/// Kills the job once at each point, each time at the parallelism that `parallelism` draws, and lets it run to its end
/// then.
fn check(
    default_seed: u64,
    input: &mut Input,
    job: Job,
    proxy: &Proxy,
    points: &[FaultPoint],
    parallelism: fn(&mut fastrand::Rng) -> usize,
) {
    let seed = seed(default_seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut life = Life::new(job);
    for point in points {
        life.job.parallelism = parallelism(&mut random);
        let time = if point.is_at_the_start {
            1
        } else {
            random.usize(1..=3)
        };
        kill_at(
            *point,
            &mut life,
            proxy,
            time,
            &format!("seed {seed}, {point}"),
        );
    }
    proxy.set(|_| Fate::Pass);
    input.complete();
    life.finish();
    input.expect_in(&life.job.output, &format!("seed {seed}"));
}

/// Starts a run, and kills it when the proxy sees the point for this time.
fn kill_at(point: FaultPoint, life: &mut Life, proxy: &Proxy, time: usize, context: &str) {
    let (sender, process_id) = sync_channel(1);
    proxy.set(killer(point, time, process_id));
    let process = life.start(&[]);
    sender.send(process.id()).unwrap();
    let ended = process.wait();
    life.expect_killed(&ended, context);
}

/// Lets everything pass up to the point, where the process is killed; then nothing.
fn killer(
    point: FaultPoint,
    time: usize,
    process_id: Receiver<u32>,
) -> impl FnMut(&Passing<'_>) -> Fate + Send {
    let mut left = time;
    move |passing| {
        if passing.is_answer == point.is_answer && (point.is_call)(passing.call) && left > 0 {
            left -= 1;
            if left == 0 {
                // What it says may pass before it is known who it is; this does not.
                signal(process_id.recv().unwrap(), "KILL");
            }
        }
        if left == 0 { Fate::Lose } else { Fate::Pass }
    }
}
