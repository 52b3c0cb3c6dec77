//! What keyed state costs over a bare table: one thread, keys and values of 8 bytes, a running sum, uniform keys, batches
//! of 1024 rows; a second thread writes what barriers give to a disk and syncs it.
//!
//! ```text
//! cargo bench --bench state_table -- [KEYS...] [--rounds 3] [--modes TEXT] [--segments FOLDER] [--store FOLDER] [--grow KEYS]
//! ```
//!
//! The numbers of keys are 1 and 10 million unless given. Working segments are memory without files, but with
//! local recovery they lie on `/dev/shm` if there is one, and `--segments` names another folder for all. Checkpoints lie in
//! the temporary folder: name one on a real disk. `--grow` measures growth from nothing instead.
//!
//! All modes (or those whose name has `--modes` in it) are run one after the other, and that `--rounds` times; the figures are medians. Columns: rows a second, as
//! a share of the bare table and of the API without checkpoints; the longest batch; how long the writer stood still at a
//! barrier; checkpoints that were not on the disk when the next was due; what was written, a second; memory for a key.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod bare;
mod disk;
mod drive;
mod state;
mod waits;

use std::path::PathBuf;
use std::time::Duration;

use floodmark::error::Result;

use crate::drive::Figures;
use crate::state::Mode;

struct Options {
    keys: Vec<u64>,
    grow: Option<u64>,
    rounds: usize,
    modes: String,
    segments: Option<PathBuf>,
    store: PathBuf,
}

fn main() -> Result<()> {
    let options = options();
    if let Some(keys) = options.grow {
        return grow(keys, &options);
    }
    println!(
        "{:>9} {:<16} {:>8} {:>8} {:>8} {:>10} {:>9} {:>9} {:>6} {:>8} {:>7}",
        "keys",
        "mode",
        "M rows/s",
        "of bare",
        "of API",
        "max batch",
        "stall p50",
        "p99",
        "late",
        "MB/s",
        "B/key"
    );
    for &keys in &options.keys {
        measure(keys, &options)?;
    }
    Ok(())
}

const MODES: [(&str, Option<Mode>); 6] = [
    ("bare", None),
    ("no checkpoints", mode(0, false)),
    ("1 s", mode(1000, false)),
    ("100 ms", mode(100, false)),
    ("1 s, local", mode(1000, true)),
    ("100 ms, local", mode(100, true)),
];

const fn mode(interval_millis: u64, local_recovery: bool) -> Option<Mode> {
    Some(Mode {
        interval: if interval_millis == 0 {
            None
        } else {
            Some(Duration::from_millis(interval_millis))
        },
        local_recovery,
    })
}

fn measure(keys: u64, options: &Options) -> Result<()> {
    // The first two are what the others are compared with.
    let modes: Vec<_> = MODES
        .iter()
        .enumerate()
        .filter(|(index, (name, _))| *index < 2 || name.contains(&options.modes))
        .map(|(_, mode)| mode)
        .collect();
    let mut runs: Vec<Vec<Figures>> = modes.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for ((_, mode), runs) in modes.iter().zip(&mut runs) {
            runs.push(match mode {
                None => bare::run(keys)?,
                Some(mode) => state::run(keys, *mode, options.segments.as_deref(), &options.store)?,
            });
        }
    }
    let medians: Vec<Figures> = runs.into_iter().map(median).collect();
    let (bare, api) = (medians[0].rows_per_second, medians[1].rows_per_second);
    for ((name, _), figures) in modes.iter().zip(&medians) {
        println!(
            "{keys:>9} {name:<16} {:>8.1} {:>7.0}% {:>7.0}% {:>10} {:>9} {:>9} {:>6} {:>8.0} {:>7.1}",
            figures.rows_per_second / 1e6,
            100.0 * figures.rows_per_second / bare,
            100.0 * figures.rows_per_second / api,
            format!("{:.1?}", figures.batch_max),
            quantile(&figures.barriers, 0.5),
            quantile(&figures.barriers, 0.99),
            format!("{}/{}", figures.late, figures.barriers.len()),
            figures.bytes_written as f64 / 5e6,
            figures.bytes_per_key,
        );
    }
    Ok(())
}

fn grow(keys: u64, options: &Options) -> Result<()> {
    println!("from nothing to {keys} keys, a barrier every 100 ms");
    for _ in 0..options.rounds {
        let figures = state::grow(keys, options.segments.as_deref(), &options.store)?;
        println!(
            "{:.1} M keys/s; batches p50 {} p99.9 {} longest {:.1?}, {:.1?} without \
             waiting for a processor; {} late; {:.1} bytes a key",
            figures.rows_per_second / 1e6,
            quantile(&figures.barriers, 0.5),
            quantile(&figures.barriers, 0.999),
            figures.batch_max,
            figures.own_max,
            figures.late,
            figures.bytes_per_key,
        );
        for slow in figures.slowest {
            println!(
                "  {:.1?} at {} keys: barrier {:.1?}, update {:.1?}, gathering {:.1?}, base {:.1?}; waited {:.1?}",
                slow.whole,
                slow.keys,
                slow.barrier,
                slow.update,
                slow.gather,
                slow.base,
                slow.waited
            );
        }
    }
    Ok(())
}

fn median(mut runs: Vec<Figures>) -> Figures {
    runs.sort_by(|a, b| a.rows_per_second.total_cmp(&b.rows_per_second));
    let middle = runs.len() / 2;
    runs.swap_remove(middle)
}

fn quantile(ascending: &[Duration], share: f64) -> String {
    let last = ascending.len().saturating_sub(1) as f64;
    let found = ascending.get((last * share) as usize);
    found.map_or_else(|| "-".to_owned(), |time| format!("{time:.1?}"))
}

fn options() -> Options {
    let mut options = Options {
        keys: Vec::new(),
        grow: None,
        rounds: 3,
        modes: String::new(),
        segments: None,
        store: std::env::temp_dir(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--grow" => options.grow = arguments.next().and_then(|text| text.parse().ok()),
            "--rounds" => {
                let rounds = arguments.next().and_then(|text| text.parse().ok());
                options.rounds = rounds.unwrap_or(options.rounds);
            }
            "--modes" => options.modes = arguments.next().unwrap_or_default(),
            "--segments" => options.segments = arguments.next().map(PathBuf::from),
            "--store" => options.store = arguments.next().unwrap_or_default().into(),
            other => options.keys.extend(other.parse::<u64>().ok()),
        }
    }
    if options.keys.is_empty() {
        options.keys = vec![1_000_000, 10_000_000];
    }
    options
}
