//! A topic of a run's own. It is deleted behind it: the broker keeps what it holds in memory.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// How long the broker may take for an answer.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(60);

pub(crate) const PARTITIONS: i32 = 4;

/// How many keys the events have.
const KEYS: usize = 10_000;

pub(crate) struct Topic {
    pub(crate) broker: String,
    pub(crate) name: String,
}

impl Topic {
    pub(crate) fn create(broker: &str, name: &str) -> Self {
        // The broker can outlive the run.
        let name = format!("{name}-{:016x}", fastrand::Rng::new().u64(..));
        let topic = Self {
            broker: broker.to_owned(),
            name,
        };
        let new = NewTopic::new(&topic.name, PARTITIONS, TopicReplication::Fixed(1));
        let created = runtime().block_on(topic.admin().create_topics([&new], &AdminOptions::new()));
        for answer in created.unwrap() {
            answer.unwrap();
        }
        topic
    }

    /// Fills it with events, each 100 bytes of JSON.
    pub(crate) fn fill(&self, records: usize) {
        let producer: BaseProducer = self.client().create().unwrap();
        for index in 0..records {
            let key = format!("key-{:05}", index % KEYS);
            let mut event = format!(r#"{{"key":"{key}","value":{index},"text":""#);
            let filling = 100 - event.len() - 2;
            event.extend((0..filling).map(|at| char::from(b'a' + ((index + at) % 26) as u8)));
            event.push_str(r#""}"#);
            let partition = (index % KEYS) as i32 % PARTITIONS;
            send(&producer, &self.name, partition, &key, event.as_bytes());
        }
        producer.flush(ANSWER_MAX).unwrap();
    }

    /// Checks that it holds as many records. Marks of transactions have offsets as well.
    pub(crate) fn expect(&self, records: usize) {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let end = |partition| consumer.fetch_watermarks(&self.name, partition, ANSWER_MAX);
        let held: i64 = (0..PARTITIONS)
            .map(|partition| end(partition).unwrap().1)
            .sum();
        assert!(
            held as usize >= records,
            "{held} of {records} records are there"
        );
    }

    /// The settings of every client.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.broker);
        // The broker of the tests ignores what a reader asks for at most.
        client.set("receive.message.max.bytes", "1000000000");
        client
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let names = [self.name.as_str()];
        // What is left of a broken run is the broker's own affair.
        let _ = runtime().block_on(self.admin().delete_topics(&names, &AdminOptions::new()));
    }
}

/// Sends a record, and makes room for it if the queue is full.
pub(crate) fn send(producer: &BaseProducer, topic: &str, partition: i32, key: &str, value: &[u8]) {
    let mut record = BaseRecord::to(topic)
        .partition(partition)
        .key(key)
        .payload(value);
    while let Err((_, refused)) = producer.send(record) {
        producer.poll(Duration::from_millis(1));
        record = refused;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().unwrap()
}
