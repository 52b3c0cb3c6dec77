//! What becomes of records that were handed to a producer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::{ClientContext, Message};

use crate::channel::Wake;
use crate::connectors::kafka::client_events::ClientEvents;
use crate::connectors::kafka::failure::{FailureKind, failure, reason};
use crate::error::{Error, ErrorKind, Result};

/// How much of a key an error message shows.
const KEY_CHARS_MAX: usize = 100;

/// Which records: those that were handed over between two barriers.
pub(super) type Epoch = usize;

/// What has been heard of the records of a producer.
pub(super) struct Deliveries {
    heard: Mutex<Heard>,
    changed: Condvar,
    /// Makes the subtask look for room.
    wake: Arc<dyn Wake>,
    /// Whether the subtask waits for room.
    is_awaited: AtomicBool,
}

#[derive(Debug, Default)]
struct Heard {
    /// How many records of each epoch the broker has not acknowledged.
    outstanding: BTreeMap<Epoch, u64>,
    /// The first record that did not arrive, and never will.
    failure: Option<Error>,
    is_closed: bool,
}

/// The ear of one producer.
pub(super) struct ProducerEvents {
    events: ClientEvents,
    deliveries: Arc<Deliveries>,
}

impl Deliveries {
    pub(super) fn new(wake: Arc<dyn Wake>) -> Self {
        Self {
            heard: Mutex::default(),
            changed: Condvar::new(),
            wake,
            is_awaited: AtomicBool::new(false),
        }
    }

    /// So many records of an epoch are on their way.
    pub(super) fn sending(&self, epoch: Epoch, records: u64) {
        *self.lock().outstanding.entry(epoch).or_default() += records;
    }

    /// The subtask has no room, and is to be woken by the next record that arrives.
    pub(super) fn await_room(&self) {
        self.is_awaited.store(true, Ordering::SeqCst);
    }

    /// Takes out the failure of a record, if there is one.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    /// Waits until the broker has all records up to those of `epoch`.
    ///
    /// # Errors
    /// When one of them did not arrive, or the sink was closed meanwhile.
    pub(super) fn wait_for(&self, epoch: Epoch) -> Result<()> {
        let goes_on = |heard: &mut Heard| {
            heard.failure.is_none()
                && !heard.is_closed
                && heard.outstanding.range(..=epoch).next().is_some()
        };
        let heard = self.changed.wait_while(self.lock(), goes_on);
        let mut heard = heard.unwrap_or_else(PoisonError::into_inner);
        match heard.failure.take() {
            Some(failure) => Err(failure),
            None if heard.outstanding.range(..=epoch).next().is_none() => Ok(()),
            None => {
                let message = "the job ended before the broker had all records of the kafka sink";
                Err(Error::new(ErrorKind::Environment, message))
            }
        }
    }

    /// The subtask is gone: nobody waits for anything any more.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// A record has arrived, or never will.
    fn heard(&self, epoch: Epoch, failure: Option<Error>) {
        let mut heard = self.lock();
        if let Some(outstanding) = heard.outstanding.get_mut(&epoch) {
            *outstanding = outstanding.saturating_sub(1);
            if *outstanding == 0 {
                heard.outstanding.remove(&epoch);
            }
        }
        if let Some(failure) = failure {
            heard.failure.get_or_insert(failure);
        }
        drop(heard);
        self.changed.notify_all();
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            self.wake.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        // Nothing in here is left half done by a panic.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProducerEvents {
    pub(super) fn new(events: ClientEvents, deliveries: Arc<Deliveries>) -> Self {
        Self { events, deliveries }
    }
}

impl ClientContext for ProducerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.events.log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.events.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.events.error(error, reason);
    }
}

impl ProducerContext for ProducerEvents {
    type DeliveryOpaque = Epoch;

    fn delivery(&self, result: &DeliveryResult<'_>, epoch: Epoch) {
        let failure = result.as_ref().err().map(|(error, message)| {
            let record = describe(message.topic(), message.key());
            if refuses(error) {
                failure(record, error)
            } else {
                let message = format!("{record}: {}", reason(error));
                Error::new(ErrorKind::Environment, message)
            }
        });
        self.deliveries.heard(epoch, failure);
    }
}

/// Whether the broker will never take the record.
pub(super) fn refuses(error: &KafkaError) -> bool {
    matches!(
        FailureKind::of(error),
        FailureKind::TooLarge | FailureKind::Authorization | FailureKind::UnknownTopic
    )
}

/// What an error says about a record.
pub(super) fn describe(topic: &str, key: Option<&[u8]>) -> String {
    let Some(key) = key else {
        return format!("write a record without a key to topic {topic}");
    };
    let key = String::from_utf8_lossy(key);
    let key: String = key.chars().take(KEY_CHARS_MAX).collect();
    format!("write the record with the key {key:?} to topic {topic}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::NoWake;

    #[test]
    fn an_epoch_is_waited_for_with_those_before_it_and_not_with_those_after() {
        let deliveries = Deliveries::new(NoWake::shared());
        deliveries.sending(1, 2);
        deliveries.sending(2, 1);
        deliveries.heard(1, None);
        deliveries.heard(1, None);
        deliveries.wait_for(1).unwrap();
        deliveries.close();
        let error = deliveries.wait_for(2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment);
        deliveries.heard(2, None);
        deliveries.wait_for(2).unwrap();
    }

    #[test]
    fn a_record_that_did_not_arrive_is_an_error_for_whoever_waits() {
        let deliveries = Deliveries::new(NoWake::shared());
        deliveries.sending(1, 1);
        deliveries.heard(1, Some(Error::new(ErrorKind::Data, "too large")));
        let error = deliveries.wait_for(1).unwrap_err();
        assert_eq!(error.to_string(), "too large");
    }

    #[test]
    fn a_long_key_is_cut_and_one_that_is_no_text_is_shown_as_well_as_can_be() {
        let key = "k".repeat(1000);
        let shown = describe("t", Some(key.as_bytes()));
        assert!(shown.len() < 200, "{shown}");
        assert!(describe("t", Some(&[0xff])).contains('\u{fffd}'));
        assert!(describe("t", None).contains("without a key"));
    }
}
