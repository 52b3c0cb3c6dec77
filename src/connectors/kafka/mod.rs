//! Kafka: the client's settings, which source and sink share, and what its errors mean.

#![expect(
    dead_code,
    reason = "the settings stand before the source and the sink that they are for"
)]

mod client_events;
mod client_settings;
mod failure;
mod outage;
mod properties;
mod sink;
mod variables;

pub use properties::KafkaProperties;
