//! Throughput against the checkpoint interval, end to end: a generator of `(u64 key, i64 value, i64 time)`, a key
//! exchange, a running sum in value state, a sink that counts.
//!
//! `cargo bench --bench keyed_sum` prints a table; `-- --help` tells how to measure less of it. Beside the engine it
//! measures, in the same run, the same work as a hand-written loop of threads (`bare`), which saves nothing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark has no caller to hand an error to, and its output is for people"
)]

mod bare;
mod job;
mod median;
mod recorder;
mod stopwatch;

use std::time::Duration;

use clap::{Parser, ValueEnum};

use job::{Measurement, Plan};
use median::median;

/// Records a second of the keyed_sum job, by number of keys, parallelism and checkpoint interval.
#[derive(Parser)]
#[command(name = "keyed_sum")]
struct Arguments {
    /// Numbers of distinct keys.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,10000000")]
    keys: Vec<u64>,
    /// Numbers of subtasks of each operator.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    parallelism: Vec<usize>,
    /// Checkpoint intervals.
    #[arg(long, value_delimiter = ',', default_value = "off,10s,1s,100ms")]
    interval: Vec<String>,
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each is measured at least, in seconds; at least 1.2 intervals in any case.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// The bound of each link, in rows; the default of job files unless given.
    #[arg(long)]
    link_rows: Option<usize>,
    /// What to measure.
    #[arg(long, value_enum, default_value_t = Kind::Typed)]
    kind: Kind,
    /// Where checkpoints go; a folder of their own in the target folder unless given.
    #[arg(long)]
    storage: Option<String>,
    /// Given by `cargo bench`, and of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Which form of the job is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Rows of a Rust type, closures.
    Typed,
    /// The job as a TOML file, on Arrow columns.
    Toml,
}

fn main() {
    let arguments = Arguments::parse();
    let recorder = recorder::install();
    println!(
        "{:>10} {:>3} {:>8} {:>12} {:>7} {:>8} {:>11} {:>11} {:>12} {:>12} {:>12}",
        "keys",
        "p",
        "interval",
        "records/s",
        "of off",
        "of bare",
        "checkpoint",
        "bytes",
        "stall p50",
        "stall p99",
        "stall max"
    );
    for keys in &arguments.keys {
        for parallelism in &arguments.parallelism {
            measure_row(&arguments, *keys, *parallelism, recorder);
        }
    }
}

/// All intervals at one number of keys and one parallelism. The rounds go over all of them in turn, so that a noisy
/// minute of the machine does not fall on one of them alone.
fn measure_row(
    arguments: &Arguments,
    keys: u64,
    parallelism: usize,
    recorder: &'static recorder::StallRecorder,
) {
    let intervals: Vec<Option<Duration>> = arguments
        .interval
        .iter()
        .map(|text| (text != "off").then(|| humantime::parse_duration(text).unwrap()))
        .collect();
    let mut bare = Vec::new();
    let mut measured: Vec<Vec<Measurement>> = vec![Vec::new(); intervals.len()];
    for round in 0..arguments.rounds {
        let duration = Duration::from_secs_f64(arguments.seconds);
        bare.push(bare::records_per_second(keys, parallelism, duration));
        for (interval, measured) in intervals.iter().zip(&mut measured) {
            eprint!("\r{keys} keys, parallelism {parallelism}, round {round}, {interval:?}      ");
            let plan = Plan {
                keys,
                parallelism,
                interval: *interval,
                duration: duration.max(interval.unwrap_or_default().mul_f64(1.2)),
                is_toml: arguments.kind == Kind::Toml,
                storage: arguments.storage.clone(),
                link_rows: arguments.link_rows,
            };
            measured.push(job::measure(&plan, recorder));
        }
        eprint!("\r{:80}\r", "");
    }
    let bare = median(bare);
    let off = median(
        measured[0]
            .iter()
            .map(|one| one.records_per_second)
            .collect(),
    );
    println!(
        "{keys:>10} {parallelism:>3} {:>8} {:>12} {:>7} {:>8}",
        "bare",
        millions(bare),
        "",
        "1.00"
    );
    for (name, measured) in arguments.interval.iter().zip(&measured) {
        let figure = |of: fn(&Measurement) -> f64| median(measured.iter().map(of).collect());
        let records = figure(|one| one.records_per_second);
        println!(
            "{keys:>10} {parallelism:>3} {name:>8} {:>12} {:>7.2} {:>8.2} {:>8.1} ms {:>8.2} MB {:>9.1} us {:>9.1} us {:>9.1} us",
            millions(records),
            records / off,
            records / bare,
            figure(|one| one.checkpoint_seconds) * 1e3,
            figure(|one| one.checkpoint_bytes) / 1e6,
            figure(|one| one.stall_p50) * 1e6,
            figure(|one| one.stall_p99) * 1e6,
            figure(|one| one.stall_max) * 1e6,
        );
    }
}

fn millions(records_per_second: f64) -> String {
    format!("{:.2} M", records_per_second / 1e6)
}
