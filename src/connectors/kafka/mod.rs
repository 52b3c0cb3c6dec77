//! Kafka: the client's settings, which source and sink share, and what its errors mean.

mod client_events;
mod client_settings;
mod failure;
mod outage;
mod properties;
mod sink;
mod variables;

pub use properties::KafkaProperties;
pub use sink::{
    DeliveryGuarantee, KafkaSink, KafkaSinkConfig, KeyFormat, Partitioner, TransactionStep,
    ValueFields,
};
