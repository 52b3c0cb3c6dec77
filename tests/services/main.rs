//! Jobs against real servers: a Kafka broker and an S3 store, which `scripts/services.sh` starts. These tests are ignored
//! unless asked for, since they need the servers; `scripts/test.sh` asks for them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod broker_away;
mod broker_facts;
mod bucket_files;
mod fault_points;
mod kafka_sink;
mod kafka_source;
mod kafka_to_kafka;
mod local_copy;
mod market_lag;
mod named_points;
mod on_s3;
mod ownership;
mod s3_store;
mod secured;
mod support;
