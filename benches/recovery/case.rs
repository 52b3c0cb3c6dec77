//! What is left for the second process, and one measurement of it.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use floodmark::error::{Error, ErrorKind, Result};
use rustix::fs::{Advice, fadvise};

use crate::child::{JobProcess, Timeline};
use crate::job::JobPlan;
use crate::progress::Stage;
use crate::record::record;
use crate::stopwatch::pass;

/// What the second process finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Nothing: no state and no checkpoint.
    Fresh,
    /// The working segments, as the crash left them, and the store.
    Segments,
    /// The store alone, in the page cache.
    StoreWarm,
    /// The store alone, which must be read from the disk.
    StoreCold,
}

/// What happens before and around the crash.
#[derive(Clone, Copy)]
pub(crate) struct Crash {
    /// Records a second once all keys are in.
    pub(crate) rate: u64,
    /// How long records go on to come before the process is killed.
    pub(crate) settle: Duration,
}

/// One recovery.
#[derive(Clone, Copy, Default)]
pub(crate) struct Measurement {
    pub(crate) store_bytes: u64,
    pub(crate) main: Duration,
    pub(crate) started: Duration,
    /// The last subtask's.
    pub(crate) opening: Duration,
    /// The last subtask's.
    pub(crate) open: Duration,
    /// The first subtask's.
    pub(crate) first_batch: Duration,
    /// The last subtask's.
    pub(crate) last_batch: Duration,
}

impl Case {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Segments => "segments",
            Self::StoreWarm => "store-warm",
            Self::StoreCold => "store-cold",
        }
    }

    /// Runs the job, kills it, leaves what the case is about, and measures how the next process takes it up.
    pub(crate) fn measure(self, plan: &JobPlan, crash: Crash) -> Result<Measurement> {
        let rows = match self {
            Self::Fresh => plan.keys,
            _ => run_and_crash(plan, crash)?,
        };
        if matches!(self, Self::StoreWarm | Self::StoreCold) {
            let removed = std::fs::remove_dir_all(&plan.segments);
            removed.map_err(|error| Error::io("remove the working segments", error))?;
        }
        let store_bytes = walk(&plan.storage, &|file| {
            if self == Self::StoreCold {
                forget(file)?;
            }
            file.metadata().map(|metadata| metadata.len())
        });
        let store_bytes = store_bytes.map_err(|error| Error::io("look at the store", error))?;
        let arguments = ["--role", "second", "--rows", &rows.to_string()];
        let timeline = JobProcess::start(plan, &arguments)?.finish()?;
        check(plan.keys, rows, &timeline)?;
        Ok(Measurement {
            store_bytes,
            ..measurement(&timeline)
        })
    }
}

/// Gives a number of records that the job has not come to yet.
fn run_and_crash(plan: &JobPlan, crash: Crash) -> Result<u64> {
    let arguments = ["--role", "first", "--rate", &crash.rate.to_string()];
    let mut process = JobProcess::start(plan, &arguments)?;
    process.wait_for(Stage::Filled)?;
    pass(crash.settle);
    let seconds = process.elapsed().as_secs_f64() + 1.0;
    process.kill()?;
    Ok(plan.keys + (crash.rate as f64 * seconds) as u64)
}

fn measurement(timeline: &Timeline) -> Measurement {
    let times = |wanted: Stage| {
        let reached = timeline.iter().filter(move |(stage, _)| *stage == wanted);
        reached.map(|(_, time)| *time)
    };
    let first = |stage| times(stage).min().unwrap_or_default();
    let last = |stage| times(stage).max().unwrap_or_default();
    Measurement {
        store_bytes: 0,
        main: first(Stage::Main),
        started: first(Stage::Started),
        opening: last(Stage::Opening),
        open: last(Stage::Open),
        first_batch: first(Stage::Batch),
        last_batch: last(Stage::Batch),
    }
}

/// Every record must have had its effect once, in one process or the other.
fn check(keys: u64, rows: u64, timeline: &Timeline) -> Result<()> {
    let (mut found_records, mut found_total) = (0, 0);
    for (stage, _) in timeline {
        if let Stage::Checked { records, total } = stage {
            found_records += records;
            found_total += total;
        }
    }
    let expected_total: i64 = (0..rows).map(|index| record(index, keys).1).sum();
    if (found_records, found_total) == (keys, expected_total) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Bug,
        format!(
            "after the recovery there are {found_records} keys with a total of {found_total}, and must be {keys} with \
             {expected_total}"
        ),
    ))
}

/// Has the page cache drop a file.
fn forget(file: &File) -> std::io::Result<()> {
    // Only pages that are on the disk can be dropped.
    file.sync_all()?;
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}

/// The sum of what `of_file` gives of each file below a folder; zero of no folder.
fn walk(folder: &Path, of_file: &impl Fn(&File) -> std::io::Result<u64>) -> std::io::Result<u64> {
    let mut sum = 0;
    if !folder.exists() {
        return Ok(sum);
    }
    for entry in folder.read_dir()? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() {
            walk(&entry.path(), of_file)?
        } else {
            of_file(&File::open(entry.path())?)?
        };
    }
    Ok(sum)
}
