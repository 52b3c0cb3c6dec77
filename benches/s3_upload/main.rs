//! How fast state goes to a bucket, beside what the server takes from a client that only puts objects, and how much memory
//! the upload takes.
//!
//! `cargo bench --bench s3_upload` prints a table; `-- --bytes 4GiB --rounds 1 --puts-at-once 4` uploads more at once. It needs a server:
//! `scripts/services.sh`, or `FLOODMARK_TEST_S3_ENDPOINT`, `FLOODMARK_TEST_S3_BUCKET` and AWS_ACCESS_KEY_ID with
//! AWS_SECRET_ACCESS_KEY. A server on the same machine takes its share of the cores, and of the disk.
//!
//! - `puts`: objects of 8 MiB, so many of them at once, one request each, without a checksum
//! - `checkpoint`: a base of each subtask, sealed before, is uploaded as the part of a checkpoint
//! - `streamed`: the same, handed over while it is copied
//!
//! The state is the same 64 MiB again and again, so that what is resident beyond that is the upload's.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a benchmark has no caller to hand an error to, reads the clock, and its output is for people"
)]

mod bare;
#[path = "../keyed_sum/median.rs"]
mod median;
mod memory;
mod state;
mod upload;

use std::time::{Duration, Instant};

use bytesize::ByteSize;
use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use bare::BareBucket;
use median::median;
use state::State;
use upload::Uploader;

/// How fast state goes to a bucket, and the ratio to bare puts to the same server.
#[derive(Parser)]
#[command(name = "s3_upload")]
struct Arguments {
    /// The server; FLOODMARK_TEST_S3_ENDPOINT unless given.
    #[arg(long)]
    endpoint: Option<String>,
    /// A bucket there; FLOODMARK_TEST_S3_BUCKET unless given.
    #[arg(long)]
    bucket: Option<String>,
    /// How much is uploaded in each run.
    #[arg(long, default_value = "1GiB")]
    bytes: ByteSize,
    /// How many subtasks upload at once.
    #[arg(long, default_value_t = 2)]
    parallelism: usize,
    /// How many bare puts are under way at once; the best of these is what the server can do.
    #[arg(long, value_delimiter = ',', default_value = "4,8,16")]
    puts_at_once: Vec<usize>,
    /// How often all is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Given by `cargo bench`, and of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One kind of run: what all rounds gave.
struct Row {
    name: String,
    bytes_per_second: Vec<f64>,
    peak_bytes: Vec<u64>,
}

fn main() {
    let arguments = Arguments::parse();
    let given = |given: &Option<String>, name| given.clone().or_else(|| std::env::var(name).ok());
    let endpoint = given(&arguments.endpoint, "FLOODMARK_TEST_S3_ENDPOINT");
    let bucket = given(&arguments.bucket, "FLOODMARK_TEST_S3_BUCKET");
    let (Some(endpoint), Some(bucket)) = (endpoint, bucket) else {
        eprintln!(
            "there is no server: start one with scripts/services.sh, or name one with --endpoint and --bucket"
        );
        std::process::exit(2);
    };
    let runtime = runtime();
    let state = State::new(arguments.bytes.as_u64(), arguments.parallelism);
    let bare = BareBucket::new(&endpoint, &bucket);
    let uploader = Uploader::new(&endpoint, &bucket);
    let mut rows = Vec::new();
    for round in 1..=arguments.rounds {
        eprint!("\rround {round} of {}      ", arguments.rounds);
        let mut done = Vec::new();
        for &at_once in &arguments.puts_at_once {
            let name = format!("puts, {at_once} at once");
            done.push((name, measure(&runtime, bare.put_all(&state, at_once))));
            runtime.block_on(bare.clear());
        }
        let sealed = uploader.checkpoint(&state);
        done.push(("checkpoint".to_owned(), measure(&runtime, sealed)));
        runtime.block_on(uploader.clear());
        let streamed = uploader.stream(&state);
        done.push(("streamed".to_owned(), measure(&runtime, streamed)));
        runtime.block_on(uploader.clear());
        for (index, (name, (time, peak))) in done.into_iter().enumerate() {
            if rows.len() == index {
                rows.push(Row {
                    name,
                    bytes_per_second: Vec::new(),
                    peak_bytes: Vec::new(),
                });
            }
            let rate = state.bytes() as f64 / time.as_secs_f64();
            rows[index].bytes_per_second.push(rate);
            rows[index].peak_bytes.push(peak);
        }
    }
    eprint!("\r{:40}\r", "");
    print_table(&rows, arguments.puts_at_once.len());
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// How long it takes, and how far the resident memory grows.
fn measure(runtime: &Runtime, work: impl Future<Output = ()>) -> (Duration, u64) {
    let before = memory::reset_peak();
    let start = Instant::now();
    runtime.block_on(work);
    (start.elapsed(), memory::peak().saturating_sub(before))
}

/// The first `bare` rows are those of bare puts.
fn print_table(rows: &[Row], bare: usize) {
    let best = rows[..bare]
        .iter()
        .map(|row| median(row.bytes_per_second.clone()))
        .fold(0.0, f64::max);
    println!(
        "{:>18} {:>10} {:>8} {:>14}",
        "", "MB/s", "ratio", "peak memory"
    );
    for row in rows {
        let rate = median(row.bytes_per_second.clone());
        let peak = row.peak_bytes.iter().max().copied().unwrap_or_default();
        println!(
            "{:>18} {:>10.0} {:>6.0} % {:>11} MB",
            row.name,
            rate / 1e6,
            100.0 * rate / best,
            peak / 1_000_000
        );
    }
}
