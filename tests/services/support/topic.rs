//! A topic of a test's own.

use std::ops::Range;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::kafka_address;

/// How long the broker may take for an answer. It is never reached unless the broker hangs.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(40);

/// A topic that no other test knows.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) partitions: i32,
}

/// A message as it lies in a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

impl Topic {
    /// Makes a topic whose name begins with `name`.
    pub(crate) fn create(name: &str, partitions: i32) -> Self {
        // Servers can outlive a test run, so the name must be another one each time. No test depends on it.
        let name = format!("{name}-{:016x}", fastrand::Rng::new().u64(..));
        let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
        let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_MAX));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let answers = runtime.block_on(admin.create_topics([&new], &options));
        for answer in answers.unwrap() {
            answer.unwrap();
        }
        Self { name, partitions }
    }

    /// Adds partitions until there are this many.
    pub(crate) fn add_partitions(&mut self, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
        let count = usize::try_from(partitions).unwrap();
        let new = NewPartitions::new(&self.name, count);
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_MAX));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let answers = runtime.block_on(admin.create_partitions([&new], &options));
        for answer in answers.unwrap() {
            answer.unwrap();
        }
        self.partitions = partitions;
    }

    /// Deletes the messages of a partition before an offset, as if their time was over.
    pub(crate) fn delete_before(&self, partition: i32, offset: i64) {
        let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(&self.name, partition, Offset::Offset(offset))
            .unwrap();
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_MAX));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let answer = runtime.block_on(admin.delete_records(&before, &options));
        for partition in answer.unwrap().elements() {
            partition.error().unwrap();
        }
    }

    /// Writes messages, each a partition, a key and a value, in this order.
    pub(crate) fn write<'a>(&self, messages: impl IntoIterator<Item = (i32, &'a str, &'a str)>) {
        let mut all = Some(messages.into_iter().collect());
        self.write_in_pieces(|| all.take().unwrap_or_default());
    }

    /// Writes messages that come piece by piece, until one is empty.
    pub(crate) fn write_in_pieces<'a>(
        &self,
        mut next: impl FnMut() -> Vec<(i32, &'a str, &'a str)>,
    ) {
        let mut client = client();
        client.set("enable.idempotence", "true");
        let producer: BaseProducer = client.create().unwrap();
        loop {
            let messages = next();
            if messages.is_empty() {
                break;
            }
            self.write_with(&producer, messages);
            producer.poll(Duration::ZERO);
        }
        producer.flush(ANSWER_MAX).unwrap();
    }

    /// Writes messages through a producer of the test's own, which may be in a transaction. Waits for none.
    pub(crate) fn write_with<'a>(
        &self,
        producer: &BaseProducer,
        messages: impl IntoIterator<Item = (i32, &'a str, &'a str)>,
    ) {
        for (partition, key, value) in messages {
            let record = BaseRecord::to(&self.name).partition(partition);
            let mut record = record.key(key).payload(value);
            // A full queue is emptied by what the broker answers.
            while let Err((error, refused)) = producer.send(record) {
                assert_eq!(
                    error.rdkafka_error_code(),
                    Some(rdkafka::types::RDKafkaErrorCode::QueueFull)
                );
                producer.poll(Duration::from_millis(10));
                record = refused;
            }
        }
    }

    /// All messages that a reader who asks for committed ones sees, in the order of partition and offset. Fails when
    /// something is hidden behind an open transaction: then such a reader does not reach the end.
    pub(crate) fn committed(&self) -> Vec<Message> {
        for partition in 0..self.partitions {
            assert_eq!(
                self.end(partition, "read_committed"),
                self.end(partition, "read_uncommitted"),
                "{}/{partition}: a transaction was left open",
                self.name
            );
        }
        self.read_all(0..self.partitions, "read_committed")
    }

    /// All messages of a partition up to where a reader with this level of isolation gets.
    pub(crate) fn read(&self, partition: i32, isolation: &str) -> Vec<Message> {
        self.read_all(partition..partition + 1, isolation)
    }

    fn read_all(&self, partitions: Range<i32>, isolation: &str) -> Vec<Message> {
        let mut client = client();
        client.set("isolation.level", isolation);
        client.set("enable.partition.eof", "true");
        client.set("group.id", "never-committed");
        client.set("enable.auto.commit", "false");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut from = TopicPartitionList::new();
        for partition in partitions.clone() {
            from.add_partition_offset(&self.name, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&from).unwrap();
        let mut messages = Vec::new();
        let mut left = partitions.len();
        while left > 0 {
            match consumer.poll(ANSWER_MAX) {
                Some(Ok(message)) => {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    messages.push(Message {
                        partition: message.partition(),
                        offset: message.offset(),
                        key: message.key().map(text),
                        value: message.payload().map(text),
                    });
                }
                Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Err(error)) => panic!("{}: {error}", self.name),
                None => panic!("{}: no answer", self.name),
            }
        }
        // Between partitions the order is a matter of chance, within one it is the broker's.
        messages.sort_by_key(|message| message.partition);
        assert!(
            messages.is_sorted_by_key(|message| (message.partition, message.offset)),
            "{}: out of order",
            self.name
        );
        messages
    }

    /// The offset behind all that a reader with this level of isolation can get to, marks of transactions included.
    fn end(&self, partition: i32, isolation: &str) -> i64 {
        let mut client = client();
        client.set("isolation.level", isolation);
        let consumer: BaseConsumer = client.create().unwrap();
        let ends = consumer.fetch_watermarks(&self.name, partition, ANSWER_MAX);
        ends.unwrap().1
    }
}

/// The settings of every client.
pub(crate) fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", kafka_address());
    // The broker ignores what a reader asks for at most, and may send more than the default allows.
    client.set("receive.message.max.bytes", "500000000");
    client
}

/// A producer of transactions at this broker, which has fenced whoever had the same id before.
pub(crate) fn transactional(broker: &str, id: &str) -> BaseProducer {
    let mut client = client();
    client.set("bootstrap.servers", broker);
    client.set("transactional.id", id);
    let producer: BaseProducer = client.create().unwrap();
    producer.init_transactions(ANSWER_MAX).unwrap();
    producer
}
