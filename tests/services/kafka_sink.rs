//! The Kafka sink against a broker: what a reader of committed records sees when the process is killed at any step of a
//! transaction, is started again with more or fewer subtasks, or goes on although another has taken its place.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use floodmark::config::RestartStrategyKind;
use floodmark::connectors::{KafkaSink, KafkaSinkConfig, MemorySource, TransactionStep};
use floodmark::engine::{
    Engine, EngineSettings, JobHandle, JobOutcome, SavepointRequest, StartFrom, StopRequest,
};
use floodmark::error::{Error, ErrorKind};
use floodmark::graph::StreamBuilder;

use crate::support::{Topic, kafka_address};

/// How many keys there are. The records of each lie in a split of their own, in order.
const KEYS: usize = 8;

/// How many records there are for each key.
const RECORDS: usize = 4_000;

/// Less than a batch, so that there is a checkpoint for each: the sink wants it.
const BYTES_MAX: &str = "transaction_bytes_max = '20KB'";

/// A job that writes to a topic.
struct SinkJob<'a> {
    topic: &'a Topic,
    folder: &'a Path,
    parallelism: usize,
    brokers: String,
    /// Further options of the sink.
    options: String,
    fresh: bool,
    start_from: Option<StartFrom>,
    interval: Duration,
}

impl<'a> SinkJob<'a> {
    fn new(topic: &'a Topic, folder: &'a Path, parallelism: usize) -> Self {
        Self {
            topic,
            folder,
            parallelism,
            brokers: kafka_address(),
            options: BYTES_MAX.to_owned(),
            fresh: false,
            start_from: None,
            interval: Duration::from_millis(50),
        }
    }

    fn config(&self) -> KafkaSinkConfig {
        let text = format!(
            "brokers = '{}'\ntopic = '{}'\ntransactional_id_prefix = '{}'\nkey_fields = ['key']\nformat = 'csv'
             value_fields_include = 'except-key'\n{}",
            self.brokers,
            self.topic.name,
            self.topic.name,
            self.options
        );
        toml::from_str(&text).unwrap()
    }

    fn start(
        &self,
        observer: impl Fn(TransactionStep) + Clone + Send + Sync + 'static,
    ) -> JobHandle {
        let config = self.config();
        let job = StreamBuilder::new("sink").parallelism(self.parallelism);
        let rows = rows();
        let splits = u32::try_from(KEYS).unwrap();
        let source = move || MemorySource::of_columns(&rows, splits);
        let make = move || Ok(KafkaSink::new(config.clone())?.with_observer(observer.clone()));
        job.source::<(), _>("in", source).sink("out", make);
        let storage = self.folder.join("checkpoints").display().to_string();
        let mut settings = EngineSettings::default().with_storage(storage);
        settings.checkpoint.interval = Some(self.interval);
        settings.restart.strategy = Some(RestartStrategyKind::None);
        settings.fresh = self.fresh;
        settings.start_from = self.start_from.clone();
        Engine::new(job.build().unwrap(), settings).start().unwrap()
    }

    /// Runs it to its end.
    fn run(&self) {
        let outcome = self.start(|_| ()).wait();
        assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    }

    fn failure(&self) -> Error {
        self.start(|_| ()).wait().into_result().unwrap_err()
    }

    /// Runs it in a process of its own that stops at the `count`th time that it comes to `step`, and stays there.
    fn run_to(&self, step: TransactionStep, count: usize) -> Parked {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kafka_sink::child", "--exact", "--ignored", "--nocapture"])
            .env("FLOODMARK_CHILD_TOPIC", &self.topic.name)
            .env(
                "FLOODMARK_CHILD_PARTITIONS",
                self.topic.partitions.to_string(),
            )
            .env("FLOODMARK_CHILD_FOLDER", self.folder)
            .env("FLOODMARK_CHILD_PARALLELISM", self.parallelism.to_string())
            .env("FLOODMARK_CHILD_STEP", format!("{step:?}"))
            .env("FLOODMARK_CHILD_COUNT", count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let stdin = child.stdin.take();
        let mut line = String::new();
        while line != "parked\n" {
            line.clear();
            let read = said.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended before it came to {step:?}");
        }
        Parked { child, stdin, said }
    }
}

/// A process that stands at a step of a transaction.
struct Parked {
    child: Child,
    stdin: Option<ChildStdin>,
    said: BufReader<std::process::ChildStdout>,
}

impl Parked {
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it go on, and gives what it says until it ends.
    fn go_on(mut self) -> String {
        self.stdin.take().unwrap().write_all(b"go on\n").unwrap();
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        self.child.wait().unwrap();
        said
    }
}

/// Row `i` is the next one of key `i % KEYS`.
fn rows() -> Vec<RecordBatch> {
    let all = 0..KEYS * RECORDS;
    let keys = all.clone().map(|row| format!("key-{}", row % KEYS));
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(keys));
    let numbers = all.map(|row| i64::try_from(row / KEYS).unwrap());
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    vec![RecordBatch::try_from_iter([("key", keys), ("number", numbers)]).unwrap()]
}

/// The numbers that a reader of committed records sees for each key, in order. Fails when a transaction is open.
fn committed(topic: &Topic) -> Vec<Vec<usize>> {
    let mut numbers = vec![Vec::new(); KEYS];
    for message in topic.committed() {
        let key = message.key.unwrap();
        let key: usize = key.strip_prefix("key-").unwrap().parse().unwrap();
        numbers[key].push(message.value.unwrap().parse().unwrap());
    }
    numbers
}

/// Checks that each record is there once, in the order of its key.
#[track_caller]
fn check_all(topic: &Topic) {
    let all: Vec<usize> = (0..RECORDS).collect();
    for (key, numbers) in committed(topic).into_iter().enumerate() {
        assert_eq!(numbers, all, "key {key}");
    }
}

/// What runs in processes of their own, which are told by their environment what to do.
#[test]
#[ignore = "a part of other tests, in a process of its own"]
#[expect(
    clippy::print_stdout,
    reason = "it is read by the test that started it"
)]
fn child() {
    let Ok(name) = std::env::var("FLOODMARK_CHILD_TOPIC") else {
        return;
    };
    let told = |name: &str| std::env::var(format!("FLOODMARK_CHILD_{name}")).unwrap();
    let topic = Topic {
        name,
        partitions: told("PARTITIONS").parse().unwrap(),
    };
    let folder = told("FOLDER");
    let job = SinkJob::new(
        &topic,
        Path::new(&folder),
        told("PARALLELISM").parse().unwrap(),
    );
    let (wanted, count) = (told("STEP"), told("COUNT").parse::<usize>().unwrap());
    let seen = Arc::new(AtomicUsize::new(0));
    let handle = job.start(move |step| {
        if format!("{step:?}") == wanted && seen.fetch_add(1, Ordering::SeqCst) + 1 == count {
            println!("parked");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
        }
    });
    match handle.wait().into_result() {
        Ok(()) => println!("finished"),
        Err(error) => println!("{:?}: {}", error.kind(), error.full_message()),
    }
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn each_record_is_seen_once_although_the_process_is_killed_around_each_commit() {
    let topic = Topic::create("sink-killed", 3);
    let folder = tempfile::tempdir().unwrap();
    let runs = [
        (1, TransactionStep::Written, 1),
        (2, TransactionStep::Committed, 1),
        (3, TransactionStep::Written, 2),
        (4, TransactionStep::Committed, 2),
        (2, TransactionStep::Written, 2),
        (1, TransactionStep::Committed, 2),
    ];
    for (parallelism, step, count) in runs {
        let job = SinkJob::new(&topic, folder.path(), parallelism);
        job.run_to(step, count).kill();
    }
    SinkJob::new(&topic, folder.path(), 3).run();
    check_all(&topic);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_start_without_a_checkpoint_leaves_no_transaction_of_an_earlier_run_open() {
    let topic = Topic::create("sink-fresh", 3);
    let folder = tempfile::tempdir().unwrap();
    let job = SinkJob::new(&topic, folder.path(), 4);
    job.run_to(TransactionStep::Written, 3).kill();
    let before = topic.read(0, "read_uncommitted").len()
        + topic.read(1, "read_uncommitted").len()
        + topic.read(2, "read_uncommitted").len();
    assert!(before > 0);
    let other = tempfile::tempdir().unwrap();
    let fresh = SinkJob {
        fresh: true,
        ..SinkJob::new(&topic, other.path(), 1)
    };
    fresh.run();
    // What the first run had committed is seen as well.
    for numbers in committed(&topic) {
        let start = numbers.len() - RECORDS;
        assert!(numbers[start..].iter().copied().eq(0..RECORDS));
        assert!(numbers[..start].iter().copied().eq(0..start));
    }
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_process_whose_place_was_taken_commits_nothing() {
    let topic = Topic::create("sink-zombie", 3);
    let [first, second] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let zombie = SinkJob::new(&topic, first.path(), 1).run_to(TransactionStep::Written, 1);
    // Its checkpoints lie elsewhere, so that nothing but the broker stands between the two.
    SinkJob::new(&topic, second.path(), 1).run();
    check_all(&topic);
    let said = zombie.go_on();
    assert!(said.contains("Conflict: "), "{said}");
    assert!(said.contains(".sink.out.0"), "{said}");
    check_all(&topic);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_savepoint_holds_what_is_not_committed_and_is_gone_on_from_once() {
    let topic = Topic::create("sink-savepoint", 3);
    let folder = tempfile::tempdir().unwrap();
    let savepoints = folder.path().join("savepoints").display().to_string();
    let job = SinkJob::new(&topic, folder.path(), 2);
    let handle = job.start(|_| ());
    let request = StopRequest {
        savepoint: Some(SavepointRequest {
            directory: Some(savepoints),
        }),
        drain: false,
    };
    let stopped = handle.stop(request).wait().unwrap();
    assert!(matches!(handle.wait(), JobOutcome::Stopped));
    let other = tempfile::tempdir().unwrap();
    let location = stopped.savepoint.unwrap().path;
    let resumed = SinkJob {
        start_from: Some(StartFrom::new(location)),
        ..SinkJob::new(&topic, other.path(), 3)
    };
    resumed.run();
    check_all(&topic);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn records_go_out_at_once_when_that_is_asked_for_and_none_is_lost() {
    for guarantee in ["at-least-once", "none"] {
        let topic = Topic::create("sink-at-least-once", 3);
        let folder = tempfile::tempdir().unwrap();
        let job = SinkJob {
            options: format!(
                "delivery_guarantee = '{guarantee}'\nkafka.queue.buffering.max.messages = 500"
            ),
            ..SinkJob::new(&topic, folder.path(), 2)
        };
        job.run();
        check_all(&topic);
    }
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_record_that_is_too_large_is_an_error_that_names_its_key_and_leaves_nothing_open() {
    for guarantee in ["exactly-once", "at-least-once"] {
        let topic = Topic::create("sink-too-large", 3);
        let folder = tempfile::tempdir().unwrap();
        let padding = "x".repeat(2000);
        let job = SinkJob {
            options: format!(
                "delivery_guarantee = '{guarantee}'\nkafka.message.max.bytes = 1000\nheaders = {{ {padding} = 'key' }}"
            ),
            ..SinkJob::new(&topic, folder.path(), 2)
        };
        let error = job.failure();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        let message = error.full_message();
        assert!(message.contains("the key \"key-"), "{message}");
        assert!(message.contains("message.max.bytes"), "{message}");
        assert_eq!(committed(&topic), vec![Vec::<usize>::new(); KEYS]);
    }
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_broker_that_is_not_there_at_the_start_is_waited_for() {
    let topic = Topic::create("sink-absent", 3);
    let folder = tempfile::tempdir().unwrap();
    // The port is free again when the listener is gone.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let job = SinkJob {
        brokers: address.to_string(),
        ..SinkJob::new(&topic, folder.path(), 2)
    };
    let handle = job.start(|_| ());
    // The sink is full, and takes nothing any more: as far as it can get without a broker.
    in_background(move || forward(address));
    assert!(matches!(handle.wait(), JobOutcome::Finished));
    check_all(&topic);
}

/// Lets whoever connects to `address` talk to the broker.
fn forward(address: std::net::SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    for client in listener.incoming() {
        let client = client.unwrap();
        let broker = TcpStream::connect(kafka_address()).unwrap();
        let pairs = [
            (client.try_clone().unwrap(), broker.try_clone().unwrap()),
            (broker, client),
        ];
        for (mut from, mut to) in pairs {
            in_background(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }
}

/// Runs until it ends, or the test does.
fn in_background(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().spawn(work).unwrap();
}
