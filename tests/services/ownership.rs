//! Two real processes, one job, and the moment at which the first cannot be stopped any more: its request is on its way
//! when it freezes, and arrives after the job was taken over. It must change nothing, in the topic or in the store.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::Value;

use crate::market_lag::{COMPLETED, Input, Job, Life, Storage};
use crate::support::{
    Fate, Passing, Process, http_proxy, kafka_address, kafka_proxy, s3_endpoint, signal,
};

const ROWS: usize = 60_000;

/// The end of a transaction, in Kafka's protocol.
const END_TXN: &str = "26";

/// How long a test waits for a process to come to a request. It is never reached unless that hangs.
const MOMENT_MAX: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_transaction_that_ends_after_the_job_was_taken_over_is_refused() {
    let mut input = Input::flowing(ROWS);
    let broker = kafka_proxy(&kafka_address());
    let mut life = Life::new(Job {
        brokers: broker.address.clone(),
        ..Job::over(&input)
    });
    let mut freezer = Freezer::new();
    broker.set(freezer.rule(|passing| passing.call == END_TXN && !passing.is_answer));
    freezer.check(&mut life, &mut input);
}

#[test]
#[ignore = "needs Kafka and S3: scripts/services.sh"]
fn a_manifest_that_arrives_after_the_job_was_taken_over_is_refused() {
    let mut input = Input::flowing(ROWS);
    let store = http_proxy(&s3_endpoint());
    let mut life = Life::new(Job {
        storage: Storage::s3(format!("http://{}", store.address)),
        ..Job::over(&input)
    });
    let mut freezer = Freezer::new();
    store.set(freezer.rule(|passing| {
        let is_manifest = passing.call.ends_with("/manifest.json");
        passing.call.starts_with("PUT ") && is_manifest && !passing.is_answer
    }));
    freezer.check(&mut life, &mut input);
}

/// Freezes a process at a request, which is held back.
struct Freezer {
    ids: (SyncSender<u32>, Option<Receiver<u32>>),
    release: (SyncSender<()>, Option<Receiver<()>>),
    frozen: (SyncSender<()>, Receiver<()>),
}

impl Freezer {
    fn new() -> Self {
        let (id, ids) = sync_channel(1);
        let (release, released) = sync_channel(1);
        Self {
            ids: (id, Some(ids)),
            release: (release, Some(released)),
            frozen: sync_channel(1),
        }
    }

    /// Lets everything pass but the first of these requests of the process whose id it is given.
    fn rule(
        &mut self,
        is_it: fn(&Passing<'_>) -> bool,
    ) -> impl FnMut(&Passing<'_>) -> Fate + Send + use<> {
        let ids = self.ids.1.take().unwrap();
        let frozen = self.frozen.0.clone();
        let mut release = self.release.1.take();
        move |passing| {
            if is_it(passing)
                && let Ok(id) = ids.try_recv()
                && let Some(release) = release.take()
            {
                signal(id, "STOP");
                frozen.send(()).unwrap();
                return Fate::Hold(release);
            }
            Fate::Pass
        }
    }

    /// Runs the job in a process that freezes, and takes it over.
    fn check(self, life: &mut Life, input: &mut Input) {
        let mut first = life.start(&[]);
        for _ in 0..2 {
            first.wait_for_log(COMPLETED);
        }
        self.ids.0.send(first.id()).unwrap();
        self.frozen.1.recv_timeout(MOMENT_MAX).unwrap();

        let refused = life.start(&[]).wait();
        let log = refused.expect_code(1);
        assert!(log.contains("is already running"), "{log}");
        assert!(log.contains("--take-over"), "{log}");

        input.complete();
        life.job.is_bounded = true;
        let second = life.start(&["--take-over"]).wait();
        let log = second.expect_code(0);
        assert!(log.contains("resumed from a checkpoint"), "{log}");
        input.expect_in(&life.job.output, "taken over");
        let before = (life.job.output.committed(), checkpoints(life));

        self.release.0.send(()).unwrap();
        first.signal("CONT");
        expect_a_zombie(first);
        assert_eq!(
            before.1,
            checkpoints(life),
            "the zombie has completed a checkpoint"
        );
        assert!(
            before.0 == life.job.output.committed(),
            "the zombie has committed records"
        );
    }
}

/// It has found out that the job is not its own any more.
fn expect_a_zombie(process: Process) {
    let ended = process.wait();
    let log = ended.expect_code(1);
    let from_the_store = "does not belong to this process any more";
    let from_the_broker = "fenced";
    assert!(
        log.contains(from_the_store) || log.contains(from_the_broker),
        "{log}"
    );
    assert!(log.contains("hint: "), "{log}");
}

/// The complete checkpoints of the job. Of one that is not there can be traces: nobody reads them.
fn checkpoints(life: &Life) -> Vec<Value> {
    let list = ["checkpoints", "list", "job.toml", "--json"];
    let listed = life.folder.floodmark(&list);
    listed.expect_code(0);
    let mut rows: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    rows.retain(|row| row["status"] == "completed");
    assert!(!rows.is_empty(), "{}", listed.stdout);
    rows
}
