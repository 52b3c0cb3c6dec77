//! librdkafka's consumer as the fetching of records needs it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

use super::assignment::{Listing, TopicListing};
use super::chunk::{Chunk, Record, WantedParts};
use super::consumer_events::ConsumerEvents;
use super::fetch_ahead;
use super::fetch_client::{ClientFailure, FetchClient, OffsetRange, Polled};
use super::fetch_queue::FetchQueue;
use super::topic_partition::TopicPartition;
use super::topic_selection::TopicSelection;
use crate::connectors::kafka::failure::{FailureKind, failure, reason};
use crate::error::Result;

/// How long a question to the broker may take. The thread hears nothing else meanwhile, so it is asked again rather than
/// waited for longer: librdkafka goes on connecting.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// How many events of the client are heeded between two rounds of fetching.
const EVENTS_A_TURN: usize = 16;

/// A consumer that reads partitions it is told to read, each through a queue of its own: so it is known which of them an
/// end or an error belongs to, and one that is slow to be worked off does not stand in the way of the others.
pub(super) struct KafkaConsumer {
    consumer: Arc<BaseConsumer<ConsumerEvents>>,
    /// By the partitions' numbers; no queue for those that were stopped.
    partitions: Vec<(TopicPartition, Option<PartitionQueue<ConsumerEvents>>)>,
    wanted: WantedParts,
    queue: Arc<FetchQueue>,
    /// The settings of a consumer of any number of partitions.
    config: ClientConfig,
    /// How many partitions it was told to expect.
    expected: usize,
}

impl KafkaConsumer {
    /// A consumer that reads nothing yet. It tells `queue` when records arrive.
    pub(super) fn connect(
        config: ClientConfig,
        events: ConsumerEvents,
        wanted: WantedParts,
        queue: Arc<FetchQueue>,
    ) -> Result<Self> {
        let expected = 0;
        let consumer = made(&fetch_ahead::bounded(&config, expected), events, &queue)?;
        Ok(Self {
            consumer: Arc::new(consumer),
            partitions: Vec::new(),
            wanted,
            queue,
            config,
            expected,
        })
    }

    /// The partitions that are being read.
    fn reading(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, queue) in &self.partitions {
            if queue.is_some() {
                list.add_partition(&partition.topic, partition.partition);
            }
        }
        list
    }
}

impl FetchClient for KafkaConsumer {
    fn list(&mut self, selection: &TopicSelection) -> Result<Listing, ClientFailure> {
        let what = "list the topics of Kafka";
        let mut listing = Listing::new();
        let mut list = |topic: Option<&str>| {
            let metadata = self.consumer.fetch_metadata(topic, ANSWER_MAX);
            let metadata = metadata.map_err(|error| client_failure(what, &error))?;
            for topic in metadata.topics() {
                if selection.contains(topic.name()) {
                    listing.insert(topic.name().to_owned(), topic_listing(topic)?);
                }
            }
            Ok(())
        };
        match selection {
            TopicSelection::Listed(topics) => {
                topics.iter().try_for_each(|topic| list(Some(topic)))?;
            }
            TopicSelection::Pattern(_) => list(None)?,
        }
        Ok(listing)
    }

    fn range(&mut self, partition: &TopicPartition) -> Result<OffsetRange, ClientFailure> {
        let (earliest, latest) = self
            .consumer
            .fetch_watermarks(&partition.topic, partition.partition, ANSWER_MAX)
            .map_err(|error| {
                client_failure(&format!("ask for the offsets of {partition}"), &error)
            })?;
        Ok(OffsetRange { earliest, latest })
    }

    fn offset_at(
        &mut self,
        partition: &TopicPartition,
        unix_millis: i64,
    ) -> Result<Option<i64>, ClientFailure> {
        let what = format!("ask {partition} for the offset of a time");
        let offsets = one(partition, unix_millis)
            .and_then(|times| self.consumer.offsets_for_times(times, ANSWER_MAX));
        offset_of(&what, partition, offsets)
    }

    fn committed(&mut self, partition: &TopicPartition) -> Result<Option<i64>, ClientFailure> {
        let what = format!("ask for the group's offset of {partition}");
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition);
        let offsets = self.consumer.committed_offsets(list, ANSWER_MAX);
        offset_of(&what, partition, offsets)
    }

    fn expect(&mut self, partitions: usize) -> Result<(), ClientFailure> {
        let before = fetch_ahead::bounded(&self.config, self.expected);
        let config = fetch_ahead::bounded(&self.config, partitions);
        if !fetch_ahead::are_same(&before, &config) {
            // The bounds of a consumer are settled when it is made.
            let events = ConsumerEvents::clone(self.consumer.context());
            let consumer = made(&config, events, &self.queue).map_err(ClientFailure::Final)?;
            self.consumer = Arc::new(consumer);
        }
        self.expected = partitions;
        Ok(())
    }

    fn start(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), ClientFailure> {
        let what = format!("begin to read {partition} at offset {offset}");
        let start = one(partition, offset).map_err(|error| client_failure(&what, &error))?;
        // The queue is taken before the first record can come, so that none goes to the queue of all.
        let queue = self
            .consumer
            .split_partition_queue(&partition.topic, partition.partition);
        let mut queue = queue.ok_or_else(|| {
            let error = KafkaError::Global(RDKafkaErrorCode::UnknownPartition);
            client_failure(&what, &error)
        })?;
        let arrivals = Arc::clone(&self.queue);
        queue.set_nonempty_callback(move || arrivals.arrive());
        self.consumer
            .incremental_assign(&start)
            .map_err(|error| client_failure(&what, &error))?;
        self.partitions.push((partition.clone(), Some(queue)));
        Ok(())
    }

    fn restart(&mut self, partition: usize, offset: i64) -> Result<(), ClientFailure> {
        let (partition, _) = &self.partitions[partition];
        // A seek would do nothing here: librdkafka has stopped to read a partition whose offset is out of range.
        one(partition, offset)
            .and_then(|start| {
                self.consumer.incremental_unassign(&start)?;
                self.consumer.incremental_assign(&start)
            })
            .map_err(|error| {
                client_failure(&format!("go on in {partition} at offset {offset}"), &error)
            })
    }

    fn stop(&mut self, partition: usize) {
        let (partition, queue) = &mut self.partitions[partition];
        *queue = None;
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            self.note_passing(&reason(&error));
        }
    }

    fn poll(&mut self, partition: usize, chunk: &mut Chunk) -> Polled {
        let (partition, queue) = &self.partitions[partition];
        let Some(polled) = queue.as_ref().and_then(|queue| queue.poll(Duration::ZERO)) else {
            return Polled::Empty;
        };
        match polled {
            Ok(message) => {
                push(&message, self.wanted, chunk);
                Polled::Record(message.offset())
            }
            Err(KafkaError::PartitionEOF(_)) => Polled::End,
            Err(error) => meaning_of(partition, &error),
        }
    }

    fn poll_events(&mut self) -> Result<()> {
        // Records come through the queues of their partitions, so all that comes here is for the consumer's ear. A call
        // that had something for it looks the same as one that had not.
        for _ in 0..EVENTS_A_TURN {
            if let Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) =
                self.consumer.poll(Duration::ZERO)
            {
                return Err(failure("read from Kafka", &error));
            }
        }
        match self.consumer.context().client().take_refusal() {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    fn pause(&mut self) -> Result<(), ClientFailure> {
        let paused = self.consumer.pause(&self.reading());
        paused.map_err(|error| client_failure("pause partitions", &error))
    }

    fn resume(&mut self) -> Result<(), ClientFailure> {
        let resumed = self.consumer.resume(&self.reading());
        resumed.map_err(|error| client_failure("resume partitions", &error))
    }

    fn commit(&mut self, offsets: &[(TopicPartition, i64)]) {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        let added = offsets.iter().try_for_each(|(partition, offset)| {
            let offset = Offset::Offset(*offset);
            list.add_partition_offset(&partition.topic, partition.partition, offset)
        });
        if let Err(error) = added.and_then(|()| self.consumer.commit(&list, CommitMode::Async)) {
            let events = self.consumer.context().client();
            events.commit_failed(&reason(&error));
        }
    }

    fn take_ends(&mut self) -> Vec<(usize, i64)> {
        let ends = self.consumer.context().take_ends();
        if ends.is_empty() {
            return Vec::new();
        }
        let partitions = self.partitions.iter().enumerate();
        partitions
            .filter_map(|(number, (partition, _))| Some((number, *ends.get(partition)?)))
            .collect()
    }

    fn note_answer(&mut self) {
        self.consumer.context().client().connected();
    }

    fn note_passing(&mut self, reason: &str) {
        self.consumer.context().client().passing(reason);
    }
}

/// A consumer that tells `queue` of its events.
fn made(
    config: &ClientConfig,
    events: ConsumerEvents,
    queue: &Arc<FetchQueue>,
) -> Result<BaseConsumer<ConsumerEvents>> {
    let mut consumer = BaseConsumer::from_config_and_context(config, events)
        .map_err(|error| failure("make a Kafka consumer", &error))?;
    let arrivals = Arc::clone(queue);
    consumer.set_nonempty_callback(move || arrivals.arrive());
    Ok(consumer)
}

fn push(message: &BorrowedMessage<'_>, wanted: WantedParts, chunk: &mut Chunk) {
    let record = Record {
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().filter(|_| wanted.key),
        value: message.payload(),
    };
    let headers = message.headers().filter(|_| wanted.headers);
    let headers = headers.into_iter().flat_map(|headers| headers.iter());
    chunk.push(record, headers.map(|header| (header.key, header.value)));
}

fn meaning_of(partition: &TopicPartition, error: &KafkaError) -> Polled {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => return Polled::OutOfRange,
        // A single broken connection is no news; when no broker is left, the consumer's ear is told.
        Some(Code::BrokerTransportFailure) => return Polled::Empty,
        _ => {}
    }
    match FailureKind::of(error) {
        FailureKind::Passing => Polled::Passing(reason(error)),
        FailureKind::UnknownTopic => Polled::Missing,
        _ => Polled::Failed(failure(format_args!("read {partition}"), error)),
    }
}

fn topic_listing(topic: &MetadataTopic) -> Result<TopicListing, ClientFailure> {
    let Some(error) = topic.error() else {
        let partitions = topic.partitions().iter();
        return Ok(TopicListing::Partitions(
            partitions.map(|partition| partition.id()).collect(),
        ));
    };
    let error = KafkaError::MetadataFetch(error.into());
    match FailureKind::of(&error) {
        FailureKind::UnknownTopic => Ok(TopicListing::Missing),
        FailureKind::Passing => Ok(TopicListing::Unavailable),
        _ => {
            let what = format!("read topic \"{}\"", topic.name());
            Err(ClientFailure::Final(failure(what, &error)))
        }
    }
}

/// A list of one partition with an offset, or with a time in its place.
fn one(partition: &TopicPartition, offset: i64) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    let offset = Offset::Offset(offset);
    list.add_partition_offset(&partition.topic, partition.partition, offset)?;
    Ok(list)
}

/// The offset that the broker has answered for a partition, if it is one.
fn offset_of(
    what: &str,
    partition: &TopicPartition,
    answered: Result<TopicPartitionList, KafkaError>,
) -> Result<Option<i64>, ClientFailure> {
    let answered = answered.map_err(|error| client_failure(what, &error))?;
    let Some(answer) = answered.find_partition(&partition.topic, partition.partition) else {
        return Ok(None);
    };
    answer
        .error()
        .map_err(|error| client_failure(what, &error))?;
    match answer.offset() {
        Offset::Offset(offset) => Ok(Some(offset)),
        _ => Ok(None),
    }
}

fn client_failure(what: &str, error: &KafkaError) -> ClientFailure {
    match FailureKind::of(error) {
        FailureKind::Passing => ClientFailure::Passing(format!("{what}: {}", reason(error))),
        _ => ClientFailure::Final(failure(what, error)),
    }
}
