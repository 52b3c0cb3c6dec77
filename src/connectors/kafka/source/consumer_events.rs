//! What a consumer says of its own accord.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Statistics, TopicPartitionList};

use super::topic_partition::TopicPartition;
use crate::connectors::kafka::client_events::ClientEvents;
use crate::connectors::kafka::failure::reason;

/// The ear of one consumer.
#[derive(Clone)]
pub(super) struct ConsumerEvents {
    client: ClientEvents,
    /// The offsets after the last records of partitions.
    ends: Arc<Mutex<BTreeMap<TopicPartition, i64>>>,
}

impl ConsumerEvents {
    /// The ear of a consumer.
    pub(super) fn new(client: ClientEvents) -> Self {
        Self {
            client,
            ends: Arc::default(),
        }
    }

    /// What clients of all kinds say.
    pub(super) fn client(&self) -> &ClientEvents {
        &self.client
    }

    /// The offsets after the last records that readers may see, since this was last asked.
    pub(super) fn take_ends(&self) -> BTreeMap<TopicPartition, i64> {
        std::mem::take(&mut *self.ends.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for ConsumerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.client.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Who has read all there is has no trouble with the broker.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.client.error(error, reason);
        }
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, statistics) in statistics.topics {
            let topic: Arc<str> = topic.into();
            for (partition, statistics) in statistics.partitions {
                // The last stable offset is told only to readers of committed records.
                let end = match statistics.ls_offset {
                    0.. => statistics.ls_offset,
                    _ => statistics.hi_offset,
                };
                // It is negative as long as it is not known, and so is the number that stands for no partition.
                if end >= 0 && partition >= 0 {
                    let topic = Arc::clone(&topic);
                    ends.insert(TopicPartition { topic, partition }, end);
                }
            }
        }
    }
}

impl ConsumerContext for ConsumerEvents {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            self.client.commit_failed(&reason(&error));
        }
    }
}
