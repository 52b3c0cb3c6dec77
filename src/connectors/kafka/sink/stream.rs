//! Records that go out at once, for sinks that promise less than exactly once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{Producer, ThreadedProducer};

use super::deliveries::{Deliveries, Epoch, ProducerEvents};
use super::producers::not_made;
use super::record_log::{Record, RecordLog, RecordReader};
use super::sending::{Sent, send};
use super::transaction_writer::Failure;
use crate::channel::Wake;
use crate::connectors::kafka::client_events::ClientEvents;
use crate::error::{Error, ErrorKind, Result};
use crate::operator::BackgroundWork;

/// How many records wait in the producer before the sink is full. Its own queue has room for twice as many unless it is set
/// otherwise, and a batch comes as long as there is any room.
const IN_FLIGHT_MAX: i32 = 50_000;

/// How long the last records may take when the sink is closed by a failure elsewhere; they are written again.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

/// Writes records at once.
pub(super) struct Stream {
    producer: ThreadedProducer<ProducerEvents>,
    deliveries: Arc<Deliveries>,
    /// What has come since the last barrier belongs to this epoch.
    epoch: Epoch,
    /// Records that the producer had no room for, by their epochs.
    overflow: VecDeque<(Epoch, RecordLog)>,
}

impl Stream {
    /// A producer with these settings.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when librdkafka refuses them.
    pub(super) fn new(
        config: &ClientConfig,
        events: ClientEvents,
        wake: Arc<dyn Wake>,
    ) -> Result<Self> {
        let deliveries = Arc::new(Deliveries::new(wake));
        let events = ProducerEvents::new(events, Arc::clone(&deliveries));
        let producer = config.create_with_context(events);
        Ok(Self {
            producer: producer.map_err(|error| not_made(&error))?,
            deliveries,
            epoch: 0,
            overflow: VecDeque::new(),
        })
    }

    /// Hands a record to the producer, or keeps it until there is room.
    ///
    /// # Errors
    /// When the broker takes it from nobody, or one before it did not arrive.
    pub(super) fn write(&mut self, record: &Record<'_>) -> Result<()> {
        self.deliveries.sending(self.epoch, 1);
        self.write_of(self.epoch, record)
    }

    /// Whether more records may come.
    ///
    /// # Errors
    /// As for [`Stream::write`].
    pub(super) fn has_room(&mut self) -> Result<bool> {
        // Before the look at the producer: a record that arrives between the two wakes the subtask.
        self.deliveries.await_room();
        for (epoch, log) in std::mem::take(&mut self.overflow) {
            for record in RecordReader::new(&log.into_bytes()) {
                self.write_of(epoch, &record?)?;
            }
        }
        Ok(self.overflow.is_empty() && self.producer.in_flight_count() < IN_FLIGHT_MAX)
    }

    /// Hands a record of an epoch to the producer, or keeps it behind all others that wait.
    fn write_of(&mut self, epoch: Epoch, record: &Record<'_>) -> Result<()> {
        if self.overflow.is_empty() && self.hand_over(epoch, record)? == Sent::Handed {
            return Ok(());
        }
        match self.overflow.back_mut() {
            Some((of, log)) if *of == epoch => log.push(record),
            _ => {
                let mut log = RecordLog::default();
                log.push(record)?;
                self.overflow.push_back((epoch, log));
                Ok(())
            }
        }
    }

    /// What a record did not arrive for, if one did not.
    ///
    /// # Errors
    /// That.
    pub(super) fn check(&self) -> Result<()> {
        self.deliveries.take_failure().map_or(Ok(()), Err)
    }

    /// The barrier: gives what waits until the broker has all records before it.
    pub(super) fn seal(&mut self) -> BackgroundWork {
        let epoch = self.epoch;
        self.epoch += 1;
        let deliveries = Arc::clone(&self.deliveries);
        Box::new(move || deliveries.wait_for(epoch))
    }

    fn hand_over(&self, epoch: Epoch, record: &Record<'_>) -> Result<Sent> {
        let sent = send(record, epoch, |message| {
            self.producer.send(message).map_err(|(error, _)| error)
        });
        sent.map_err(|failure| match failure {
            Failure::Refused(error) => error,
            _ => {
                let message = "the kafka producer takes no more records; see what it said before";
                Error::new(ErrorKind::Environment, message)
            }
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.deliveries.close();
        // What has not arrived by then is in no checkpoint.
        let _ = self.producer.flush(CLOSE_TIMEOUT);
    }
}
