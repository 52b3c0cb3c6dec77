use std::collections::BTreeMap;

use super::*;
use crate::channel::NoWake;
use crate::connectors::kafka::source::config::KafkaSourceConfig;
use crate::connectors::kafka::source::item::{DiscoveryItem, RestoredSource, SourceItem};
use crate::connectors::kafka::source::model_broker::{ModelBroker, ModelClient, partition};
use crate::connectors::kafka::source::partition_watermarks::PartitionWatermarks;
use crate::connectors::kafka::source::positions::Positions;
use crate::operator::RestoredOperatorState;

/// One subtask of a source, without its rows: what it has read are values.
struct Subtask {
    fetcher: Fetcher<ModelClient>,
    queue: Arc<FetchQueue>,
    positions: Positions,
    number: usize,
    parallelism: usize,
    /// The partition, the offset and the value of each record.
    read: Vec<(TopicPartition, i64, String)>,
    now: Duration,
}

impl Subtask {
    fn new(broker: &ModelBroker, text: &str) -> Self {
        Self::of(broker, text, 0, 1, None)
    }

    fn of(
        broker: &ModelBroker,
        text: &str,
        number: usize,
        parallelism: usize,
        restored: Option<RestoredSource>,
    ) -> Self {
        let topics = match text.contains("topic_pattern") {
            true => "",
            false => "topics = ['in']\n",
        };
        let config = format!(
            "brokers = 'a:1'\n{topics}format = 'raw'\ncolumns = {{ s = 'string' }}\n{text}"
        );
        let config: KafkaSourceConfig = toml::from_str(&config).unwrap();
        config.check().unwrap();
        let selection = config.selection().unwrap();
        let assignment = Assignment::new(selection, number, parallelism, restored);
        let queue = Arc::new(FetchQueue::new(8, 1 << 20, NoWake::shared()));
        Self {
            positions: Positions::new(assignment.restored_positions()),
            fetcher: Fetcher::new(
                broker.client(),
                assignment,
                OffsetRules::of(&config),
                config.discovery_interval(),
                Arc::clone(&queue),
            ),
            queue,
            number,
            parallelism,
            read: Vec::new(),
            now: Duration::ZERO,
        }
    }

    /// One turn of the thread, some time later.
    fn turn_after(&mut self, pause: Duration) -> Result<Wait> {
        self.now += pause;
        self.fetcher.turn(self.now)
    }

    /// Turns until there is nothing to do, with all that is fetched taken at once.
    fn run(&mut self) -> Result<()> {
        while self.turn_after(Duration::ZERO)? == Wait::Nothing {
            self.take_all();
        }
        self.take_all();
        Ok(())
    }

    fn take_all(&mut self) {
        while self.take_one() {}
    }

    /// The subtask works off the next event, as the source does.
    fn take_one(&mut self) -> bool {
        let Some(event) = self.queue.pop() else {
            return false;
        };
        match event {
            FetchEvent::Started(partition, position) => self.positions.start(partition, position),
            FetchEvent::Discovered => self.positions.set_discovered(),
            FetchEvent::Records(chunk) => {
                let name = self.positions.partition(chunk.partition).unwrap().clone();
                for index in 0..chunk.len() {
                    let record = chunk.record(index).unwrap();
                    let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                    self.read.push((name.clone(), record.offset, value));
                    self.positions
                        .set_offset(chunk.partition, record.offset + 1);
                }
            }
            FetchEvent::Reached(number) => self.positions.finish(number),
            FetchEvent::Reset(number, offset) => self.positions.set_offset(number, offset),
            FetchEvent::Gone(partition) => {
                self.positions.lose(&partition);
            }
            FetchEvent::Ends(_) | FetchEvent::Failed(_) => {}
        }
        true
    }

    fn values(&self) -> Vec<&str> {
        self.read
            .iter()
            .map(|(_, _, value)| value.as_str())
            .collect()
    }

    /// What it puts into a checkpoint.
    fn items(&self) -> Vec<serde_json::Value> {
        let mut items = self.positions.items(&PartitionWatermarks::new(None));
        items.push(SourceItem::Discovery(DiscoveryItem {
            subtask: self.number,
            parallelism: self.parallelism,
            discovered: self.positions.is_discovered(),
        }));
        items.iter().map(|item| item.to_value().unwrap()).collect()
    }
}

/// A broker with a topic `in` of so many partitions, the first of which holds these values.
fn broker(partitions: i32, values: &[&str]) -> ModelBroker {
    let broker = ModelBroker::default();
    broker.create("in", partitions);
    for value in values {
        broker.append(&partition("in", 0), value);
    }
    broker
}

#[test]
fn records_come_as_they_are_appended() {
    let broker = broker(1, &["a", "b"]);
    let mut subtask = Subtask::new(&broker, "");
    subtask.run().unwrap();
    broker.append_mark(&partition("in", 0));
    broker.append(&partition("in", 0), "c");
    subtask.run().unwrap();
    assert_eq!(subtask.values(), ["a", "b", "c"]);
    assert_eq!(subtask.positions.offsets(), [(partition("in", 0), 4)]);
    assert!(!subtask.positions.is_finished());
}

#[test]
fn a_record_that_comes_again_is_passed_over() {
    let broker = broker(1, &["a", "b", "c"]);
    let mut subtask = Subtask::new(&broker, "");
    subtask.run().unwrap();
    subtask.fetcher.client.rewind(0, 2);
    broker.append(&partition("in", 0), "d");
    subtask.run().unwrap();
    assert_eq!(subtask.values(), ["a", "b", "c", "d"]);
    assert_eq!(subtask.positions.offsets(), [(partition("in", 0), 4)]);
}

#[test]
fn a_bounded_source_ends_behind_the_mark_of_a_transaction() {
    let broker = broker(2, &["a"]);
    broker.append_mark(&partition("in", 0));
    let mut subtask = Subtask::new(&broker, "bounded_mode = 'latest-offset'");
    subtask.turn_after(Duration::ZERO).unwrap();
    broker.append(&partition("in", 0), "late");
    broker.append(&partition("in", 1), "late");
    subtask.run().unwrap();
    assert_eq!(subtask.values(), ["a"]);
    assert!(subtask.positions.is_finished());
    let ends: Vec<_> = subtask.positions.offsets().into_iter().collect();
    assert_eq!(ends, [(partition("in", 0), 2), (partition("in", 1), 0)]);
}

#[test]
fn a_bounded_source_ends_in_the_middle_of_what_is_there() {
    let broker = broker(1, &["a", "b", "c", "d"]);
    let text = "bounded_mode = 'specific-offsets'\nbounded_offsets = { in = { 0 = 2 } }";
    let mut subtask = Subtask::new(&broker, text);
    subtask.run().unwrap();
    assert_eq!(subtask.values(), ["a", "b"]);
    assert!(subtask.positions.is_finished());
}

#[test]
fn an_end_that_falls_on_a_mark_is_not_read_past() {
    let broker = broker(1, &["a"]);
    broker.append_mark(&partition("in", 0));
    broker.append(&partition("in", 0), "beyond");
    let text = "bounded_mode = 'specific-offsets'\nbounded_offsets = { in = { 0 = 2 } }";
    let mut subtask = Subtask::new(&broker, text);
    subtask.run().unwrap();
    assert_eq!(subtask.values(), ["a"]);
    assert!(subtask.positions.is_finished());
}

#[test]
fn an_offset_that_is_gone_fails_or_is_jumped_over_never_in_silence() {
    let restored = |offset| {
        let broker = broker(1, &["a", "b", "c", "d"]);
        let mut before = Subtask::new(
            &broker,
            &format!(
                "startup_mode = 'specific-offsets'\nstartup_offsets = {{ in = {{ 0 = {offset} }} }}"
            ),
        );
        before.turn_after(Duration::ZERO).unwrap();
        before.take_one();
        before.take_one();
        let subtasks = vec![before.items()];
        broker.expire(&partition("in", 0), 2);
        let state = RestoredOperatorState { subtasks };
        (broker, RestoredSource::of_state(&state).unwrap())
    };
    let check = |offset, text: &str, expected: &[&str]| {
        let (broker, restored) = restored(offset);
        let mut subtask = Subtask::of(&broker, text, 0, 1, Some(restored));
        subtask.run().and_then(|()| subtask.run())?;
        broker.append(&partition("in", 0), "e");
        subtask.run()?;
        assert_eq!(subtask.values(), expected, "{offset} {text}");
        Ok::<_, Error>(())
    };
    let (earliest, latest) = (
        "auto_offset_reset = 'earliest'",
        "auto_offset_reset = 'latest'",
    );
    check(2, "", &["c", "d", "e"]).unwrap();
    let error = check(1, "", &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error
            .to_string()
            .contains("offset 1 is out of range, the broker has 2 to 4"),
        "{error}"
    );
    check(1, earliest, &["c", "d", "e"]).unwrap();
    check(1, latest, &["e"]).unwrap();
    // As after a topic was deleted and made anew.
    check(9, earliest, &["c", "d", "e"]).unwrap();
    check(9, "", &[]).unwrap_err();
}

#[test]
fn a_subtask_that_stands_still_pauses_the_partitions_and_loses_nothing() {
    let values: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let broker = broker(2, &[]);
    let mut subtask = Subtask::new(&broker, "");
    subtask.run().unwrap();
    for value in &values {
        broker.append(&partition("in", 0), value);
        subtask.turn_after(Duration::ZERO).unwrap();
    }
    let full = Wait::Room(EVENTS_PAUSE);
    assert_eq!(subtask.turn_after(Duration::ZERO).unwrap(), full);
    assert!(!subtask.queue.has_room());
    assert!(!subtask.fetcher.client.is_paused, "it may only be slow");
    subtask.turn_after(PAUSE_AFTER).unwrap();
    subtask.turn_after(PAUSE_AFTER).unwrap();
    assert!(subtask.fetcher.client.is_paused);
    assert!(!subtask.fetcher.client.holds_records());
    subtask.take_all();
    assert!(subtask.read.len() < 10, "{}", subtask.read.len());
    subtask.run().unwrap();
    assert_eq!(subtask.fetcher.client.pauses, 1);
    assert!(!subtask.fetcher.client.is_paused);
    assert_eq!(subtask.values(), values);
}

#[test]
fn a_broker_that_is_away_is_asked_again() {
    let broker = broker(1, &["a"]);
    broker.set_away(true);
    let mut subtask = Subtask::new(&broker, "");
    subtask.run().unwrap();
    subtask.turn_after(RETRY_PAUSE / 2).unwrap();
    assert_eq!(subtask.fetcher.client.complaints.len(), 1);
    assert!(!subtask.positions.is_discovered());
    broker.set_away(false);
    subtask.turn_after(RETRY_PAUSE).unwrap();
    subtask.take_all();
    assert!(subtask.positions.is_discovered());
    assert_eq!(subtask.values(), ["a"]);
}

#[test]
fn new_partitions_and_topics_of_a_pattern_are_found_and_lost_ones_given_up() {
    let broker = broker(1, &["a"]);
    let text = "topic_pattern = 'in.*'\nstartup_mode = 'latest-offset'\npartition_discovery_interval = '10s'";
    let mut subtask = Subtask::new(&broker, text);
    subtask.run().unwrap();
    broker.create("in", 2);
    broker.create("in-too", 1);
    broker.append(&partition("in", 1), "b");
    broker.append(&partition("in-too", 0), "c");
    subtask.turn_after(Duration::from_secs(9)).unwrap();
    subtask.run().unwrap();
    assert!(
        subtask.read.is_empty(),
        "it looks for them every ten seconds"
    );
    subtask.turn_after(Duration::from_secs(1)).unwrap();
    subtask.run().unwrap();
    assert_eq!(subtask.values(), ["b", "c"]);
    let expected = subtask.fetcher.client.expected;
    assert_eq!(expected, 1, "what is found later was not expected");
    broker.delete("in");
    subtask.run().unwrap();
    subtask.run().unwrap();
    assert_eq!(subtask.positions.offsets(), [(partition("in-too", 0), 1)]);
}

#[test]
fn a_pattern_that_matches_nothing_fails_when_it_is_never_looked_at_again() {
    let broker = broker(1, &[]);
    let text = "topic_pattern = 'out.*'\n";
    Subtask::new(&broker, text).run().unwrap();
    let mut bounded = Subtask::new(&broker, &format!("{text}bounded_mode = 'latest-offset'"));
    let error = bounded.run().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("topic_pattern: no topic matches"),
        "{error}"
    );
}

#[test]
fn the_groups_offsets_are_set_when_they_are_asked_for() {
    let broker = broker(1, &["a"]);
    let mut subtask = Subtask::new(&broker, "group_id = 'g'");
    subtask.run().unwrap();
    subtask.queue.request_commit(subtask.positions.offsets());
    subtask.run().unwrap();
    assert_eq!(broker.committed(&partition("in", 0)), Some(1));
}

/// A run of the whole source through checkpoints, crashes and changes of parallelism, in the order that a seed decides.
fn every_record_comes_once(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let broker = ModelBroker::default();
    let mut partitions = random.i32(1..4);
    broker.create("in", partitions);
    let mut appended = 0;
    // What was read up to the last checkpoint; what comes after it is read again after a crash.
    let mut covered = Vec::new();
    let mut restored: Option<RestoredSource> = None;
    for life in 0..8 {
        let is_last = life == 7;
        let parallelism = random.usize(1..5);
        let text = "partition_discovery_interval = '1s'";
        let mut subtasks: Vec<_> = (0..parallelism)
            .map(|number| Subtask::of(&broker, text, number, parallelism, restored.clone()))
            .collect();
        let mut steps = random.usize(0..60);
        while steps > 0 || is_last && subtasks.iter().any(|subtask| subtask.has_more(&broker)) {
            steps = steps.saturating_sub(1);
            let subtask = random.usize(0..parallelism);
            let subtask = &mut subtasks[subtask];
            match random.u32(0..8) {
                0 if !is_last => broker.set_away(random.bool()),
                0 => broker.set_away(false),
                1 if !is_last => {
                    partitions += random.i32(0..2);
                    broker.create("in", partitions);
                }
                2 | 3 if !is_last => {
                    let log = partition("in", random.i32(0..partitions));
                    match random.bool() {
                        true => broker.append_mark(&log),
                        false => broker.append(&log, &appended.to_string()),
                    }
                    appended += 1;
                }
                4 | 5 => {
                    subtask.take_one();
                }
                _ => {
                    let pause = Duration::from_millis(random.u64(0..3_000));
                    subtask.turn_after(pause).unwrap();
                }
            }
            if !is_last && random.u32(0..20) == 0 {
                covered.extend(
                    subtasks
                        .iter_mut()
                        .flat_map(|subtask| std::mem::take(&mut subtask.read)),
                );
                let subtasks = subtasks.iter().map(Subtask::items).collect();
                let state = RestoredOperatorState { subtasks };
                restored = Some(RestoredSource::of_state(&state).unwrap());
            }
        }
        if is_last {
            covered.extend(subtasks.into_iter().flat_map(|subtask| subtask.read));
        }
    }
    let mut by_partition: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (partition, offset, _) in &covered {
        by_partition.entry(partition).or_default().push(*offset);
    }
    for (partition, offsets) in by_partition {
        assert!(offsets.is_sorted(), "seed {seed}: {partition} {offsets:?}");
    }
    let mut values: Vec<_> = covered.into_iter().map(|(_, _, value)| value).collect();
    let mut expected = broker.all_values();
    values.sort();
    expected.sort();
    assert_eq!(values, expected, "seed {seed}");
}

impl Subtask {
    /// Whether some partition of its own has a record that it has not read.
    fn has_more(&self, broker: &ModelBroker) -> bool {
        let positions: BTreeMap<_, _> = self.positions.offsets().into_iter().collect();
        broker.ends().into_iter().any(|(partition, end)| {
            let is_own = partition.owner(self.parallelism) == self.number;
            is_own && positions.get(&partition).is_none_or(|offset| *offset < end)
        })
    }
}

#[test]
fn every_record_comes_once_and_in_order_through_crashes_and_changes_of_parallelism() {
    for seed in 0..300 {
        every_record_comes_once(seed);
    }
}
