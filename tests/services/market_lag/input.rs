//! What a job reads, and what it must put out, computed in one pass without the engine.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::support::{JobFolder, Topic};

/// Among how many partitions the markets are spread.
const PARTITIONS: i32 = 8;

const MARKETS: usize = 50;

/// A market and one of its signals.
pub(crate) type Series = (String, String);

/// How many steps there were, and the largest of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lag {
    pub(crate) steps: u64,
    pub(crate) largest: f64,
}

/// A topic that holds market signals, or is given them little by little.
pub(crate) struct Input {
    pub(crate) topic: Topic,
    /// The results of each series, in order.
    pub(crate) expected: BTreeMap<Series, Vec<Lag>>,
    writer: Option<Writer>,
}

/// The thread that writes the signals.
struct Writer {
    thread: JoinHandle<()>,
    /// Whoever drops it lets the thread write all that is left at once.
    pause: SyncSender<()>,
}

impl Input {
    /// Writes so many signals of the generator into a new topic, all of a market into one partition, in order.
    pub(crate) fn write(rows: usize) -> Self {
        let mut input = Self::flowing(rows);
        input.complete();
        input
    }

    /// Begins to write them, about 4,000 a second, so that a job has something to do at all times.
    pub(crate) fn flowing(rows: usize) -> Self {
        let lines = generate(rows);
        let topic = Topic::create("signals", PARTITIONS);
        let expected = expected(&lines);
        let (pause, until_dropped) = sync_channel::<()>(1);
        let to = topic.clone();
        let write = move || {
            let mut lines = lines.iter().map(|line| {
                let market = text(&line.row, "market");
                (partition_of(market), market, line.text.as_str())
            });
            to.write_in_pieces(|| {
                // The end of the wait is the event; how long it takes changes only how much a run finds.
                let _ = until_dropped.recv_timeout(Duration::from_millis(5));
                lines.by_ref().take(20).collect()
            });
        };
        let thread = thread::Builder::new().spawn(write).unwrap();
        Self {
            topic,
            expected,
            writer: Some(Writer { thread, pause }),
        }
    }

    /// Waits until all signals are written.
    pub(crate) fn complete(&mut self) {
        if let Some(Writer { thread, pause }) = self.writer.take() {
            drop(pause);
            thread.join().unwrap();
        }
    }
}

/// A signal, as it is written and as it is read.
struct Line {
    text: String,
    row: Value,
}

/// One pass, no engine.
fn expected(lines: &[Line]) -> BTreeMap<Series, Vec<Lag>> {
    let mut expected = BTreeMap::<Series, Vec<Lag>>::new();
    for Line { row, .. } in lines {
        let series = (
            text(row, "market").to_owned(),
            text(row, "signal").to_owned(),
        );
        let lags = expected.entry(series).or_default();
        let delta = row["delta"].as_f64().unwrap();
        let largest = lags
            .last()
            .map_or(delta, |last: &Lag| last.largest.max(delta));
        let steps = lags.len() as u64 + 1;
        lags.push(Lag { steps, largest });
    }
    expected
}

/// The signals as lines of JSON, from a job that writes them to a file.
fn generate(rows: usize) -> Vec<Line> {
    let folder = JobFolder::with_job(&format!(
        "[job]\n\
         name = 'signals'\n\
         parallelism = 1\n\
         [checkpoint]\n\
         storage = 'checkpoints'\n\
         [[source]]\n\
         id = 'signals'\n\
         type = 'generator'\n\
         schema = 'market-signals'\n\
         markets = {MARKETS}\n\
         rows = {rows}\n\
         [[sink]]\n\
         id = 'out'\n\
         type = 'file'\n\
         input = 'signals'\n\
         path = 'out'\n\
         format = 'json'\n"
    ));
    folder.run().expect_code(0);
    let files = folder.files("out");
    let [(_, content)] = files.as_slice() else {
        panic!("{} files", files.len());
    };
    let text = String::from_utf8(content.clone()).unwrap();
    let lines: Vec<Line> = text
        .lines()
        .map(|line| Line {
            text: line.to_owned(),
            row: serde_json::from_str(line).unwrap(),
        })
        .collect();
    assert_eq!(lines.len(), rows);
    lines
}

fn partition_of(market: &str) -> i32 {
    let number: i32 = market.strip_prefix("market-").unwrap().parse().unwrap();
    number % PARTITIONS
}

/// A column of a row, as text.
pub(super) fn text<'a>(row: &'a Value, column: &str) -> &'a str {
    row[column].as_str().unwrap()
}
