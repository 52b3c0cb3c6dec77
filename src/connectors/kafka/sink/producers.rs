//! The producers of a sink subtask, one for each transactional id that it looks after, and what they do of a transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::deliveries::{Deliveries, ProducerEvents};
use super::marker::Marker;
use super::pending_transaction::PendingTransaction;
use super::sending::{Sent, send};
use super::transaction_writer::{Failure, Outcome, Step};
use super::transactional_id::TransactionalId;
use super::worker::Broker;
use crate::channel::NoWake;
use crate::connectors::kafka::client_events::ClientEvents;
use crate::connectors::kafka::failure::{FailureKind, failure, reason};
use crate::error::{Error, ErrorKind};

/// How long one call waits for the broker. It is tried again, so it bounds how long closing the sink takes.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a full producer is polled before the transaction is given up for now.
const POLLS_MAX: usize = 50;

/// How long each such poll waits.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// How often a topic may be missing before it is taken for one that does not exist: a broker that makes topics of itself
/// takes a moment for it.
const MISSED_MAX: u32 = 6;

/// The partition that markers and the registry are kept for: every topic has it.
const MARKER_PARTITION: i32 = 0;

/// The producers of one sink subtask.
pub(super) struct Producers {
    /// Settings of a producer, without its id.
    producer: ClientConfig,
    /// Settings of a client that reads offsets, without its group.
    consumer: ClientConfig,
    /// What all ids begin with; and the group of the registry.
    base: String,
    /// The topic that the registry is kept for.
    marker_topic: String,
    events: ClientEvents,
    clients: BTreeMap<TransactionalId, Clients>,
    /// How often the topic of the registry was not there.
    missed: u32,
}

/// What belongs to one id. Each is made when it is needed.
struct Clients {
    producer: Option<BaseProducer<ProducerEvents>>,
    /// Reads the marker; its group has the id as its name.
    consumer: Option<BaseConsumer<ClientEvents>>,
    deliveries: Arc<Deliveries>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            producer: None,
            consumer: None,
            deliveries: Arc::new(Deliveries::new(NoWake::shared())),
        }
    }
}

/// Reading offsets of a group without being a member has no events of its own.
impl ConsumerContext for ClientEvents {}

impl Producers {
    pub(super) fn new(
        producer: ClientConfig,
        consumer: ClientConfig,
        base: String,
        marker_topic: String,
        events: ClientEvents,
    ) -> Self {
        Self {
            producer,
            consumer,
            base,
            marker_topic,
            events,
            clients: BTreeMap::new(),
            missed: 0,
        }
    }

    fn try_step(&mut self, id: &TransactionalId, step: &Step) -> Result<Outcome, Failure> {
        match step {
            Step::Wait(_) | Step::Rest => {}
            Step::Discard => drop(self.clients.remove(id)),
            Step::Fence => {
                let producer = self.producer(id)?;
                let fenced = producer.init_transactions(CALL_TIMEOUT);
                self.met(id, "take over the transactional id", fenced)?;
                self.events.connected();
            }
            Step::ReadMarker(topic) => return self.read_marker(id, topic).map(Outcome::Marker),
            Step::Begin => {
                let begun = self.producer(id)?.begin_transaction();
                self.met(id, "begin a transaction", begun)?;
            }
            Step::Write(pending) => self.write(id, pending)?,
            Step::Flush => {
                let flushed = self.producer(id)?.flush(CALL_TIMEOUT);
                self.check_deliveries(id)?;
                self.met(id, "write the records", flushed)?;
            }
            Step::Mark(pending, marker) => self.mark(id, pending, marker)?,
            Step::Commit => {
                let committed = self.producer(id)?.commit_transaction(CALL_TIMEOUT);
                self.check_deliveries(id)?;
                self.met(id, "commit the transaction", committed)?;
                self.events.connected();
            }
            Step::Abort => {
                let aborted = self.producer(id)?.abort_transaction(CALL_TIMEOUT);
                self.met(id, "abort the transaction", aborted)?;
                // What was purged with it is no failure.
                self.take_failure(id);
            }
        }
        Ok(Outcome::Done)
    }

    fn write(&mut self, id: &TransactionalId, pending: &PendingTransaction) -> Result<(), Failure> {
        self.take_failure(id);
        let producer = self.producer(id)?;
        for record in pending.reader() {
            let record = record.map_err(Failure::Refused)?;
            // When its queue is full, polling takes out what the broker has acknowledged.
            let mut polls = 0;
            while send(&record, 0, |message| {
                producer.send(message).map_err(|(error, _)| error)
            })? == Sent::QueueFull
            {
                producer.poll(POLL_TIMEOUT);
                polls += 1;
                if polls == POLLS_MAX {
                    return Err(Failure::Passing);
                }
            }
        }
        Ok(())
    }

    fn mark(
        &mut self,
        id: &TransactionalId,
        pending: &PendingTransaction,
        marker: &Marker,
    ) -> Result<(), Failure> {
        let offset = i64::try_from(pending.checkpoint.0).unwrap_or(i64::MAX);
        let offsets = offsets_of(&pending.marker_topic, offset, &marker.to_string())?;
        let group = self.consumer(id)?.group_metadata().ok_or(Failure::Broken)?;
        let producer = self.producer(id)?;
        let marked = producer.send_offsets_to_transaction(&offsets, &group, CALL_TIMEOUT);
        self.met(id, "mark the transaction", marked)
    }

    fn read_marker(&mut self, id: &TransactionalId, topic: &str) -> Result<Marker, Failure> {
        let consumer = self.consumer(id)?;
        match committed(consumer, topic) {
            Ok(Some((_, metadata))) => metadata.parse().map_err(Failure::Refused),
            Ok(None) => Ok(Marker::default()),
            Err(error) => Err(self.failed(id, "read the marker", &error)),
        }
    }

    fn producer(&mut self, id: &TransactionalId) -> Result<&BaseProducer<ProducerEvents>, Failure> {
        let clients = self.clients.entry(id.clone()).or_default();
        if clients.producer.is_none() {
            let mut config = self.producer.clone();
            config.set("transactional.id", id.to_string());
            let events = ProducerEvents::new(self.events.clone(), Arc::clone(&clients.deliveries));
            let made = config.create_with_context(events);
            clients.producer = Some(made.map_err(|error| Failure::Refused(not_made(&error)))?);
        }
        clients.producer.as_ref().ok_or(Failure::Broken)
    }

    fn consumer(&mut self, id: &TransactionalId) -> Result<&BaseConsumer<ClientEvents>, Failure> {
        let clients = self.clients.entry(id.clone()).or_default();
        if clients.consumer.is_none() {
            let made = consumer_of(&self.consumer, &id.to_string(), &self.events)?;
            clients.consumer = Some(made);
        }
        clients.consumer.as_ref().ok_or(Failure::Broken)
    }

    fn take_failure(&mut self, id: &TransactionalId) -> Option<Error> {
        let clients = self.clients.get(id);
        clients.and_then(|clients| clients.deliveries.take_failure())
    }

    /// A record that the broker takes from nobody is the end; one that got lost on the way goes with the transaction.
    fn check_deliveries(&mut self, id: &TransactionalId) -> Result<(), Failure> {
        match self.take_failure(id) {
            Some(error) if error.kind() != ErrorKind::Environment => Err(Failure::Refused(error)),
            _ => Ok(()),
        }
    }

    fn met<T>(
        &mut self,
        id: &TransactionalId,
        what: &str,
        result: Result<T, KafkaError>,
    ) -> Result<T, Failure> {
        result.map_err(|error| self.failed(id, what, &error))
    }

    /// What an error means for the transaction.
    fn failed(&mut self, id: &TransactionalId, what: &str, error: &KafkaError) -> Failure {
        // Errors of the connection itself come as events, which are only heard by polling.
        if let Some(producer) = self
            .clients
            .get(id)
            .and_then(|clients| clients.producer.as_ref())
        {
            producer.poll(Duration::ZERO);
        }
        if let Some(refusal) = self.events.take_refusal() {
            return Failure::Refused(refusal);
        }
        let kind = FailureKind::of(error);
        let what = format!("{what} of {id}");
        let (is_retriable, needs_abort) = match error {
            KafkaError::Transaction(error) => (error.is_retriable(), error.txn_requires_abort()),
            _ => (false, false),
        };
        match kind {
            FailureKind::Fenced => Failure::Fenced,
            FailureKind::Authentication | FailureKind::Authorization => {
                Failure::Refused(failure(what, error))
            }
            _ if error.rdkafka_error_code()
                == Some(RDKafkaErrorCode::InvalidTransactionTimeout) =>
            {
                Failure::Refused(Error::new(
                    ErrorKind::Configuration,
                    format!(
                        "{what}: the broker does not take transaction.timeout.ms = {}; set at most its \
                         transaction.max.timeout.ms",
                        self.producer
                            .get("transaction.timeout.ms")
                            .unwrap_or("60000")
                    ),
                ))
            }
            _ => {
                self.events.passing(&format!("{what}: {}", reason(error)));
                match kind {
                    _ if needs_abort => Failure::Aborted,
                    _ if is_retriable => Failure::Passing,
                    FailureKind::Passing => Failure::Passing,
                    // A topic can be about to be made by the records themselves.
                    FailureKind::UnknownTopic => Failure::Passing,
                    _ => Failure::Broken,
                }
            }
        }
    }
}

impl Broker for Producers {
    fn registry(&mut self) -> Result<u32, Failure> {
        let consumer = consumer_of(&self.consumer, &self.base, &self.events)?;
        // A topic that the broker makes of itself is made by asking for it.
        let metadata = consumer.fetch_metadata(Some(&self.marker_topic), CALL_TIMEOUT);
        metadata.map_err(|error| self.unregistered("find the topic", &error))?;
        match committed(&consumer, &self.marker_topic) {
            Ok(found) => {
                Ok(found.map_or(0, |(offset, _)| u32::try_from(offset).unwrap_or(u32::MAX)))
            }
            Err(error) => Err(self.unregistered("read the registry", &error)),
        }
    }

    fn register(&mut self, parallelism: u32) -> Result<(), Failure> {
        let consumer = consumer_of(&self.consumer, &self.base, &self.events)?;
        let offsets = offsets_of(&self.marker_topic, i64::from(parallelism), "parallelism")?;
        let registered = consumer.commit(&offsets, CommitMode::Sync);
        registered.map_err(|error| self.unregistered("write the registry", &error))
    }

    fn perform(&mut self, id: &TransactionalId, step: &Step) -> Outcome {
        self.try_step(id, step).unwrap_or_else(Outcome::Failed)
    }

    fn release(&mut self, id: &TransactionalId) {
        self.clients.remove(id);
    }
}

impl Producers {
    fn unregistered(&mut self, what: &str, error: &KafkaError) -> Failure {
        if let Some(refusal) = self.events.take_refusal() {
            return Failure::Refused(refusal);
        }
        let what = format!("{what} {} of the sink {}", self.marker_topic, self.base);
        match FailureKind::of(error) {
            FailureKind::Authentication | FailureKind::Authorization => {
                Failure::Refused(failure(what, error))
            }
            FailureKind::UnknownTopic if self.missed == MISSED_MAX => {
                Failure::Refused(failure(what, error))
            }
            kind => {
                self.missed += u32::from(kind == FailureKind::UnknownTopic);
                self.events.passing(&format!("{what}: {}", reason(error)));
                Failure::Passing
            }
        }
    }
}

fn consumer_of(
    config: &ClientConfig,
    group: &str,
    events: &ClientEvents,
) -> Result<BaseConsumer<ClientEvents>, Failure> {
    let mut config = config.clone();
    config.set("group.id", group);
    let made = config.create_with_context(events.clone());
    made.map_err(|error| Failure::Refused(not_made(&error)))
}

/// The offset that a group has committed for the first partition of `topic`, and its metadata.
fn committed(
    consumer: &BaseConsumer<ClientEvents>,
    topic: &str,
) -> Result<Option<(i64, String)>, KafkaError> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, MARKER_PARTITION);
    let found = consumer.committed_offsets(asked, CALL_TIMEOUT);
    // Errors of the connection itself come as events, which are only heard by polling.
    if found.is_err() {
        let _ = consumer.poll(Duration::ZERO);
    }
    let found = found?;
    let Some(element) = found.find_partition(topic, MARKER_PARTITION) else {
        return Ok(None);
    };
    element.error()?;
    match element.offset() {
        Offset::Offset(offset) => Ok(Some((offset, element.metadata().to_owned()))),
        _ => Ok(None),
    }
}

fn offsets_of(topic: &str, offset: i64, metadata: &str) -> Result<TopicPartitionList, Failure> {
    let mut offsets = TopicPartitionList::new();
    let mut element = offsets.add_partition(topic, MARKER_PARTITION);
    element.set_metadata(metadata);
    let set = element.set_offset(Offset::Offset(offset));
    set.map_err(|error| Failure::Refused(failure("set the marker", &error)))?;
    Ok(offsets)
}

/// The error for settings that librdkafka takes one by one, and not together.
pub(super) fn not_made(error: &KafkaError) -> Error {
    let message = format!(
        "make a kafka client: {}; see the kafka table",
        reason(error)
    );
    Error::new(ErrorKind::Configuration, message)
}
