//! The job: the binary, from its start to its end.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::topic::Topic;

/// What a run promises, and how often it takes a checkpoint.
pub(crate) struct Plan {
    pub(crate) delivery_guarantee: &'static str,
    pub(crate) interval: Option<&'static str>,
}

/// Hands on all of `input`, and says how long it took.
pub(crate) fn run(plan: &Plan, input: &Topic, output: &Topic, parallelism: usize) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.toml");
    fs::write(&file, toml(plan, input, output, parallelism)).unwrap();
    let start = Instant::now();
    let ended = Command::new(env!("CARGO_BIN_EXE_floodmark"))
        .arg("run")
        .arg(&file)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let time = start.elapsed();
    let log = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{log}");
    time
}

fn toml(plan: &Plan, input: &Topic, output: &Topic, parallelism: usize) -> String {
    let Plan {
        delivery_guarantee,
        interval,
    } = plan;
    let interval = interval.map_or(String::new(), |interval| format!("interval = '{interval}'"));
    let (broker, from, to) = (&input.broker, &input.name, &output.name);
    format!(
        "[job]\n\
         name = '{to}'\n\
         parallelism = {parallelism}\n\
         [checkpoint]\n\
         {interval}\n\
         storage = 'checkpoints'\n\
         [[source]]\n\
         id = 'events'\n\
         type = 'kafka'\n\
         brokers = '{broker}'\n\
         topics = ['{from}']\n\
         format = 'json'\n\
         startup_mode = 'earliest-offset'\n\
         bounded_mode = 'latest-offset'\n\
         kafka = {{ 'receive.message.max.bytes' = 1_000_000_000 }}\n\
         [source.columns]\n\
         key = 'string'\n\
         value = 'int64'\n\
         text = 'string'\n\
         [[sink]]\n\
         id = 'out'\n\
         type = 'kafka'\n\
         input = 'events'\n\
         brokers = '{broker}'\n\
         topic = '{to}'\n\
         format = 'json'\n\
         key_fields = ['key']\n\
         delivery_guarantee = '{delivery_guarantee}'\n"
    )
}
