//! How long a checkpoint takes under back-pressure, aligned and unaligned: a generator, an exchange by key, a running sum,
//! and a sink that takes so many records a second and no more.
//!
//! `cargo bench --bench back_pressure` prints a table; `-- --help` tells how to measure less of it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark has no caller to hand an error to, and its output is for people"
)]

mod job;
mod slow_sink;

use std::time::Duration;

use clap::Parser;

use job::{Measurement, Plan};

/// The duration of checkpoints under back-pressure, by what the slow sink takes and by how barriers travel.
#[derive(Parser)]
#[command(name = "back_pressure")]
struct Arguments {
    /// How many records a second all sinks take together.
    #[arg(long, value_delimiter = ',', default_value = "20000,5000")]
    rate: Vec<u64>,
    /// How many subtasks each operator has.
    #[arg(long, default_value_t = 2)]
    parallelism: usize,
    /// When barriers begin to overtake: "never", or a duration after the trigger.
    #[arg(long, value_delimiter = ',', default_value = "never,0s,100ms")]
    overtaking: Vec<String>,
    /// How many checkpoints are measured of each; the median counts.
    #[arg(long, default_value_t = 9)]
    checkpoints: usize,
    /// Given by `cargo bench`, and of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    println!(
        "{:>10} {:>10} {:>12} {:>12} {:>12} {:>12}",
        "records/s", "overtaking", "median", "smallest", "largest", "bytes"
    );
    for rate in &arguments.rate {
        for overtaking in &arguments.overtaking {
            eprint!("\r{rate} records/s, {overtaking}      ");
            let measured = job::measure(&Plan {
                records_per_second: *rate,
                parallelism: arguments.parallelism,
                overtaking_after: overtaking_after(overtaking),
                checkpoints: arguments.checkpoints,
            });
            eprint!("\r{:40}\r", "");
            print_row(*rate, overtaking, &measured);
        }
    }
}

fn overtaking_after(text: &str) -> Option<Duration> {
    (text != "never").then(|| humantime::parse_duration(text).unwrap())
}

fn print_row(rate: u64, overtaking: &str, measured: &Measurement) {
    let mut durations = measured.durations.clone();
    durations.sort();
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!(
        "{rate:>10} {overtaking:>10} {:>9.1} ms {:>9.1} ms {:>9.1} ms {:>9.2} MB",
        millis(durations[durations.len() / 2]),
        millis(durations[0]),
        millis(durations[durations.len() - 1]),
        measured.bytes as f64 / 1e6,
    );
}
