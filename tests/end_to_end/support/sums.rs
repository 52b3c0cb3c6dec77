//! The job that most tests run: generated numbers, running sums by key, files and the console.

use std::collections::BTreeMap;

/// How many rows the source makes.
const ROWS: u64 = 20_000;
const KEYS: u64 = 50;
const SPLITS: u64 = 4;

/// The job file, in the forms that a test needs, and what it must put out.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    /// How many rows come in a second; none when nothing is to slow the job down.
    pub(crate) rate: Option<u64>,
    pub(crate) parallelism: usize,
    /// What stands in `[checkpoint]` beside the storage.
    pub(crate) checkpoint: &'static str,
    /// Whether rows are printed as well.
    pub(crate) console: bool,
    /// How old a file of the output becomes before it is finished.
    pub(crate) roll_interval: &'static str,
    /// What becomes of the output of an earlier run.
    pub(crate) existing: &'static str,
    /// The aggregates, as they stand in the job file.
    pub(crate) aggregates: &'static str,
}

impl Sums {
    /// The head of each output file.
    pub(crate) const HEADER: &'static str = "key,count,sum";

    /// A job so slow that it is stopped long before its end. It takes no checkpoint but the one at its stop.
    pub(crate) fn slow() -> Self {
        Self {
            rate: Some(500),
            parallelism: 2,
            checkpoint: "retain = 3",
            console: true,
            roll_interval: "0s",
            existing: "fail",
            aggregates: "count = 'count()'\nsum = 'sum(value)'",
        }
    }

    /// The same job as fast as it can.
    pub(crate) fn fast() -> Self {
        Self {
            rate: None,
            console: false,
            ..Self::slow()
        }
    }

    /// The job file.
    pub(crate) fn toml(&self) -> String {
        let Self {
            parallelism,
            checkpoint,
            roll_interval,
            existing,
            aggregates,
            ..
        } = self;
        let rate = self
            .rate
            .map_or_else(String::new, |rate| format!("rate = {rate}"));
        let console = if self.console {
            "[[sink]]\nid = 'console'\ntype = 'console'\ninput = 'sums'"
        } else {
            ""
        };
        format!(
            "[job]
name = 'sums'
parallelism = {parallelism}

[checkpoint]
storage = 'checkpoints'
{checkpoint}

[state]
directory = 'state'

[[source]]
id = 'numbers'
type = 'generator'
schema = 'key-value'
rows = {ROWS}
keys = {KEYS}
splits = {SPLITS}
{rate}

[[operator]]
id = 'sums'
type = 'aggregate'
input = 'numbers'
key = ['key']
emit = 'update'
[operator.aggregates]
{aggregates}

[[sink]]
id = 'out'
type = 'file'
input = 'sums'
format = 'csv'
path = 'out'
roll_interval = '{roll_interval}'
existing = '{existing}'

{console}
"
        )
    }

    /// All lines that the job must have put out in the end, sorted: computed in one pass, without the engine.
    pub(crate) fn expected() -> Vec<String> {
        let mut sums: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let lines = (0..ROWS).map(|index| {
            let (key, value) = record(index);
            let (count, sum) = sums.entry(key).or_default();
            *count += 1;
            *sum += value;
            format!("{key},{count},{sum}")
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort_unstable();
        lines
    }
}

/// The record with this index, as the documentation of the generator describes it: a splitmix64 number, whose high bits
/// give one of the keys of the record's split, and whose remainder gives the value.
fn record(index: u64) -> (u64, u64) {
    let mut mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let split = index % SPLITS;
    let keys = (KEYS - split).div_ceil(SPLITS);
    let drawn = (u128::from(mixed) * u128::from(keys)) >> 64;
    (drawn as u64 * SPLITS + split, mixed % 100)
}
