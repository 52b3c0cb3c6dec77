//! The Kafka source against a broker: where it starts and ends, what it sees, and what becomes of its positions.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use floodmark::config::JobFile;
use floodmark::engine::{Engine, EngineSettings, JobHandle, JobOutcome};
use floodmark::error::{Error, ErrorKind};
use floodmark::graph;
use rdkafka::producer::Producer;

use crate::support::{ANSWER_MAX, Topic, kafka_address, transactional};

/// A job that reads a topic and writes what it reads to files, with its folder.
struct SourceJob {
    folder: tempfile::TempDir,
    /// The options of the source beside those that all tests share.
    options: String,
}

impl SourceJob {
    /// A job that reads `topic`, whose values are text.
    fn reading(topic: &Topic, options: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            options: format!("topics = ['{}']\n{options}", topic.name),
        }
    }

    /// The job as a file.
    fn text(&self, parallelism: usize, more_options: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            "[job]
            name = 'source'
            parallelism = {parallelism}
            [checkpoint]
            interval = '50ms'
            storage = '{folder}/checkpoints'
            [restart]
            strategy = 'none'
            [[source]]
            id = 'in'
            type = 'kafka'
            brokers = '{}'
            format = 'raw'
            columns = {{ value = 'string' }}
            {}
            {more_options}
            [[sink]]
            id = 'out'
            type = 'file'
            input = 'in'
            path = '{folder}/out'
            format = 'json'
            roll_interval = '0s'
            existing = 'keep'
            ",
            kafka_address(),
            self.options
        )
    }

    fn start(&self, parallelism: usize, more_options: &str) -> JobHandle {
        self.try_start(parallelism, more_options).unwrap()
    }

    fn try_start(&self, parallelism: usize, more_options: &str) -> Result<JobHandle, Error> {
        let file = JobFile::parse("job.toml", &self.text(parallelism, more_options)).unwrap();
        Engine::new(graph::build(&file)?, EngineSettings::from(&file)).start()
    }

    /// Reads up to what is there now, and gives the values of all runs so far.
    fn run_to_end(&self, parallelism: usize) -> Vec<String> {
        let handle = self.start(parallelism, "bounded_mode = 'latest-offset'");
        assert!(matches!(handle.wait(), JobOutcome::Finished));
        self.values()
    }

    /// The error that a run to the end comes to.
    fn failure(&self, parallelism: usize) -> Error {
        let handle = self.start(parallelism, "bounded_mode = 'latest-offset'");
        handle.wait().into_result().unwrap_err()
    }

    /// Takes checkpoints until this many values are visible, then ends the job as a crash would.
    fn stop_after(&self, handle: JobHandle, values: usize) {
        while self.values().len() < values {
            handle.checkpoint().wait().unwrap();
        }
        handle.cancel();
        assert!(matches!(handle.wait(), JobOutcome::Cancelled));
    }

    /// What the job has made visible, in order.
    fn rows(&self) -> Vec<serde_json::Value> {
        let Ok(files) = std::fs::read_dir(self.folder.path().join("out")) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.retain(|path| is_part(path));
        paths.sort();
        let texts = paths
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap());
        let lines = |text: String| {
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            lines.collect::<Vec<_>>()
        };
        texts.flat_map(lines).collect()
    }

    /// The values that the job has made visible, sorted.
    fn values(&self) -> Vec<String> {
        let rows = self.rows().into_iter();
        let mut values: Vec<_> = rows
            .map(|row| row["value"].as_str().unwrap().to_owned())
            .collect();
        values.sort();
        values
    }
}

fn is_part(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.starts_with("part-")
}

/// A topic with the values 0 to 9, spread over three partitions.
fn ten_values(name: &str) -> Topic {
    let topic = Topic::create(name, 3);
    let values: Vec<_> = (0..10).map(|number: i32| number.to_string()).collect();
    topic.write(
        (0_i32..)
            .zip(&values)
            .map(|(number, value)| (number % 3, "k", value.as_str())),
    );
    topic
}

fn numbers(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    let mut numbers: Vec<_> = numbers
        .into_iter()
        .map(|number| number.to_string())
        .collect();
    numbers.sort();
    numbers
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_subtask_of_many_partitions_reads_them_all() {
    let topic = Topic::create("source-many", 24);
    let values: Vec<_> = (0..240).map(|number: i32| number.to_string()).collect();
    let numbered = (0_i32..).zip(&values);
    topic.write(numbered.map(|(number, value)| (number % 24, "k", value.as_str())));
    let job = SourceJob::reading(&topic, "startup_mode = 'earliest-offset'");
    let handle = job.start(1, "");
    job.stop_after(handle, 100);
    assert_eq!(job.run_to_end(1), numbers(0..240));
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_bounded_source_reads_what_is_there_and_finishes() {
    let topic = ten_values("source-bounded");
    for parallelism in [1, 2, 5] {
        let job = SourceJob::reading(&topic, "");
        assert_eq!(job.run_to_end(parallelism), numbers(0..10), "{parallelism}");
    }
    let given = "bounded_mode = 'specific-offsets'";
    let job = SourceJob::reading(&topic, given);
    let offsets = format!(
        "bounded_offsets = {{ {} = {{ 0 = 1, 1 = 0, 2 = 99 }} }}",
        topic.name
    );
    let handle = job.start(2, &offsets);
    assert!(matches!(handle.wait(), JobOutcome::Finished));
    assert_eq!(job.values(), numbers([0, 2, 5, 8]));
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn each_startup_mode_starts_where_it_says() {
    let topic = ten_values("source-startup");
    let check = |options: &str, expected: &[u32]| {
        let job = SourceJob::reading(&topic, options);
        assert_eq!(
            job.run_to_end(2),
            numbers(expected.iter().copied()),
            "{options}"
        );
    };
    check(
        "startup_mode = 'earliest-offset'",
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    check("startup_mode = 'latest-offset'", &[]);
    check(
        "startup_mode = 'timestamp'\nstartup_timestamp = '2000-01-01T00:00:00Z'",
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    check(
        "startup_mode = 'timestamp'\nstartup_timestamp = '2100-01-01T00:00:00Z'",
        &[],
    );
    let given = format!(
        "startup_offsets = {{ {} = {{ 0 = 1, 1 = 3 }} }}",
        topic.name
    );
    check(
        &format!("startup_mode = 'specific-offsets'\n{given}"),
        &[3, 6, 9, 2, 5, 8],
    );
    let group = format!(
        "group_id = '{}'\nstartup_mode = 'group-offsets'",
        topic.name
    );
    let error = SourceJob::reading(&topic, &group).failure(1);
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error.full_message().contains("the group has no offset"),
        "{error}"
    );
    check(
        &format!("{group}\nauto_offset_reset = 'earliest'"),
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    // That run has set the group's offsets with its last checkpoint.
    topic.write([(0, "k", "10")]);
    check(&group, &[10]);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_restored_job_goes_on_at_its_offsets_at_any_parallelism() {
    let topic = ten_values("source-rescale");
    let job = SourceJob::reading(&topic, "startup_mode = 'earliest-offset'");
    job.stop_after(job.start(1, ""), 10);
    topic.write([(0, "k", "10"), (1, "k", "11"), (2, "k", "12")]);
    job.stop_after(job.start(3, ""), 13);
    topic.write([(0, "k", "13"), (2, "k", "14")]);
    job.stop_after(job.start(2, ""), 15);
    assert_eq!(job.run_to_end(4), numbers(0..15));
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn partitions_that_are_added_are_found_and_read_from_their_start() {
    let mut topic = ten_values("source-discovery");
    let options = "startup_mode = 'latest-offset'\npartition_discovery_interval = '100ms'";
    let job = SourceJob::reading(&topic, options);
    let handle = job.start(2, "");
    // Once a checkpoint is there, and a value that came after the start, the rest is known to be passed over.
    let mut probe = 100;
    while job.values().is_empty() {
        topic.write([(0, "k", probe.to_string().as_str())]);
        handle.checkpoint().wait().unwrap();
        probe += 1;
    }
    topic.add_partitions(5);
    topic.write([(3, "k", "13"), (4, "k", "14")]);
    let is_found = |value: &str| job.values().iter().any(|found| found == value);
    while !is_found("13") || !is_found("14") {
        handle.checkpoint().wait().unwrap();
    }
    handle.cancel();
    assert!(!is_found("0"));
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn only_committed_records_are_seen_and_control_records_do_not_hold_up_the_end() {
    let topic = Topic::create("source-transactions", 1);
    let producer = transactional(&kafka_address(), &topic.name);
    let write = |value: &str| {
        producer.begin_transaction().unwrap();
        topic.write_with(&producer, [(0, "k", value)]);
        producer.flush(ANSWER_MAX).unwrap();
    };
    write("committed");
    producer.commit_transaction(ANSWER_MAX).unwrap();
    write("aborted");
    producer.abort_transaction(ANSWER_MAX).unwrap();
    // A job that has read a bounded source to its end has finished for good: each is another one.
    let committed = |parallelism| SourceJob::reading(&topic, "").run_to_end(parallelism);
    // What comes last is the mark of the abort.
    assert_eq!(committed(1), ["committed"]);
    write("open");
    assert_eq!(committed(1), ["committed"]);
    producer.commit_transaction(ANSWER_MAX).unwrap();
    assert_eq!(committed(2), ["committed", "open"]);
    let all = SourceJob::reading(&topic, "isolation_level = 'read_uncommitted'");
    assert_eq!(all.run_to_end(1), ["aborted", "committed", "open"]);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn an_offset_out_of_range_is_an_error_that_names_the_range_or_a_jump() {
    let topic = ten_values("source-range");
    let job = SourceJob::reading(&topic, "");
    job.stop_after(job.start(1, ""), 10);
    let resetting = SourceJob::reading(&topic, "auto_offset_reset = 'earliest'");
    resetting.stop_after(resetting.start(1, ""), 10);
    topic.write([(0, "k", "lost"), (0, "k", "lost too"), (0, "k", "there")]);
    topic.delete_before(0, 6);
    let error = job.failure(1);
    assert_eq!(error.kind(), ErrorKind::Data);
    let message = error.full_message();
    let expected = "/0: offset 4 is out of range, the broker has 6 to 7";
    assert!(message.contains(expected), "{message}");
    let mut expected = numbers(0..10);
    expected.push("there".to_owned());
    resetting.stop_after(resetting.start(1, ""), expected.len());
    assert_eq!(resetting.values(), expected);
    // An offset that was never there is noticed by the broker alone, while the job runs.
    let beyond = format!(
        "startup_mode = 'specific-offsets'\nstartup_offsets = {{ {} = {{ 0 = 77, 1 = 3, 2 = 3 }} }}",
        topic.name
    );
    let job = SourceJob::reading(&topic, &beyond);
    let error = job.start(1, "").wait().into_result().unwrap_err();
    let message = error.full_message();
    assert!(
        message.contains("/0: offset 77 is out of range, the broker has 6 to 7"),
        "{message}"
    );
    let options = format!("{beyond}\nauto_offset_reset = 'earliest'");
    let resetting = SourceJob::reading(&topic, &options);
    resetting.stop_after(resetting.start(1, ""), 1);
    assert_eq!(resetting.values(), ["there"]);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_topic_that_does_not_exist_is_named_at_once() {
    let topic = Topic {
        name: "source-no-such-topic".into(),
        partitions: 1,
    };
    let error = SourceJob::reading(&topic, "").failure(1);
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let message = error.full_message();
    assert!(
        message.contains("there is no topic \"source-no-such-topic\""),
        "{message}"
    );
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_pattern_reads_every_topic_that_matches() {
    let topics: Vec<_> = (0..3)
        .map(|_| Topic::create("source-pattern-one", 2))
        .collect();
    let other = Topic::create("source-pattern-two", 1);
    let common = topics[0].name.clone();
    let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
    for (number, topic) in topics.iter().enumerate() {
        topic.write([(1, "k", number.to_string().as_str())]);
    }
    other.write([(0, "k", "other")]);
    let job = SourceJob {
        folder: tempfile::tempdir().unwrap(),
        options: format!("topic_pattern = '{}'", names.join("|")),
    };
    assert_eq!(job.run_to_end(2), numbers(0..3), "{common}");
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_row_knows_where_its_record_came_from() {
    let topic = Topic::create("source-metadata", 2);
    topic.write([(1, "the key", "a"), (1, "the key", "b")]);
    let metadata =
        "metadata = { t = 'topic', p = 'partition', o = 'offset', k = 'key', h = 'headers' }";
    let job = SourceJob::reading(&topic, metadata);
    job.run_to_end(1);
    let expected = |value: &str, offset: i64| {
        serde_json::json!({
            "value": value, "t": topic.name, "p": 1, "o": offset, "k": "the key", "h": "{}"
        })
    };
    assert_eq!(job.rows(), [expected("a", 0), expected("b", 1)]);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_killed_process_loses_nothing_and_repeats_nothing() {
    let topic = Topic::create("source-killed", 4);
    let job = SourceJob::reading(&topic, "");
    let path = job.folder.path().join("job.toml");
    std::fs::write(&path, job.text(2, "")).unwrap();
    let mut written = 0;
    let mut write = || {
        let values: Vec<_> = (written..written + 400)
            .map(|number: i32| number.to_string())
            .collect();
        topic.write(
            (0_i32..)
                .zip(&values)
                .map(|(number, value)| (number % 4, "k", value.as_str())),
        );
        written += 400;
    };
    for _ in 0..4 {
        write();
        let mut process = Command::new(env!("CARGO_BIN_EXE_floodmark"))
            .args(["run", "job.toml", "-v", "--log-format", "json"])
            .current_dir(job.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        // Killed in the middle of whatever it does after its second checkpoint.
        let is_complete = |line: &String| line.contains("checkpoint") && line.contains("complete");
        let seen = log.lines().map_while(Result::ok).filter(is_complete).nth(1);
        assert!(seen.is_some(), "the process has ended by itself");
        write();
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert_eq!(job.run_to_end(3), numbers(0..3_200));
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_slow_sink_makes_the_source_wait_within_its_bounds() {
    let topic = Topic::create("source-slow", 2);
    let value = "x".repeat(10_000);
    topic.write((0..3_000).map(|number| (number % 2, "k", value.as_str())));
    // A hundred rows fit between thread and subtask, and few in librdkafka: 30 MB must go through a small buffer.
    let bounds = "buffer_rows = 100\nbuffer_size = '200KB'\nbatch_rows = 10
            kafka = { queued.min.messages = 10, queued.max.messages.kbytes = 100 }";
    let job = SourceJob::reading(&topic, bounds);
    let values = job.run_to_end(2);
    assert_eq!(values.len(), 3_000);
    let by_value: BTreeMap<_, _> = values.iter().map(|value| (value.len(), ())).collect();
    assert_eq!(by_value.into_keys().collect::<Vec<_>>(), [10_000]);
}
