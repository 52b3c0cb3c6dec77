//! The Kafka source: which partitions a subtask reads, the thread that fetches them, and the rows made of them.

mod assignment;
mod chunk;
mod config;
mod consumer;
mod consumer_events;
mod csv_fields;
mod decoder;
mod fetch_ahead;
mod fetch_client;
mod fetch_queue;
mod fetch_thread;
mod fetcher;
mod item;
mod metadata_columns;
#[cfg(test)]
mod model_broker;
mod offsets;
mod partition_watermarks;
mod peers;
mod positions;
mod source_operator;
mod start;
mod topic_partition;
mod topic_selection;

pub use config::{IsolationLevel, KafkaSourceConfig, Tombstones, ValueFormat};
pub use metadata_columns::{MetadataColumns, MetadataField};
pub use offsets::{AutoOffsetReset, BoundedMode, StartupMode, TopicOffsets, UnixMillis};
pub use peers::SourcePeers;
pub use source_operator::KafkaSource;
