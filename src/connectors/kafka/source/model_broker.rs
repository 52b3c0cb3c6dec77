//! A broker in memory, for tests: logs with gaps, and a client that reads them as librdkafka's consumer would.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::assignment::{Listing, TopicListing};
use super::chunk::{Chunk, Record};
use super::fetch_client::{ClientFailure, FetchClient, OffsetRange, Polled};
use super::topic_partition::TopicPartition;
use super::topic_selection::TopicSelection;
use crate::error::Result;

/// A broker that several clients share.
#[derive(Clone, Default)]
pub(super) struct ModelBroker(Rc<RefCell<Topics>>);

#[derive(Default)]
struct Topics {
    logs: BTreeMap<TopicPartition, Log>,
    committed: BTreeMap<TopicPartition, i64>,
    is_away: bool,
}

/// The log of one partition.
#[derive(Default)]
struct Log {
    /// The offset of the first entry.
    first: i64,
    /// A time and a value; nothing for what readers never see, such as the mark that ends a transaction.
    entries: Vec<Option<(i64, String)>>,
}

/// A client of the broker.
pub(super) struct ModelClient {
    broker: ModelBroker,
    started: Vec<Option<Reader>>,
    pub(super) is_paused: bool,
    /// How often it was paused.
    pub(super) pauses: usize,
    /// How many partitions it was told to expect.
    pub(super) expected: usize,
    /// What it was told of the broker's silence.
    pub(super) complaints: Vec<String>,
}

struct Reader {
    partition: TopicPartition,
    offset: i64,
    /// The end that was reported last.
    reported_end: Option<i64>,
    /// Whether it was paused, and not asked for a record since: then it still holds what it had fetched ahead.
    holds_records: bool,
}

/// The partition of a topic.
pub(super) fn partition(topic: &str, number: i32) -> TopicPartition {
    TopicPartition {
        topic: topic.into(),
        partition: number,
    }
}

impl ModelBroker {
    /// Makes a topic, or gives it more partitions.
    pub(super) fn create(&self, topic: &str, partitions: i32) {
        for number in 0..partitions {
            let logs = &mut self.0.borrow_mut().logs;
            logs.entry(partition(topic, number)).or_default();
        }
    }

    /// Deletes a topic.
    pub(super) fn delete(&self, topic: &str) {
        let logs = &mut self.0.borrow_mut().logs;
        logs.retain(|partition, _| &*partition.topic != topic);
    }

    /// Appends a value with a time of its own.
    pub(super) fn append_at(&self, partition: &TopicPartition, time: i64, value: &str) {
        let entry = Some((time, value.to_owned()));
        self.0.borrow_mut().log(partition).entries.push(entry);
    }

    /// Appends a value.
    pub(super) fn append(&self, partition: &TopicPartition, value: &str) {
        self.append_at(partition, 0, value);
    }

    /// Appends something that readers never see.
    pub(super) fn append_mark(&self, partition: &TopicPartition) {
        self.0.borrow_mut().log(partition).entries.push(None);
    }

    /// Deletes what lies before an offset.
    pub(super) fn expire(&self, partition: &TopicPartition, before: i64) {
        let mut topics = self.0.borrow_mut();
        let log = topics.log(partition);
        let expired = usize::try_from(before - log.first).unwrap();
        log.entries.drain(..expired);
        log.first = before;
    }

    pub(super) fn set_away(&self, is_away: bool) {
        self.0.borrow_mut().is_away = is_away;
    }

    pub(super) fn set_committed(&self, partition: &TopicPartition, offset: i64) {
        let committed = &mut self.0.borrow_mut().committed;
        committed.insert(partition.clone(), offset);
    }

    pub(super) fn committed(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.borrow().committed.get(partition).copied()
    }

    /// The values of all records, which are never deleted here.
    pub(super) fn all_values(&self) -> Vec<String> {
        let topics = self.0.borrow();
        let entries = topics.logs.values().flat_map(|log| &log.entries);
        entries.flatten().map(|(_, value)| value.clone()).collect()
    }

    /// The offset behind the last record of each partition.
    pub(super) fn ends(&self) -> BTreeMap<TopicPartition, i64> {
        let topics = self.0.borrow();
        let end = |(partition, log): (&TopicPartition, &Log)| {
            let last = log.entries.iter().rposition(Option::is_some);
            let end = last.map_or(0, |last| log.first + last as i64 + 1);
            (partition.clone(), end)
        };
        topics.logs.iter().map(end).collect()
    }

    /// A new client.
    pub(super) fn client(&self) -> ModelClient {
        ModelClient {
            broker: self.clone(),
            started: Vec::new(),
            is_paused: false,
            pauses: 0,
            expected: 0,
            complaints: Vec::new(),
        }
    }

    /// The broker's answer, if it gives one.
    fn ask<T>(&self, answer: impl FnOnce(&mut Topics) -> T) -> Result<T, ClientFailure> {
        let mut topics = self.0.borrow_mut();
        match topics.is_away {
            true => Err(ClientFailure::Passing("nobody there".to_owned())),
            false => Ok(answer(&mut topics)),
        }
    }
}

impl Topics {
    fn log(&mut self, partition: &TopicPartition) -> &mut Log {
        self.logs.get_mut(partition).unwrap()
    }
}

impl Log {
    fn end(&self) -> i64 {
        self.first + self.entries.len() as i64
    }
}

impl ModelClient {
    /// Whether it holds records of a paused partition that it will fetch again.
    pub(super) fn holds_records(&self) -> bool {
        self.started
            .iter()
            .flatten()
            .any(|reader| reader.holds_records)
    }

    /// It gives the last records of a partition once more, as if it had fetched them before it was told to go on.
    pub(super) fn rewind(&mut self, partition: usize, records: i64) {
        let reader = self.started[partition].as_mut().unwrap();
        reader.offset -= records;
    }
}

impl FetchClient for ModelClient {
    fn list(&mut self, selection: &TopicSelection) -> Result<Listing, ClientFailure> {
        self.broker.ask(|topics| {
            let mut listing = Listing::new();
            if let TopicSelection::Listed(names) = selection {
                let missing = names
                    .iter()
                    .map(|name| (name.clone(), TopicListing::Missing));
                listing.extend(missing);
            }
            for partition in topics.logs.keys() {
                if selection.contains(&partition.topic) {
                    let topic = listing.entry(partition.topic.to_string());
                    let topic = topic.or_insert(TopicListing::Missing);
                    if *topic == TopicListing::Missing {
                        *topic = TopicListing::Partitions(Default::default());
                    }
                    if let TopicListing::Partitions(numbers) = topic {
                        numbers.insert(partition.partition);
                    }
                }
            }
            listing
        })
    }

    fn range(&mut self, partition: &TopicPartition) -> Result<OffsetRange, ClientFailure> {
        self.broker.ask(|topics| {
            let log = topics.log(partition);
            OffsetRange {
                earliest: log.first,
                latest: log.end(),
            }
        })
    }

    fn offset_at(
        &mut self,
        partition: &TopicPartition,
        unix_millis: i64,
    ) -> Result<Option<i64>, ClientFailure> {
        self.broker.ask(|topics| {
            let log = topics.log(partition);
            let is_late = |entry: &Option<(i64, String)>| {
                entry.as_ref().is_some_and(|(time, _)| *time >= unix_millis)
            };
            let index = log.entries.iter().position(is_late)?;
            Some(log.first + index as i64)
        })
    }

    fn committed(&mut self, partition: &TopicPartition) -> Result<Option<i64>, ClientFailure> {
        self.broker
            .ask(|topics| topics.committed.get(partition).copied())
    }

    fn expect(&mut self, partitions: usize) -> Result<(), ClientFailure> {
        assert!(self.started.is_empty());
        self.expected = partitions;
        Ok(())
    }

    fn start(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), ClientFailure> {
        self.started.push(Some(Reader {
            partition: partition.clone(),
            offset,
            reported_end: None,
            holds_records: false,
        }));
        Ok(())
    }

    fn restart(&mut self, partition: usize, offset: i64) -> Result<(), ClientFailure> {
        let reader = self.started[partition].as_mut().unwrap();
        reader.offset = offset;
        reader.reported_end = None;
        Ok(())
    }

    fn stop(&mut self, partition: usize) {
        self.started[partition] = None;
    }

    fn poll(&mut self, partition: usize, chunk: &mut Chunk) -> Polled {
        let mut topics = self.broker.0.borrow_mut();
        let Some(reader) = &mut self.started[partition] else {
            return Polled::Empty;
        };
        reader.holds_records = false;
        if topics.is_away || self.is_paused {
            return Polled::Empty;
        }
        let Some(log) = topics.logs.get_mut(&reader.partition) else {
            return Polled::Missing;
        };
        if !(log.first..=log.end()).contains(&reader.offset) {
            return Polled::OutOfRange;
        }
        while reader.offset < log.end() {
            let offset = reader.offset;
            reader.offset += 1;
            if let Some((time, value)) = &log.entries[usize::try_from(offset - log.first).unwrap()]
            {
                let record = Record {
                    offset,
                    timestamp: Some(*time),
                    key: None,
                    value: Some(value.as_bytes()),
                };
                chunk.push(record, []);
                return Polled::Record(offset);
            }
        }
        if reader.reported_end == Some(log.end()) {
            return Polled::Empty;
        }
        reader.reported_end = Some(log.end());
        Polled::End
    }

    fn poll_events(&mut self) -> Result<()> {
        Ok(())
    }

    fn pause(&mut self) -> Result<(), ClientFailure> {
        self.is_paused = true;
        self.pauses += 1;
        for reader in self.started.iter_mut().flatten() {
            reader.holds_records = true;
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), ClientFailure> {
        self.is_paused = false;
        Ok(())
    }

    fn commit(&mut self, offsets: &[(TopicPartition, i64)]) {
        for (partition, offset) in offsets {
            self.broker.set_committed(partition, *offset);
        }
    }

    fn take_ends(&mut self) -> Vec<(usize, i64)> {
        Vec::new()
    }

    fn note_answer(&mut self) {}

    fn note_passing(&mut self, reason: &str) {
        self.complaints.push(reason.to_owned());
    }
}
