//! Kafka: source and sink, and what both share: the client's settings, and what its errors mean.

mod client_events;
mod client_settings;
mod failure;
mod outage;
mod properties;
mod sink;
mod source;
mod variables;

pub use properties::KafkaProperties;
pub use sink::{
    DeliveryGuarantee, KafkaSink, KafkaSinkConfig, KeyFormat, Partitioner, TransactionStep,
    ValueFields,
};
pub use source::{
    AutoOffsetReset, BoundedMode, IsolationLevel, KafkaSource, KafkaSourceConfig, MetadataColumns,
    MetadataField, SourcePeers, StartupMode, Tombstones, TopicOffsets, UnixMillis, ValueFormat,
};
