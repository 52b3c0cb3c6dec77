//! Aggregates over real flights: few keys, many results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::process::{kill_again_and_again, seed};

/// How many times the month of flights is repeated, so that a run outlives its kills: with a result for every flight,
/// and with results at the end only, which takes much less time.
const MONTHS_RUNNING: usize = 50;
const MONTHS_IN_A_MAP: usize = 150;

/// Over how many files the flights are spread. All flights of a carrier stand in one file, in order, so that the
/// running values of a key do not depend on which file is read first.
const FILES: usize = 6;

#[test]
fn running_aggregates_survive_kills_at_parallelism_1() {
    assert_eq!(check(Job::running(1, 50)), 0);
}

#[test]
fn running_aggregates_survive_kills_at_parallelism_2() {
    assert_eq!(check(Job::running(2, 100)), 0);
}

#[test]
fn running_aggregates_survive_kills_at_parallelism_4() {
    assert_eq!(check(Job::running(4, 200)), 0);
}

#[test]
fn aggregates_in_a_map_survive_kills_at_parallelism_1() {
    assert_eq!(check(Job::in_a_map(1, 100)), 0);
}

#[test]
fn aggregates_in_a_map_survive_kills_at_parallelism_2() {
    assert_eq!(check(Job::in_a_map(2, 50)), 0);
}

#[test]
fn aggregates_in_a_map_survive_kills_at_parallelism_4() {
    assert_eq!(check(Job::in_a_map(4, 200)), 0);
}

/// Barriers overtake what lies in links that hold no more than a few batches.
#[test]
fn running_aggregates_survive_kills_after_unaligned_checkpoints_at_parallelism_2() {
    let resumed_in_flight = check(Job {
        is_unaligned: true,
        ..Job::running(2, 50)
    });
    assert!(
        resumed_in_flight > 0,
        "no run began with records that had been in flight"
    );
}

/// A job, and what it is to put out.
struct Job {
    parallelism: usize,
    interval_millis: u64,
    /// The aggregate keeps a map from carrier to aggregate for each origin, and gives its results at the end; else
    /// it keeps a value for each origin and carrier, and gives a result for every flight.
    in_a_map: bool,
    /// Whether its checkpoints are unaligned.
    is_unaligned: bool,
}

impl Job {
    fn running(parallelism: usize, interval_millis: u64) -> Self {
        Self {
            parallelism,
            interval_millis,
            in_a_map: false,
            is_unaligned: false,
        }
    }

    fn in_a_map(parallelism: usize, interval_millis: u64) -> Self {
        Self {
            in_a_map: true,
            ..Self::running(parallelism, interval_millis)
        }
    }

    fn write(&self, folder: &Path) -> PathBuf {
        let Self {
            parallelism,
            interval_millis,
            is_unaligned,
            ..
        } = self;
        let folder_text = folder.display();
        // The second kind also keeps a file open over several checkpoints, and cuts it back when it resumes.
        let (keys, roll) = if self.in_a_map {
            (
                "key = ['origin']\nmap_key = 'carrier'\nemit = 'final'",
                "10s",
            )
        } else {
            ("key = ['origin', 'carrier']\nemit = 'update'", "300ms")
        };
        // The links are full whenever the readers are behind.
        let link = if *is_unaligned {
            "[link]\nrows_max = 2048"
        } else {
            ""
        };
        let toml = format!(
            "[job]\n\
             name = 'kill'\n\
             parallelism = {parallelism}\n\
             [checkpoint]\n\
             interval = '{interval_millis}ms'\n\
             unaligned = {is_unaligned}\n\
             retain = 2\n\
             storage = '{folder_text}/checkpoints'\n\
             [state]\n\
             directory = '{folder_text}/state'\n\
             local_recovery = true\n\
             {link}\n\
             [[source]]\n\
             id = 'flights'\n\
             type = 'file'\n\
             path = '{folder_text}/in/*.csv'\n\
             null = ['NA']\n\
             [source.columns]\n\
             origin = 'string'\n\
             carrier = 'string'\n\
             dep_delay = 'int64'\n\
             [[operator]]\n\
             id = 'delays'\n\
             type = 'aggregate'\n\
             input = 'flights'\n\
             {keys}\n\
             [operator.aggregates]\n\
             flights = 'count()'\n\
             departed = 'count(dep_delay)'\n\
             delay = 'sum(dep_delay)'\n\
             largest = 'max(dep_delay)'\n\
             first = 'first(dep_delay)'\n\
             [[sink]]\n\
             id = 'out'\n\
             type = 'file'\n\
             input = 'delays'\n\
             format = 'csv'\n\
             path = '{folder_text}/out'\n\
             roll_interval = '{roll}'\n"
        );
        let path = folder.join("job.toml");
        fs::write(&path, toml).unwrap();
        path
    }
}

/// Gives how many runs began with records that had been in flight.
fn check(job: Job) -> usize {
    let seed = seed(20_130_101 + job.parallelism as u64);
    let folder = tempfile::tempdir().unwrap();
    let months = if job.in_a_map {
        MONTHS_IN_A_MAP
    } else {
        MONTHS_RUNNING
    };
    let rows = write_input(folder.path(), months);
    let expected = single_pass(&rows, job.in_a_map);
    let path = job.write(folder.path());
    let seen = kill_again_and_again(folder.path(), &path, job.interval_millis, seed, || {
        let found = committed(&folder.path().join("out"));
        if let Some(difference) = expected
            .iter()
            .zip(&found)
            .find(|(one, other)| one != other)
        {
            panic!("seed {seed}: first difference between expected and found: {difference:?}");
        }
        assert_eq!(expected.len(), found.len(), "seed {seed}: lines");
    });
    seen.in_flight
}

type Row = (String, String, Option<i64>);

/// Spreads the flights over the input files, and gives them back in the order in which each key's stand.
fn write_input(folder: &Path, months: usize) -> Vec<Row> {
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/flights-2013-01.csv"
    );
    let mut reader = csv::Reader::from_path(data).unwrap();
    let headers = reader.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (origin, carrier, delay) = (column("origin"), column("carrier"), column("dep_delay"));
    let month: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();

    let mut files = vec!["carrier,dep_delay,origin\n".to_owned(); FILES];
    let mut rows = Vec::new();
    for record in std::iter::repeat_n(&month, months).flatten() {
        let (origin, carrier, delay) = (&record[origin], &record[carrier], &record[delay]);
        let file = carrier.bytes().map(usize::from).sum::<usize>() % FILES;
        writeln!(files[file], "{carrier},{delay},{origin}").unwrap();
        rows.push((origin.to_owned(), carrier.to_owned(), delay.parse().ok()));
    }
    fs::create_dir(folder.join("in")).unwrap();
    for (index, text) in files.iter().enumerate() {
        fs::write(folder.join(format!("in/{index}.csv")), text).unwrap();
    }
    rows
}

/// The independent computation: one pass, no engine.
fn single_pass(rows: &[Row], only_the_last: bool) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Delays {
        flights: u64,
        departed: u64,
        delay: Option<i64>,
        largest: Option<i64>,
        first: Option<i64>,
    }
    let text = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
    let mut keys: BTreeMap<(&str, &str), Delays> = BTreeMap::new();
    let mut lines = Vec::new();
    let line = |(origin, carrier): (&str, &str), delays: &Delays| {
        format!(
            "{origin},{carrier},{},{},{},{},{}",
            delays.flights,
            delays.departed,
            text(delays.delay),
            text(delays.largest),
            text(delays.first)
        )
    };
    for (origin, carrier, delay) in rows {
        let key = (origin.as_str(), carrier.as_str());
        let delays = keys.entry(key).or_default();
        delays.flights += 1;
        if let Some(delay) = *delay {
            delays.departed += 1;
            delays.delay = Some(delays.delay.unwrap_or(0) + delay);
            delays.largest = delays.largest.max(Some(delay));
            delays.first = delays.first.or(Some(delay));
        }
        if !only_the_last {
            lines.push(line(key, delays));
        }
    }
    if only_the_last {
        lines.extend(keys.iter().map(|(key, delays)| line(*key, delays)));
    }
    lines.sort_unstable();
    lines
}

/// All lines of the files that the sink has finished, without their headers, sorted.
fn committed(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            name.starts_with("part-"),
            "the finished job has left {name} behind"
        );
        let text = fs::read_to_string(&path).unwrap();
        let mut file = text.lines();
        assert_eq!(
            file.next(),
            Some("origin,carrier,flights,departed,delay,largest,first"),
            "{name}"
        );
        lines.extend(file.map(str::to_owned));
    }
    lines.sort_unstable();
    lines
}
