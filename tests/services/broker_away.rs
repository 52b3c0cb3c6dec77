//! A job from a topic to a topic, whose broker goes away in mid-run and comes back: a proxy loses whatever passes. The job
//! stays alive, or ends as its settings say, and nothing is lost or there twice.

use crate::market_lag::{COMPLETED, Input, Job, Life};
use crate::support::{Fate, Process, Proxy, kafka_address, kafka_proxy};

const ROWS: usize = 80_000;

/// The sink is full when it holds a little: then nothing passes it, barriers included.
const SMALL: &str = "transaction_bytes_max = '100KB'";

/// How a source or a sink says that it goes on trying, and that it need not any more.
const AWAY: &str = "the kafka broker does not answer; trying again";
const BACK: &str = "the kafka broker answers again";

/// What is logged of a checkpoint whose barrier did not come in time.
const EXPIRED: &str = "failure=CHECKPOINT_EXPIRED";

/// What the job fails with when there were too many of them.
const TOO_MANY: &str = "more checkpoints failed than tolerable_failures allows";

/// A job whose broker the test can take away.
struct Trial {
    input: Input,
    broker: Proxy,
    life: Life,
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_job_whose_broker_goes_away_stays_alive_and_goes_on_when_it_is_back() {
    let mut trial = Trial::of(|input, broker| Job {
        brokers: broker.address.clone(),
        ..Job::over(input)
    });
    let mut process = trial.started();
    for _ in 0..2 {
        trial.cut();
        process.wait_for_log(AWAY);
        // There is nothing to read, and nothing keeps barriers from passing.
        process.wait_for_log(COMPLETED);
        trial.restore();
        process.wait_for_log(BACK);
        process.wait_for_log(COMPLETED);
    }
    stop(process);
    trial.finish();
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_sink_without_its_broker_holds_the_job_back_and_tolerated_checkpoints_fail() {
    let mut trial = Trial::of(|input, broker| Job {
        checkpoint: "timeout = '3s'\ntolerable_failures = 10_000",
        ..job_with_proxy_before_sink(input, broker)
    });
    let mut process = trial.started();
    trial.cut();
    process.wait_for_log(AWAY);
    for _ in 0..3 {
        process.wait_for_log(EXPIRED);
    }
    trial.restore();
    process.wait_for_log(BACK);
    process.wait_for_log(COMPLETED);
    stop(process);
    trial.finish();
}

/// Without transactions a checkpoint waits until the broker has what was written before it. As long as the job is not
/// restarted, nothing is written twice.
#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_sink_that_writes_at_once_fails_checkpoints_without_its_broker_and_loses_nothing() {
    let mut trial = Trial::of(|input, broker| Job {
        checkpoint: "timeout = '3s'\ntolerable_failures = 10_000",
        delivery_guarantee: "at-least-once",
        sink: "",
        ..job_with_proxy_before_sink(input, broker)
    });
    let mut process = trial.started();
    trial.cut();
    process.wait_for_log(EXPIRED);
    trial.restore();
    process.wait_for_log(COMPLETED);
    stop(process);
    trial.finish();
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_checkpoint_too_many_without_the_broker_restarts_the_job_until_it_is_back() {
    let mut trial = Trial::of(|input, broker| Job {
        checkpoint: "timeout = '3s'\ntolerable_failures = 0",
        restart: "strategy = 'fixed-delay'\nattempts = 10_000\ndelay = '100ms'",
        ..job_with_proxy_before_sink(input, broker)
    });
    let mut process = trial.started();
    trial.cut();
    // A job that was restarted meets the same: what it has restored cannot be settled.
    for _ in 0..2 {
        process.wait_for_log(TOO_MANY);
        process.wait_for_log("resumed from a checkpoint");
    }
    trial.restore();
    process.wait_for_log(COMPLETED);
    stop(process);
    trial.finish();
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_checkpoint_too_many_without_the_broker_ends_a_job_that_is_not_restarted() {
    let mut trial = Trial::of(|input, broker| Job {
        checkpoint: "timeout = '3s'\ntolerable_failures = 0",
        restart: "strategy = 'none'",
        ..job_with_proxy_before_sink(input, broker)
    });
    let process = trial.started();
    trial.cut();
    let ended = process.wait();
    let log = ended.expect_code(1);
    assert!(log.contains(TOO_MANY), "{log}");
    assert!(log.contains("hint: "), "{log}");
    trial.restore();
    trial.finish();
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_job_that_is_stopped_without_its_broker_can_be_ended_at_once() {
    let mut trial = Trial::of(job_with_proxy_before_sink);
    let mut process = trial.started();
    trial.cut();
    process.wait_for_log(AWAY);
    process.signal("TERM");
    process.wait_for_log("SIGTERM: taking a last checkpoint");
    // What was written before cannot be committed, so the job would wait for as long as the broker is away.
    process.signal("TERM");
    process.wait().expect_code(130);
    trial.restore();
    trial.finish();
}

/// The source reads from the broker itself, so that there is always something to write.
fn job_with_proxy_before_sink(input: &Input, broker: &Proxy) -> Job {
    Job {
        sink_brokers: Some(broker.address.clone()),
        sink: SMALL,
        ..Job::over(input)
    }
}

impl Trial {
    fn of(job: impl FnOnce(&Input, &Proxy) -> Job) -> Self {
        let input = Input::flowing(ROWS);
        let broker = kafka_proxy(&kafka_address());
        let life = Life::new(job(&input, &broker));
        Self {
            input,
            broker,
            life,
        }
    }

    /// A run that has got as far as its second checkpoint.
    fn started(&self) -> Process {
        let mut process = self.life.start(&[]);
        for _ in 0..2 {
            process.wait_for_log(COMPLETED);
        }
        process
    }

    /// The broker goes away: whatever is asked of it, and whatever it answers, is lost with its connection.
    fn cut(&self) {
        self.broker.set(|_| Fate::Lose);
    }

    fn restore(&self) {
        self.broker.set(|_| Fate::Pass);
    }

    /// Lets a last run work off what there is, and looks at all that was written.
    fn finish(&mut self) {
        self.input.complete();
        self.life.job.checkpoint = "";
        self.life.finish();
        let output = &self.life.job.output;
        self.input.expect_in(output, "after the broker was away");
    }
}

/// Ends a run that goes on as if nothing had happened.
fn stop(process: Process) {
    process.signal("TERM");
    process.wait().expect_code(0);
}
