use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use serde_json::json;

use super::*;
use crate::connectors::kafka::source::item::Position;
use crate::connectors::kafka::source::model_broker::partition;
use crate::connectors::test_support::{Subtask, state_of};
use crate::model::ManualClock;
use crate::operator::{Emission, RestoredOperatorState};

/// A source without its thread: the test puts into the queue what is fetched.
struct Fed {
    source: KafkaSource,
    queue: Option<Arc<FetchQueue>>,
}

impl Source for Fed {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let (_, queue) = self.source.prepare(context)?;
        self.queue = Some(queue);
        Ok(())
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        self.source.poll(rows_max, output)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.source.snapshot(checkpoint)
    }
}

/// A source of the topic `in`, whose records are times.
fn config(text: &str) -> KafkaSourceConfig {
    let text = format!(
        "brokers = 'a:1'\ntopics = ['in']\nformat = 'csv'\ncolumns = {{ time = 'timestamp' }}
        event_time = {{ column = 'time' }}\n{text}"
    );
    toml::from_str(&text).unwrap()
}

impl Fed {
    fn open_at(text: &str, subtask: &Subtask, peers: &SourcePeers) -> Self {
        let source = KafkaSource::new(config(text), peers.clone()).unwrap();
        let mut fed = Self {
            source,
            queue: None,
        };
        subtask.open_source(&mut fed).unwrap();
        fed
    }

    fn alone(text: &str) -> Self {
        Self::open_at(text, &Subtask::of(0, 1), &SourcePeers::default())
    }

    fn push(&self, event: FetchEvent) {
        self.queue.as_ref().unwrap().push(event);
    }

    fn start(&self, number: i32, offset: i64) {
        let position = Position {
            offset,
            end: None,
            watermark: None,
        };
        self.push(FetchEvent::Started(partition("in", number), position));
    }

    /// Records with these values and consecutive offsets.
    fn records(&self, number: usize, first_offset: i64, values: &[&str]) {
        let mut chunk = Chunk::of(number);
        for (offset, value) in (first_offset..).zip(values) {
            let record = Record {
                offset,
                timestamp: None,
                key: None,
                value: Some(value.as_bytes()),
            };
            chunk.push(record, []);
        }
        self.push(FetchEvent::Records(chunk));
    }

    /// Polls once: the times, the watermark, and what the source says.
    fn poll_once(&mut self, rows_max: usize) -> (Vec<i64>, Option<i64>, SourceStatus) {
        let mut output = Output::default();
        let status = self.poll(rows_max, &mut output).unwrap();
        let (mut times, mut watermark) = (Vec::new(), None);
        for emission in output.take() {
            match emission {
                Emission::Batch(batch) => {
                    let columns = batch.into_columns().unwrap();
                    let column = columns.column(0).as_primitive::<TimestampMillisecondType>();
                    times.extend(column.iter().flatten());
                }
                Emission::Watermark(EventTime(millis)) => watermark = Some(millis),
            }
        }
        (times, watermark, status)
    }

    fn state(&mut self) -> RestoredOperatorState {
        state_of(&[self.snapshot(CheckpointId(1)).unwrap()])
    }
}

fn waits(status: SourceStatus) -> bool {
    matches!(status, SourceStatus::Wait(_))
}

#[test]
fn a_position_is_behind_what_was_given_out_and_not_behind_what_was_fetched() {
    let mut source = Fed::alone("");
    source.start(0, 5);
    source.push(FetchEvent::Discovered);
    source.records(0, 5, &["1", "2", "3"]);
    assert_eq!(
        source.poll_once(2),
        (vec![1, 2], Some(2), SourceStatus::Ready)
    );
    let items = source.snapshot(CheckpointId(1)).unwrap().items;
    let position = json!({"topic": "in", "partition": 0, "offset": 7, "watermark": 2});
    let discovery = json!({"subtask": 0, "parallelism": 1, "discovered": true});
    assert_eq!(items, [position, discovery]);
    assert_eq!(source.poll_once(2).0, [3]);
    assert!(waits(source.poll_once(2).2));
}

#[test]
fn the_watermark_is_that_of_the_slowest_partition_and_waits_for_all_to_be_found() {
    let mut source = Fed::alone("");
    source.start(0, 0);
    source.records(0, 0, &["100"]);
    assert_eq!(source.poll_once(10).1, None, "there may be others");
    source.start(1, 0);
    source.push(FetchEvent::Discovered);
    source.records(0, 1, &["200"]);
    source.records(1, 0, &["50", "40"]);
    assert_eq!(
        source.poll_once(10),
        (vec![200, 50, 40], Some(50), SourceStatus::Ready)
    );
    source.push(FetchEvent::Gone(partition("in", 1)));
    assert_eq!(source.poll_once(10).1, Some(200));
}

#[test]
fn a_restored_watermark_goes_on_where_it_was() {
    let mut source = Fed::alone("");
    source.start(0, 0);
    source.push(FetchEvent::Discovered);
    source.records(0, 0, &["100"]);
    source.poll_once(10);
    let subtask = Subtask::of(0, 1).restored(Some(source.state()));
    let mut source = Fed::open_at("", &subtask, &SourcePeers::default());
    let position = Position {
        offset: 1,
        end: None,
        watermark: Some(100),
    };
    source.push(FetchEvent::Started(partition("in", 0), position));
    source.push(FetchEvent::Discovered);
    source.records(0, 1, &["70"]);
    assert_eq!(
        source.poll_once(10),
        (vec![70], Some(100), SourceStatus::Ready)
    );
}

#[test]
fn an_idle_partition_and_an_idle_subtask_hold_nobody_up() {
    let clock = Arc::new(ManualClock::default());
    let peers = SourcePeers::default();
    let open = |number| {
        let subtask = Subtask::of(number, 2).with_clock(&clock);
        Fed::open_at("idle_timeout = '10s'", &subtask, &peers)
    };
    let (mut busy, mut empty) = (open(0), open(1));
    busy.start(0, 0);
    busy.start(2, 0);
    busy.push(FetchEvent::Discovered);
    empty.push(FetchEvent::Discovered);
    busy.records(0, 0, &["100"]);
    assert_eq!(busy.poll_once(10).1, None, "partition 2 may have something");
    assert_eq!(empty.poll_once(10).1, None);
    clock.advance(Duration::from_secs(10));
    busy.records(0, 1, &["110"]);
    assert_eq!(busy.poll_once(10).1, Some(110));
    assert_eq!(empty.poll_once(10).1, Some(110), "it follows its peer");
}

#[test]
fn a_bounded_source_finishes_with_its_last_partition() {
    let mut source = Fed::alone("bounded_mode = 'latest-offset'");
    source.start(0, 0);
    source.push(FetchEvent::Discovered);
    source.records(0, 0, &["1", "2"]);
    source.push(FetchEvent::Reached(0));
    assert_eq!(source.poll_once(1).2, SourceStatus::Ready);
    let (times, _, status) = source.poll_once(10);
    assert_eq!((times, status), (vec![2], SourceStatus::Finished));
}

/// What becomes of a record that cannot be read.
fn bad_record(text: &str) -> (Fed, Result<SourceStatus>) {
    let mut source = Fed::alone(text);
    source.start(3, 40);
    source.records(0, 40, &["1", "soon", "2"]);
    let polled = source.poll(10, &mut Output::default());
    (source, polled)
}

#[test]
fn a_bad_record_is_named_by_topic_partition_and_offset() {
    let error = bad_record("").1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let expected = "in/3 offset 41: column \"time\": \"soon\" is not a timestamp";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn a_bad_record_is_skipped_or_kept_if_asked_for() {
    let (mut source, polled) = bad_record("on_error = 'skip'");
    assert_eq!(polled.unwrap(), SourceStatus::Ready);
    let items = source.snapshot(CheckpointId(1)).unwrap().items;
    assert_eq!(items[0]["offset"], 43);
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("bad.jsonl");
    let options = format!(
        "on_error = 'dead-letter'\ndead_letter = '{}'",
        base.display()
    );
    let (mut source, polled) = bad_record(&options);
    polled.unwrap();
    assert_eq!(letter(folder.path())["offset"], 41);
    assert_eq!(letter(folder.path())["raw"], "soon");
    let items = source.snapshot(CheckpointId(1)).unwrap().items;
    assert_eq!(items[2]["dead_letters"], 0);
}

fn letter(folder: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(folder.join("bad-0.jsonl")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_groups_offsets_are_those_of_the_last_complete_checkpoint() {
    let mut source = Fed::alone("group_id = 'g'");
    source.start(0, 0);
    source.records(0, 0, &["1", "2", "3"]);
    for checkpoint in 1..4 {
        source.poll_once(1);
        source.snapshot(CheckpointId(checkpoint)).unwrap();
    }
    let queue = source.queue.clone().unwrap();
    source.source.commit(CheckpointId(2)).unwrap();
    assert_eq!(queue.take_commit(), Some(vec![(partition("in", 0), 2)]));
    source.source.commit(CheckpointId(3)).unwrap();
    assert_eq!(queue.take_commit(), Some(vec![(partition("in", 0), 3)]));
    source.source.commit(CheckpointId(4)).unwrap();
    assert_eq!(queue.take_commit(), None);
}

#[test]
fn what_ends_the_thread_fails_the_job() {
    let mut source = Fed::alone("");
    source.push(FetchEvent::Failed(Error::new(ErrorKind::Data, "no")));
    let error = source.poll(10, &mut Output::default()).unwrap_err();
    assert_eq!(error.to_string(), "no");
}
