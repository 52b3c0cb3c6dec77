//! The Kafka sink: exactly once, with the records of a transaction kept in the snapshot until the broker has them.

mod back_off;
mod byte_reader;
mod committer;
mod config;
mod deliveries;
mod epoch_buffer;
mod kafka_sink;
mod marker;
mod pending_transaction;
mod producers;
mod progress;
mod record_encoder;
mod record_log;
mod sending;
mod stream;
mod transaction_writer;
mod transactional_id;
mod worker;

pub use config::{DeliveryGuarantee, KafkaSinkConfig, KeyFormat, Partitioner, ValueFields};
pub use kafka_sink::KafkaSink;
pub use worker::TransactionStep;
