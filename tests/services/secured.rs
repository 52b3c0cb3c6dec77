//! A job from a topic to a topic through TLS and a password, which the default build can do, and its errors.

use std::process::Command;

use crate::support::{Ended, JobFolder, PASSWORD, Process, SecuredBroker, Topic, kafka_address};

const RECORDS: usize = 2_000;

/// From a topic to a topic. `settings` are those of librdkafka, of either side.
fn job(broker: &str, [from, to]: [&Topic; 2], settings: &str) -> JobFolder {
    JobFolder::with_job(&format!(
        "[job]\n\
         name = '{0}'\n\
         parallelism = 2\n\
         [checkpoint]\n\
         interval = '200ms'\n\
         storage = 'checkpoints'\n\
         [restart]\n\
         strategy = 'none'\n\
         [[source]]\n\
         id = 'in'\n\
         type = 'kafka'\n\
         brokers = '{broker}'\n\
         topics = ['{1}']\n\
         format = 'raw'\n\
         bounded_mode = 'latest-offset'\n\
         columns = {{ line = 'string' }}\n\
         [source.kafka]\n\
         {settings}\n\
         [[sink]]\n\
         id = 'out'\n\
         type = 'kafka'\n\
         input = 'in'\n\
         brokers = '{broker}'\n\
         topic = '{0}'\n\
         format = 'csv'\n\
         [sink.kafka]\n\
         {settings}\n",
        to.name, from.name
    ))
}

fn run(folder: &JobFolder, password: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floodmark"));
    command
        .args(["run", "-v", "job.toml"])
        .env_remove("FLOODMARK_LOG")
        .env("KAFKA_PASSWORD", password);
    Process::start_command(&folder.path(""), command).wait()
}

fn topics() -> [Topic; 2] {
    let topics = ["secured-in", "secured-out"].map(|name| Topic::create(name, 2));
    let lines: Vec<_> = (0..RECORDS).map(|number| number.to_string()).collect();
    topics[0].write(
        (0_i32..)
            .zip(&lines)
            .map(|(at, line)| (at % 2, "k", line.as_str())),
    );
    topics
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_job_with_the_password_is_let_in_through_tls_and_writes_each_record_once() {
    let (broker, [from, to]) = (SecuredBroker::before(&kafka_address()), topics());
    let folder = job(&broker.address, [&from, &to], &broker.settings());
    let ended = run(&folder, PASSWORD);
    let log = ended.expect_code(0);
    assert!(!log.contains(PASSWORD), "{log}");
    let mut values: Vec<usize> = to
        .committed()
        .into_iter()
        .map(|message| message.value.unwrap().parse().unwrap())
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..RECORDS).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_wrong_password_is_told_and_not_shown() {
    let (broker, [from, to]) = (SecuredBroker::before(&kafka_address()), topics());
    let folder = job(&broker.address, [&from, &to], &broker.settings());
    let ended = run(&folder, "a-wrong-secret");
    let log = ended.expect_code(2);
    assert!(log.contains("check security.protocol, sasl.*"), "{log}");
    assert!(!log.contains("a-wrong-secret"), "{log}");
    assert!(to.committed().is_empty());
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (broker, [from, to]) = (SecuredBroker::before(&kafka_address()), topics());
    let settings = broker.settings();
    let trusting_nobody = settings.split_inclusive('\n');
    let settings = trusting_nobody.filter(|line| !line.starts_with("ssl.ca.location"));
    let folder = job(&broker.address, [&from, &to], &settings.collect::<String>());
    let ended = run(&folder, PASSWORD);
    let log = ended.expect_code(2);
    assert!(log.contains("certificate verify failed"), "{log}");
    assert!(to.committed().is_empty());
}
