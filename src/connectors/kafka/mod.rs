//! Kafka: the source, and what source and sink share: the client's settings, and what its errors mean.

mod client_events;
mod client_settings;
mod failure;
mod outage;
mod properties;
mod source;
mod variables;

pub use properties::KafkaProperties;
pub use source::{
    AutoOffsetReset, BoundedMode, IsolationLevel, KafkaSource, KafkaSourceConfig, MetadataColumns,
    MetadataField, SourcePeers, StartupMode, Tombstones, TopicOffsets, UnixMillis, ValueFormat,
};
