//! Hands one record to a producer.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;

use super::deliveries::{Epoch, describe, refuses};
use super::record_log::Record;
use super::transaction_writer::Failure;
use crate::connectors::kafka::failure::{FailureKind, failure};

/// A record as rdkafka takes it.
pub(super) type Message<'a> = BaseRecord<'a, [u8], [u8], Epoch>;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The producer has it.
    Handed,
    /// The producer has no room: something must arrive first.
    QueueFull,
}

/// Hands a record to a producer, which copies it.
pub(super) fn send<'a>(
    record: &Record<'a>,
    epoch: Epoch,
    hand_over: impl FnOnce(Message<'a>) -> Result<(), KafkaError>,
) -> Result<Sent, Failure> {
    let mut message: Message<'a> = BaseRecord::with_opaque_to(record.topic, epoch);
    message.partition = record.partition;
    message.timestamp = record.timestamp;
    message.key = record.key;
    message.payload = record.value;
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let insert = |headers: OwnedHeaders, (key, value): &(&str, Option<&[u8]>)| {
            headers.insert(Header { key, value: *value })
        };
        message.headers = Some(record.headers.iter().fold(headers, insert));
    }
    match hand_over(message) {
        Ok(()) => Ok(Sent::Handed),
        Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => Ok(Sent::QueueFull),
        Err(error) if refuses(&error) => Err(Failure::Refused(failure(
            describe(record.topic, record.key),
            &error,
        ))),
        Err(error) => Err(match FailureKind::of(&error) {
            FailureKind::Fenced => Failure::Fenced,
            // In a transaction that must be aborted it takes no record, and does not say so in particular.
            _ => Failure::Aborted,
        }),
    }
}
