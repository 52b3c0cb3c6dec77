//! How much room the store takes for each byte of live state, over time.
//!
//! `cargo bench --bench state_space` prints a table; `-- --help` tells how to watch something else. A job keeps the
//! newest value of each key (u64 to i64), with a checkpoint each 100 ms. Once all keys are in, the workload begins, and
//! the folder of the store is looked at a hundred times a second:
//! - `retain`: how many checkpoints are kept
//! - `live MB`: key and value of each record in the state, the least and the most over time
//! - `mean`, `most`: bytes of all files in the store, over the live bytes at that moment
//! - `MB/s`: what checkpoints wrote
//! - `complete`: how many checkpoints were completed
//! - `left MB`: what lies in the store when the job has ended with a last checkpoint
//! - `orphans`: how many files of these no checkpoint refers to

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod operator;
mod run;
#[path = "../recovery/source.rs"]
mod source;
#[path = "../keyed_sum/stopwatch.rs"]
mod stopwatch;
mod store_folder;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use floodmark::error::Result;

use run::{Plan, RECORD_BYTES, SPLITS, Watched};
use workload::Workload;

/// How much room the store takes for each byte of live state, over time.
#[derive(Parser)]
#[command(name = "state_space")]
struct Arguments {
    /// The number of distinct keys.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// The number of subtasks of each operator.
    #[arg(long, default_value_t = 2)]
    parallelism: usize,
    /// Records a second, once all keys are in.
    #[arg(long, default_value_t = 1_000_000)]
    rate: u64,
    /// How long each workload is watched, in seconds.
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// How many checkpoints are kept.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    retain: Vec<usize>,
    /// What happens to the keys.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "uniform,zipf,come-and-go"
    )]
    workloads: Vec<Workload>,
    /// Where checkpoints go; a folder in the target folder unless given.
    #[arg(long)]
    storage: Option<PathBuf>,
    /// Given by `cargo bench`, and of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let storage = arguments.storage.clone();
    let storage = storage.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    println!(
        "{:<12} {:>6} {:>13} {:>6} {:>6} {:>7} {:>8} {:>8} {:>7}",
        "workload", "retain", "live MB", "mean", "most", "MB/s", "complete", "left MB", "orphans"
    );
    // Half of the keys is then a multiple of the number of splits.
    let keys = arguments.keys.next_multiple_of(u64::from(SPLITS) * 2);
    for workload in &arguments.workloads {
        for retain in &arguments.retain {
            let plan = Plan {
                workload: *workload,
                keys,
                parallelism: arguments.parallelism,
                retain: *retain,
                rate: arguments.rate,
                duration: Duration::from_secs_f64(arguments.seconds),
            };
            print_row(&plan, &run::watch(&plan, &storage)?);
        }
    }
    Ok(())
}

fn print_row(plan: &Plan, watched: &Watched) {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (least, most) = watched.records;
    println!(
        "{:<12} {:>6} {:>13} {:>6.2} {:>6.2} {:>7.1} {:>8} {:>8.1} {:>7}",
        plan.workload.name(),
        plan.retain,
        format!(
            "{:.1} - {:.1}",
            megabytes(least * RECORD_BYTES),
            megabytes(most * RECORD_BYTES)
        ),
        watched.ratio_mean,
        watched.ratio_max,
        watched.bytes_per_second / 1e6,
        watched.checkpoints,
        megabytes(watched.leftover.bytes),
        watched.leftover.orphans,
    );
}
