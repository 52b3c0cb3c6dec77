//! Ways of making keyed state snapshottable, side by side: what each costs over a table that saves nothing, and whether
//! its checkpoints are on the disk in time.
//!
//! `cargo bench --bench state_schemes` prints a table; `-- --help` tells how to measure less of it. Each scheme is a
//! prototype of its own: partitions on threads of their own, keys and values of 8 bytes, a running sum, uniform keys,
//! batches of 1024 rows. Each partition has a thread that writes its snapshots to files and syncs them, and begins a
//! checkpoint when the interval has passed and its checkpoint before is durable. At the end of a run, one more
//! checkpoint is taken, and restored from its files; a sum that differs is an error.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark has no caller to hand an error to, and its output is for people"
)]

mod bare;
mod base;
#[expect(unsafe_code, reason = "chunks are cut from mapped memory")]
mod chunk;
mod cpu;
mod delta;
mod gather;
mod generator;
#[expect(unsafe_code, reason = "buckets lie in mapped memory")]
mod index;
#[expect(unsafe_code, reason = "the schemes are compared on mapped memory")]
mod memory;
mod output;
mod run;
mod scheme;
#[expect(unsafe_code, reason = "buckets lie in mapped memory")]
mod table;
#[expect(unsafe_code, reason = "buckets lie in mapped memory")]
mod undo;
mod verify;
mod versions;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use chunk::RECORD_BYTES;
use run::{Figures, Plan};

/// Updates a second of each scheme, by number of keys and checkpoint interval.
#[derive(Parser)]
#[command(name = "state_schemes")]
struct Arguments {
    /// Numbers of distinct keys, over all partitions.
    #[arg(long, value_delimiter = ',', default_value = "1000000,10000000")]
    keys: Vec<u64>,
    /// Partitions, each with a thread and a writing thread.
    #[arg(long, default_value_t = 2)]
    partitions: u64,
    /// Checkpoint intervals.
    #[arg(long, value_delimiter = ',', default_value = "off,100ms,1s")]
    interval: Vec<String>,
    /// The schemes; each run has the bare table as well.
    #[arg(long, value_enum, value_delimiter = ',')]
    schemes: Vec<Scheme>,
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each is measured at least, in seconds; at least 2.2 intervals in any case.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// What is copied between two batches at most, in bytes.
    #[arg(long, value_delimiter = ',', default_value = "65536")]
    slice_bytes: Vec<usize>,
    /// Whether to ask for huge pages.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    huge_pages: bool,
    /// Whether to write snapshots past the page cache.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    direct: bool,
    /// Whether time is the processor time of a partition and its writer, and not the clock's: for a machine that has
    /// other things to do. The disk is then faster than it should be.
    #[arg(long)]
    processor_time: bool,
    /// Where snapshots go, in a folder of their own; the temporary folder unless given. It should be on a disk.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Given by `cargo bench`, and of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A scheme, as the command line and the table call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scheme {
    /// In place; no snapshots.
    Bare,
    /// In place, and a log of the epoch's changes.
    Delta,
    /// The same, and the values from before the epoch in memory.
    DeltaUndo,
    /// In place, and dirty bits; gathered between batches.
    Gather,
    /// The same, and the values from before the epoch in memory.
    GatherUndo,
    /// In place, and dirty bits; everything is gathered when most of it changed.
    GatherFull,
    /// A log of versions and an index, with compaction.
    Versions,
    /// In place, and a log of old values; gathered by a second thread.
    Undo,
}

/// What is measured, with what it gave in each round.
struct Row {
    scheme: Scheme,
    interval: String,
    slice_bytes: usize,
    rounds: Vec<Figures>,
}

fn main() -> Result<(), String> {
    let arguments = Arguments::parse();
    println!(
        "{:>9} {:<12} {:>8} {:>6} {:>12} {:>7} {:>8} {:>7} {:>5} {:>9} {:>10} {:>10} {:>10} {:>6}",
        "keys",
        "scheme",
        "interval",
        "slice",
        "M updates/s",
        "of bare",
        "best",
        "of bare",
        "other",
        "MB/chk",
        "stall p50",
        "stall max",
        "max batch",
        "late"
    );
    for keys in &arguments.keys {
        let mut rows = rows(&arguments);
        // The rounds go over all of them in turn, so that a noisy minute of the machine does not fall on one alone.
        for round in 0..arguments.rounds {
            for row in &mut rows {
                eprint!(
                    "\r{keys} keys, round {round}, {:?}, {}      ",
                    row.scheme, row.interval
                );
                row.rounds.push(measure(&arguments, *keys, row)?);
            }
        }
        eprint!("\r{:80}\r", "");
        let [bare, ..] = &rows[..] else { continue };
        for row in &rows {
            row.print(*keys, bare);
        }
    }
    Ok(())
}

/// Everything that is measured at one number of keys, first the bare table.
fn rows(arguments: &Arguments) -> Vec<Row> {
    let row = |scheme, interval: &str, slice_bytes| Row {
        scheme,
        interval: interval.to_owned(),
        slice_bytes,
        rounds: Vec::new(),
    };
    let mut rows = vec![row(Scheme::Bare, "off", 0)];
    let schemes = match &arguments.schemes[..] {
        [] => Scheme::value_variants(),
        chosen => chosen,
    };
    for scheme in schemes.iter().filter(|scheme| **scheme != Scheme::Bare) {
        for interval in &arguments.interval {
            for slice_bytes in &arguments.slice_bytes {
                rows.push(row(*scheme, interval, *slice_bytes));
            }
        }
    }
    rows
}

fn measure(arguments: &Arguments, keys: u64, row: &Row) -> Result<Figures, String> {
    let folder = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let interval = (row.interval != "off").then(|| humantime::parse_duration(&row.interval));
    let interval = interval.transpose().map_err(|error| error.to_string())?;
    let plan = Plan {
        keys,
        partitions: arguments.partitions,
        interval,
        duration: Duration::from_secs_f64(arguments.seconds)
            .max(interval.unwrap_or_default().mul_f64(2.2)),
        huge_pages: arguments.huge_pages,
        slice_records: row.slice_bytes / RECORD_BYTES,
        by_processor: arguments.processor_time,
        direct: arguments.direct,
        folder: &folder,
    };
    match row.scheme {
        Scheme::Bare => run::run::<bare::Bare>(&plan),
        Scheme::Delta => run::run::<delta::DeltaLog<false>>(&plan),
        Scheme::DeltaUndo => run::run::<delta::DeltaLog<true>>(&plan),
        Scheme::Gather => run::run::<gather::Gather<false, false>>(&plan),
        Scheme::GatherUndo => run::run::<gather::Gather<true, false>>(&plan),
        Scheme::GatherFull => run::run::<gather::Gather<false, true>>(&plan),
        Scheme::Versions => run::run::<versions::Versions>(&plan),
        Scheme::Undo => run::run::<undo::Undo>(&plan),
    }
    .map_err(|error| format!("{:?} every {}: {error}", row.scheme, row.interval))
}

impl Row {
    fn updates_per_second(&self) -> f64 {
        self.median(|figures| figures.updates_per_second)
    }

    /// Updates a second in the round in which the machine was left alone the most.
    fn best(&self) -> f64 {
        let rounds = self.rounds.iter().map(|one| one.updates_per_second);
        rounds.fold(0.0, f64::max)
    }

    fn print(&self, keys: u64, bare: &Self) {
        let name = self.scheme.to_possible_value();
        let mut stalls: Vec<_> = self.rounds.iter().flat_map(|one| &one.stalls).collect();
        stalls.sort_unstable();
        let stall =
            |time: Option<&&Duration>| time.map_or("-".to_owned(), |time| format!("{time:.1?}"));
        let longest = self.rounds.iter().map(|one| one.longest_batch).max();
        println!(
            "{keys:>9} {:<12} {:>8} {:>6} {:>12.1} {:>6.0}% {:>8.1} {:>6.0}% {:>5.1} {:>9.1} {:>10} {:>10} {:>10} {:>5.0}%",
            name.as_ref().map_or("", |name| name.get_name()),
            self.interval,
            self.slice_bytes >> 10,
            self.updates_per_second() / 1e6,
            100.0 * self.updates_per_second() / bare.updates_per_second(),
            self.best() / 1e6,
            100.0 * self.best() / bare.best(),
            self.median(|figures| figures.processors_elsewhere),
            self.median(|figures| figures.bytes_per_checkpoint) / 1e6,
            stall(stalls.get(stalls.len() / 2)),
            stall(stalls.last()),
            format!("{:.1?}", longest.unwrap_or_default()),
            100.0 * self.median(|figures| figures.late),
        );
    }

    /// The median over the rounds.
    fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        let mut figures: Vec<_> = self.rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    }
}
