//! The Kafka sink.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::Schema;

use super::committer::Committer;
use super::config::{DeliveryGuarantee, KafkaSinkConfig};
use super::epoch_buffer::EpochBuffer;
use super::pending_transaction::PendingTransaction;
use super::producers::Producers;
use super::progress::Progress;
use super::record_encoder::RecordEncoder;
use super::stream::Stream;
use super::transactional_id::Share;
use super::worker::{Observer, TransactionStep, Worker};
use crate::connectors::kafka::client_events::ClientEvents;
use crate::connectors::kafka::variables::process_environment;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId, OperatorId, SharedClock};
use crate::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};
use crate::state::OperatorListState;
use crate::telemetry::{Metric, set_gauge};

/// The operator state that transactions wait in. Every subtask is given those of all, and takes those whose ids it looks
/// after.
const TRANSACTIONS: &str = "transactions";

/// Writes rows to Kafka topics; unless told otherwise exactly once.
///
/// Records wait in memory and in the snapshots until their checkpoint is complete. Only then are they written, in one
/// transaction for each subtask and checkpoint, so that no transaction is open for longer than that takes. A restore writes
/// again what the broker does not have, and only that.
///
/// ```
/// use floodmark::connectors::{KafkaSink, KafkaSinkConfig};
///
/// let config: KafkaSinkConfig = toml::from_str(
///     "brokers = 'localhost:9092'
///      topic = 'totals'
///      key_fields = ['account']
///      kafka.compression.type = 'zstd'",
/// )?;
/// let sink = KafkaSink::new(config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KafkaSink {
    config: KafkaSinkConfig,
    encoder: RecordEncoder,
    observer: Option<Observer>,
    opened: Option<OpenedSink>,
}

struct OpenedSink {
    operator: OperatorId,
    subtask: usize,
    clock: SharedClock,
    buffer: EpochBuffer,
    transactions: OperatorListState<Vec<u8>>,
    progress: Arc<Progress>,
    worker: Arc<Mutex<Worker>>,
    /// Where records go that nobody is to see only once.
    stream: Option<Stream>,
    /// Why no more records can go there; for the next call that can fail.
    failure: Option<Error>,
}

impl KafkaSink {
    /// A sink that is not open yet.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], beginning with the key that is wrong.
    pub fn new(config: KafkaSinkConfig) -> Result<Self> {
        config.check(&process_environment)?;
        Ok(Self {
            encoder: RecordEncoder::new(config.clone()),
            config,
            observer: None,
            opened: None,
        })
    }

    /// Checks that rows with these columns can be written.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], beginning with the key that names a column that there is not.
    pub fn check_columns(&self, schema: &Schema) -> Result<()> {
        RecordEncoder::check(&self.config, schema)
    }

    /// Calls `observer` at each step of a transaction, in the thread that commits: for tests that let the process die there.
    #[must_use]
    pub fn with_observer(
        mut self,
        observer: impl Fn(TransactionStep) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    fn opened(&mut self) -> Result<(&mut OpenedSink, &mut RecordEncoder)> {
        let not_open = || Error::new(ErrorKind::Bug, "the sink was used before it was opened");
        let opened = self.opened.as_mut().ok_or_else(not_open)?;
        Ok((opened, &mut self.encoder))
    }

    fn delivery_guarantee(&self) -> DeliveryGuarantee {
        self.config.delivery_guarantee
    }
}

impl Sink for KafkaSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let opened = OpenedSink::open(&self.config, self.observer.clone(), context)?;
        self.opened = Some(opened);
        Ok(())
    }

    fn has_room(&mut self, awaits_barrier: bool) -> bool {
        match &mut self.opened {
            Some(opened) => opened.has_room(awaits_barrier),
            None => true,
        }
    }

    fn wants_checkpoint(&mut self) -> bool {
        let opened = self.opened.as_ref();
        opened.is_some_and(|opened| opened.buffer.wants_checkpoint())
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        let (opened, encoder) = self.opened()?;
        opened.check()?;
        let batch = batch.into_columns()?;
        match &mut opened.stream {
            Some(stream) => encoder.encode(&batch, |record| stream.write(record)),
            None => encoder.encode(&batch, |record| opened.buffer.push(record)),
        }
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let waits = self.delivery_guarantee() == DeliveryGuarantee::AtLeastOnce;
        let (opened, _) = self.opened()?;
        opened.check()?;
        opened.forget_settled();
        let now = opened.clock.unix_millis();
        opened.buffer.seal(checkpoint, now);
        opened.transactions.update(opened.buffer.items()?)?;
        opened.report_bytes();
        let progress = Arc::clone(&opened.progress);
        let mut background: Vec<BackgroundWork> = vec![Box::new(move || progress.wait_recovered())];
        if let Some(stream) = &mut opened.stream {
            let all_written = stream.seal();
            background.extend(waits.then_some(all_written));
        }
        Ok(OperatorSnapshot {
            items: Vec::new(),
            background,
        })
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        let (opened, _) = self.opened()?;
        let transactions = opened.buffer.complete(checkpoint);
        if transactions.is_empty() {
            return Ok(Vec::new());
        }
        let worker = Arc::clone(&opened.worker);
        Ok(vec![Box::new(move || locked(&worker).commit(transactions))])
    }
}

impl OpenedSink {
    fn open(
        config: &KafkaSinkConfig,
        observer: Option<Observer>,
        context: &mut OperatorContext<'_>,
    ) -> Result<Self> {
        let index = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let share = Share {
            subtask: index(context.subtask),
            parallelism: index(context.parallelism),
        };
        // A job and an operator have no dot in their names, so no two sinks of a prefix have one base.
        let base = format!(
            "{}.{}.{}",
            config.transactional_id_prefix, context.job.name, context.operator
        );
        let transactions = context
            .operator_state
            .union_list_state::<Vec<u8>>(TRANSACTIONS)?;
        let restored = restored_of(share, &transactions.get())?;
        let is_exact = config.delivery_guarantee == DeliveryGuarantee::ExactlyOnce;
        let marker_topic = match config.marker_topic() {
            Ok(topic) => topic.to_owned(),
            Err(error) if is_exact || !restored.is_empty() => return Err(error),
            Err(_) => String::new(),
        };
        let mut buffer = EpochBuffer::new(
            share.own(&base),
            context.job.attempt,
            marker_topic.clone(),
            usize::try_from(config.transaction_bytes_max.bytes()).unwrap_or(usize::MAX),
        );
        for pending in &restored {
            buffer.restore(pending.clone());
        }
        let events = ClientEvents::new(context.operator.clone(), context.clock.clone());
        let interval = context.job.checkpoint_interval;
        let producer = config.transactional_producer(interval, &process_environment)?;
        let consumer = config.consumer(&process_environment)?;
        let progress = Arc::new(Progress::new(Arc::clone(context.wake)));
        let has_transactions = is_exact || !restored.is_empty();
        let worker = Arc::new(Mutex::new(Worker {
            committer: Committer::new(&base, share, restored),
            broker: Box::new(Producers::new(
                producer,
                consumer,
                base,
                marker_topic,
                events.clone(),
            )),
            progress: Arc::clone(&progress),
            job: context.job.clone(),
            operator: context.operator.clone(),
            subtask: context.subtask,
            observer,
        }));
        if has_transactions {
            let worker = Arc::clone(&worker);
            context
                .recovery
                .push(Box::new(move || locked(&worker).recover()));
        } else {
            progress.recovered();
        }
        let stream = if is_exact {
            None
        } else {
            let producer = config.producer(&process_environment)?;
            Some(Stream::new(&producer, events, Arc::clone(context.wake))?)
        };
        Ok(Self {
            operator: context.operator.clone(),
            subtask: context.subtask,
            clock: context.clock.clone(),
            buffer,
            transactions,
            progress,
            worker,
            stream,
            failure: None,
        })
    }

    fn has_room(&mut self, awaits_barrier: bool) -> bool {
        self.forget_settled();
        match self.stream.as_mut().map(Stream::has_room) {
            None => self.buffer.has_room(awaits_barrier),
            Some(Ok(has_room)) => has_room,
            Some(Err(error)) => {
                // The next batch brings it out.
                self.failure = Some(error);
                true
            }
        }
    }

    fn forget_settled(&mut self) {
        let settled = self.progress.take_settled();
        if !settled.is_empty() {
            self.buffer.settled(&settled);
            self.report_bytes();
        }
    }

    fn report_bytes(&self) {
        let bytes = self.buffer.bytes() as f64;
        let (operator, subtask) = (&self.operator, self.subtask);
        set_gauge(Metric::SinkPendingBytes, operator, subtask, bytes);
    }

    fn check(&mut self) -> Result<()> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        self.stream.as_ref().map_or(Ok(()), Stream::check)
    }
}

impl Drop for OpenedSink {
    fn drop(&mut self) {
        self.progress.close();
    }
}

/// The transactions of a snapshot that a subtask looks after.
fn restored_of(share: Share, items: &[Vec<u8>]) -> Result<Vec<PendingTransaction>> {
    let all = items
        .iter()
        .map(|item| PendingTransaction::from_bytes(item));
    let is_own = |pending: &Result<PendingTransaction>| match pending {
        Ok(pending) => share.has(&pending.id),
        Err(_) => true,
    };
    all.filter(is_own).collect()
}

fn locked(worker: &Mutex<Worker>) -> MutexGuard<'_, Worker> {
    // After a panic the job fails, and nobody asks for anything more.
    worker.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::test_support::{Subtask, key_values};

    /// A sink whose broker nobody has ever heard of.
    fn sink(options: &str) -> KafkaSink {
        let text = format!("brokers = '127.0.0.1:1'\ntopic = 'out'\n{options}");
        let mut sink = KafkaSink::new(toml::from_str(&text).unwrap()).unwrap();
        Subtask::of(0, 1).open_sink(&mut sink).unwrap();
        sink
    }

    /// What comes of the background of a checkpoint when the sink is closed before it has recovered.
    fn acknowledged_after_closing(mut sink: KafkaSink) -> Result<()> {
        sink.write(key_values(&[("k", 1)])).unwrap();
        let snapshot = sink.snapshot(CheckpointId(1)).unwrap();
        drop(sink);
        snapshot.background.into_iter().try_for_each(|work| work())
    }

    #[test]
    fn a_checkpoint_waits_for_the_recovery_of_a_sink_that_has_transactions() {
        let error = acknowledged_after_closing(sink("")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment);
        acknowledged_after_closing(sink("delivery_guarantee = 'none'")).unwrap();
    }
}
