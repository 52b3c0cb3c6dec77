//! How long a job takes from the start of its process to its first record, after a crash.
//!
//! `cargo bench --bench recovery` prints a table for 10 million keys (u64 to i64, two subtasks); `-- --help` tells how to
//! measure something else. 1 and 8 GB of state are
//! `-- --keys 1000000 --value-bytes 1024 --rate 50000` and `-- --keys 8000000 --value-bytes 1024 --rate 50000`.
//!
//! For each measurement the program starts itself as a process of its own, which fills the state, updates it at a
//! limited rate with a checkpoint each 100 ms, and is killed. What is left for the next process is the *case*: the
//! working segments, or only the store, in the page cache or not. The second process goes on with the same job, and at
//! its end every record must have had its effect once, or the measurement is an error.
//!
//! All times count from just before the second process is started; they are medians, in milliseconds:
//! - `store`: the bytes of all checkpoints in the store
//! - `main`: the process has come to its `main`
//! - `loaded`: the engine has found and read the checkpoint, and begins to make subtasks
//! - `opening`, `open`: the last subtask has begun to open its state, and has opened it
//! - `first`: the first subtask has worked off its first batch
//! - `all`: the last subtask has; `least` and `most` are the extremes of this one

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output of a benchmark is for people"
)]

mod case;
mod child;
mod job;
mod operator;
mod progress;
mod record;
mod source;
#[path = "../keyed_sum/stopwatch.rs"]
mod stopwatch;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use floodmark::error::{Error, Result};
use floodmark::telemetry::{LogSettings, TerminalLine, init_logging};

use case::{Case, Crash, Measurement};
use job::JobPlan;
use progress::{Stage, tell};

/// How long a job takes from the start of its process to its first record, after a crash.
#[derive(Parser)]
#[command(name = "recovery")]
struct Arguments {
    /// The number of distinct keys.
    #[arg(long, default_value_t = 10_000_000)]
    keys: u64,
    /// The bytes of each value. Up to 8: an i64; above: a list of bytes, which lies outside the table.
    #[arg(long, default_value_t = 8)]
    value_bytes: usize,
    /// The number of subtasks of each operator.
    #[arg(long, default_value_t = 2)]
    parallelism: usize,
    /// Records a second before the crash, once all keys are in.
    #[arg(long, default_value_t = 2_000_000)]
    rate: u64,
    /// How long such records come before the crash, in seconds.
    #[arg(long, default_value_t = 3.0)]
    settle: f64,
    /// How often each case is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What to measure.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "fresh,segments,store-warm,store-cold"
    )]
    cases: Vec<Case>,
    /// Where checkpoints go; a folder in the target folder unless given.
    #[arg(long)]
    storage: Option<PathBuf>,
    /// Where working segments go; a folder in memory unless given.
    #[arg(long)]
    segments: Option<PathBuf>,
    /// Which of the two processes this is.
    #[arg(long, value_enum, hide = true)]
    role: Option<Role>,
    /// How many records the second process works off, with those of the first.
    #[arg(long, hide = true, default_value_t = 0)]
    rows: u64,
    /// Given by `cargo bench`, and of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A process that the benchmark starts.
#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// It is killed.
    First,
    /// It goes on from there.
    Second,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let parent = |given: &Option<PathBuf>, default: PathBuf| given.clone().unwrap_or(default);
    let plan = JobPlan {
        keys: arguments.keys,
        value_bytes: arguments.value_bytes,
        parallelism: arguments.parallelism,
        storage: parent(&arguments.storage, env!("CARGO_TARGET_TMPDIR").into()),
        segments: parent(&arguments.segments, memory()),
    };
    let Some(role) = arguments.role else {
        return print_table(&arguments, &plan);
    };
    tell(Stage::Main);
    log_warnings()?;
    match role {
        Role::First => job::run_until_killed(&plan, arguments.rate),
        Role::Second => job::run_to_the_end(&plan, arguments.rows),
    }
}

/// Segments that cannot be taken up are no error, but whoever reads the table should know.
fn log_warnings() -> Result<()> {
    let settings = LogSettings {
        filter: Some("warn".to_owned()),
        ..LogSettings::default()
    };
    init_logging(&settings, &TerminalLine::hidden())
}

fn memory() -> PathBuf {
    let tmpfs = PathBuf::from("/dev/shm");
    if tmpfs.is_dir() {
        tmpfs
    } else {
        std::env::temp_dir()
    }
}

/// The rounds go over all cases in turn, so that a noisy moment does not fall on one of them alone.
fn print_table(arguments: &Arguments, plan: &JobPlan) -> Result<()> {
    let crash = Crash {
        rate: arguments.rate,
        settle: Duration::from_secs_f64(arguments.settle),
    };
    println!(
        "{:>10} {:>6} {:<10} {:>8} {:>7} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "keys",
        "value",
        "case",
        "store MB",
        "main",
        "loaded",
        "opening",
        "open",
        "first",
        "all",
        "least",
        "most"
    );
    let mut measured = vec![Vec::new(); arguments.cases.len()];
    for round in 1..=arguments.rounds {
        for (case, measured) in arguments.cases.iter().zip(&mut measured) {
            eprint!("\r{}, round {round}      ", case.name());
            measured.push(in_folders(plan, |plan| case.measure(plan, crash))?);
        }
        eprint!("\r{:80}\r", "");
    }
    for (case, measured) in arguments.cases.iter().zip(&measured) {
        print_row(plan, *case, measured);
    }
    Ok(())
}

/// Lets `measure` have folders that are new, and gone afterwards.
fn in_folders<T>(plan: &JobPlan, measure: impl FnOnce(&JobPlan) -> Result<T>) -> Result<T> {
    let folder = |parent: &Path| {
        let made = tempfile::Builder::new()
            .prefix("recovery-")
            .tempdir_in(parent);
        made.map_err(|error| Error::io(format!("make a folder in {}", parent.display()), error))
    };
    let (storage, segments) = (folder(&plan.storage)?, folder(&plan.segments)?);
    measure(&JobPlan {
        storage: storage.path().to_path_buf(),
        segments: segments.path().to_path_buf(),
        ..plan.clone()
    })
}

fn print_row(plan: &JobPlan, case: Case, measured: &[Measurement]) {
    let sorted = |of: fn(&Measurement) -> Duration| {
        let mut values: Vec<f64> = measured
            .iter()
            .map(|one| of(one).as_secs_f64() * 1e3)
            .collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |values: Vec<f64>| values.get(values.len() / 2).copied().unwrap_or_default();
    let all = sorted(|one| one.last_batch);
    let store_bytes = measured.iter().map(|one| one.store_bytes).max();
    println!(
        "{:>10} {:>6} {:<10} {:>8.0} {:>7.1} {:>7.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
        plan.keys,
        plan.value_bytes,
        case.name(),
        store_bytes.unwrap_or_default() as f64 / 1e6,
        median(sorted(|one| one.main)),
        median(sorted(|one| one.started)),
        median(sorted(|one| one.opening)),
        median(sorted(|one| one.open)),
        median(sorted(|one| one.first_batch)),
        median(all.clone()),
        all.first().copied().unwrap_or_default(),
        all.last().copied().unwrap_or_default(),
    );
}
