//! The Kafka source as the runtime knows it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use serde_json::json;
use tracing::warn;

use super::assignment::Assignment;
use super::chunk::{Chunk, Record};
use super::config::KafkaSourceConfig;
use super::consumer::KafkaConsumer;
use super::consumer_events::ConsumerEvents;
use super::decoder::{Decoded, Decoder};
use super::fetch_queue::{FetchEvent, FetchQueue};
use super::fetch_thread::FetchThread;
use super::fetcher::Fetcher;
use super::item::{DiscoveryItem, RestoredSource, SourceItem};
use super::partition_watermarks::{Combined, PartitionWatermarks};
use super::peers::{Seat, SourcePeers};
use super::positions::Positions;
use super::start::OffsetRules;
use super::topic_partition::TopicPartition;
use crate::connectors::dead_letters::{BadRows, DeadLetters, OnError};
use crate::connectors::event_time::EventTimeColumn;
use crate::connectors::format::{RowBuilder, RowProblem};
use crate::connectors::kafka::client_events::ClientEvents;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, CheckpointId, EventTime, OperatorId, SharedClock};
use crate::operator::{
    BackgroundWork, OperatorContext, OperatorSnapshot, Output, Source, SourceStatus,
};
use crate::telemetry::{JobStatus, Metric, count, set_gauge};

/// How often figures are reported, and idle partitions are looked for, when no records come.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// For how many checkpoints that are not complete yet the group's offsets are kept.
const COMMITS_MAX: usize = 64;

/// Reads the partitions of topics. Its position is an offset for each of them.
///
/// A thread of its own fetches records ahead of the subtask. Every subtask looks for partitions by itself, and reads those
/// that are its own by their names alone; so they are spread anew when the parallelism changes, each at its position. A
/// subtask that has nothing to read follows the event time of its peers.
///
/// ```
/// use floodmark::connectors::{KafkaSource, KafkaSourceConfig, SourcePeers};
///
/// let config: KafkaSourceConfig = toml::from_str(
///     "brokers = 'localhost:9092'
///      topics = ['signals']
///      format = 'json'
///      columns = { market = 'string', value = 'float64' }",
/// )?;
/// // One source for each subtask, all with the same peers.
/// let source = KafkaSource::new(config, SourcePeers::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KafkaSource {
    config: KafkaSourceConfig,
    peers: SourcePeers,
    decoder: Decoder,
    rows: RowBuilder,
    event_time: Option<EventTimeColumn>,
    /// What there is once the source is open.
    open: Option<OpenSource>,
    thread: Option<FetchThread>,
}

/// A source that is open.
struct OpenSource {
    operator: OperatorId,
    subtask: usize,
    parallelism: usize,
    clock: SharedClock,
    status: Arc<JobStatus>,
    positions: Positions,
    watermarks: PartitionWatermarks,
    seat: Seat,
    /// The last watermark that was emitted.
    emitted: EventTime,
    dead_letters: Option<DeadLetters>,
    /// The chunk that is being worked off, and which of its records is next.
    chunk: Option<(Chunk, usize)>,
    /// The group's offsets of checkpoints that are not complete yet, the oldest first.
    commits: VecDeque<(CheckpointId, Vec<(TopicPartition, i64)>)>,
    /// When figures are to be reported again.
    figures_due: Duration,
    queue: Arc<FetchQueue>,
}

/// What one poll has read.
#[derive(Default)]
struct Reading {
    records: usize,
    bytes: usize,
    bad_rows: BadRows,
    /// How many rows in a row came from which partition.
    runs: Vec<(usize, usize)>,
}

impl KafkaSource {
    /// A source; `peers` are the same for all subtasks.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], beginning with the key that is wrong.
    pub fn new(config: KafkaSourceConfig, peers: SourcePeers) -> Result<Self> {
        config.check()?;
        let markers = config.null_markers();
        Ok(Self {
            decoder: Decoder::new(&config)?,
            rows: RowBuilder::new(&config.all_columns(), &markers, config.batch_rows),
            event_time: config.event_time_column()?,
            config,
            peers,
            open: None,
            thread: None,
        })
    }

    /// Opens all but the thread. What that is to fetch, and where it is to put it, is given.
    fn prepare(
        &mut self,
        context: &mut OperatorContext<'_>,
    ) -> Result<(Assignment, Arc<FetchQueue>)> {
        let (subtask, parallelism) = (context.subtask, context.parallelism);
        let restored = context.restored.map(RestoredSource::of_state).transpose()?;
        let dead_letters = match (&self.config.dead_letter, &restored) {
            (Some(base), Some(restored)) => Some(DeadLetters::open(
                base,
                subtask,
                parallelism,
                &restored.dead_letters,
            )?),
            (Some(base), None) => Some(DeadLetters::open(base, subtask, parallelism, &[].into())?),
            (None, _) => None,
        };
        let selection = self.config.selection()?;
        let assignment = Assignment::new(selection, subtask, parallelism, restored);
        for topic in assignment.dropped_topics() {
            warn!(operator = %context.operator, %topic, "the checkpoint has read this topic, which the job no longer names");
        }
        let buffer_bytes = usize::try_from(self.config.buffer_size.bytes()).unwrap_or(usize::MAX);
        let queue = FetchQueue::new(
            self.config.buffer_rows,
            buffer_bytes,
            Arc::clone(context.wake),
        );
        let queue = Arc::new(queue);
        let positions = Positions::new(assignment.restored_positions());
        let idle_timeout = self.config.idle_timeout.map(|timeout| timeout.0);
        self.open = Some(OpenSource {
            operator: context.operator.clone(),
            subtask,
            parallelism,
            clock: Arc::clone(context.clock),
            status: Arc::clone(context.status),
            positions,
            watermarks: PartitionWatermarks::new(idle_timeout),
            seat: self.peers.join(subtask, parallelism),
            emitted: EventTime::MIN,
            dead_letters,
            chunk: None,
            commits: VecDeque::new(),
            figures_due: Duration::ZERO,
            queue: Arc::clone(&queue),
        });
        Ok((assignment, queue))
    }

    fn start_thread(
        &self,
        context: &OperatorContext<'_>,
        assignment: Assignment,
        queue: &Arc<FetchQueue>,
    ) -> Result<FetchThread> {
        let name = format!("kafka-{}-{}", context.operator, context.subtask);
        let client = self.config.client_config(&name)?;
        let events = ClientEvents::new(context.operator.clone(), Arc::clone(context.clock));
        let events = ConsumerEvents::new(events);
        let wanted = self.decoder.wanted_parts();
        let rules = OffsetRules::of(&self.config);
        let discovery_interval = self.config.discovery_interval();
        let told = Arc::clone(queue);
        let make = move || {
            let consumer = KafkaConsumer::connect(client, events, wanted, Arc::clone(&told))?;
            let fetcher = Fetcher::new(consumer, assignment, rules, discovery_interval, told);
            Ok(fetcher)
        };
        FetchThread::start(name, Arc::clone(queue), Arc::clone(context.clock), make)
    }

    /// Works off what was fetched, up to about `rows_max` rows.
    fn read(&mut self, rows_max: usize) -> Result<Reading> {
        let open = opened(&mut self.open)?;
        let mut reading = Reading::default();
        while reading.records < rows_max {
            let Some((chunk, next)) = &mut open.chunk else {
                match open.queue.pop() {
                    Some(event) => reading.bytes += open.heed(event)?,
                    None => break,
                }
                continue;
            };
            let number = chunk.partition;
            let Some(partition) = open.positions.partition(number) else {
                let message = "records came from a partition that was not started";
                return Err(Error::new(ErrorKind::Bug, message));
            };
            let mut rows = 0;
            let mut offset = None;
            while reading.records < rows_max
                && let Some(record) = chunk.record(*next)
            {
                let decoded = self
                    .decoder
                    .decode(chunk, *next, record, partition, &mut self.rows);
                match decoded {
                    Decoded::Row => rows += 1,
                    Decoded::Skipped => {}
                    Decoded::Bad(problem) => {
                        let on_error = self.config.on_error;
                        add_bad_row(&mut reading.bad_rows, on_error, partition, record, &problem)?;
                    }
                }
                offset = Some(record.offset);
                reading.records += 1;
                *next += 1;
            }
            if *next == chunk.len() {
                open.chunk = None;
            }
            if let Some(offset) = offset {
                open.positions.set_offset(number, offset + 1);
            }
            reading.runs.push((number, rows));
        }
        Ok(reading)
    }

    /// Emits the watermark that the subtask has come to, if it is a new one.
    fn emit_watermark(
        &mut self,
        batch: &RecordBatch,
        runs: &[(usize, usize)],
        output: &mut Output,
    ) -> Result<()> {
        let open = opened(&mut self.open)?;
        let Some(column) = &self.event_time else {
            return Ok(());
        };
        let now = open.clock.elapsed();
        let mut first = 0;
        for (partition, rows) in runs {
            let watermark = column.watermark_of(&batch.slice(first, *rows));
            open.watermarks.observe(*partition, watermark, now);
            first += rows;
        }
        let own = match open.positions.is_discovered() {
            true => open.watermarks.combined(now),
            // Nobody knows yet what is still to be read.
            false => Combined::Active(EventTime::MIN),
        };
        if let Some(watermark) = open.seat.report(own)
            && watermark > open.emitted
        {
            open.emitted = watermark;
            output.emit_watermark(watermark);
        }
        Ok(())
    }
}

impl Source for KafkaSource {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let (assignment, queue) = self.prepare(context)?;
        self.thread = Some(self.start_thread(context, assignment, &queue)?);
        Ok(())
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        let reading = self.read(rows_max.min(self.config.batch_rows))?;
        let batch = self.rows.finish()?;
        output.emit(Batch::Columns(batch.clone()));
        self.emit_watermark(&batch, &reading.runs, output)?;
        let open = opened(&mut self.open)?;
        let is_finished = self.config.is_bounded() && open.positions.is_finished();
        open.report_figures(reading.bytes);
        let bad_rows = reading.bad_rows;
        bad_rows.settle(
            open.dead_letters.as_mut(),
            &open.operator,
            open.subtask,
            &open.status,
        )?;
        if is_finished && open.chunk.is_none() {
            return Ok(SourceStatus::Finished);
        }
        if reading.records > 0 {
            return Ok(SourceStatus::Ready);
        }
        let idle_timeout = self.config.idle_timeout.map(|timeout| timeout.0);
        Ok(SourceStatus::Wait(
            idle_timeout.unwrap_or(LOOK_PAUSE).min(LOOK_PAUSE),
        ))
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let has_group = self.config.group_id.is_some();
        let open = opened(&mut self.open)?;
        let mut items = open.positions.items(&open.watermarks);
        items.push(SourceItem::Discovery(DiscoveryItem {
            subtask: open.subtask,
            parallelism: open.parallelism,
            discovered: open.positions.is_discovered(),
        }));
        let mut snapshot = OperatorSnapshot::default();
        if let Some(dead_letters) = &open.dead_letters {
            items.extend(dead_letters.items().map(SourceItem::DeadLetters));
            snapshot.background.extend(dead_letters.sync()?);
        }
        snapshot.items = items
            .iter()
            .map(SourceItem::to_value)
            .collect::<Result<_>>()?;
        if has_group {
            if open.commits.len() == COMMITS_MAX {
                open.commits.pop_front();
            }
            open.commits
                .push_back((checkpoint, open.positions.offsets()));
        }
        Ok(snapshot)
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        let open = opened(&mut self.open)?;
        let mut covered = None;
        while open
            .commits
            .front()
            .is_some_and(|(id, _)| *id <= checkpoint)
        {
            covered = open.commits.pop_front();
        }
        if let Some((_, offsets)) = covered {
            open.queue.request_commit(offsets);
        }
        Ok(Vec::new())
    }
}

impl OpenSource {
    /// Takes note of what the fetching thread tells; says how many bytes it brings.
    fn heed(&mut self, event: FetchEvent) -> Result<usize> {
        match event {
            FetchEvent::Records(chunk) => {
                let bytes = chunk.bytes();
                self.chunk = Some((chunk, 0));
                return Ok(bytes);
            }
            FetchEvent::Started(partition, position) => {
                let watermark = position.watermark.map_or(EventTime::MIN, EventTime);
                self.watermarks.add(watermark, self.clock.elapsed());
                self.positions.start(partition, position);
            }
            FetchEvent::Discovered => self.positions.set_discovered(),
            FetchEvent::Reached(number) => {
                self.watermarks.remove(number);
                self.positions.finish(number);
            }
            FetchEvent::Reset(number, offset) => {
                self.positions.set_offset(number, offset);
                count(Metric::OffsetResets, &self.operator, self.subtask, 1);
            }
            FetchEvent::Gone(partition) => {
                if let Some(number) = self.positions.lose(&partition) {
                    self.watermarks.remove(number);
                }
            }
            FetchEvent::Ends(ends) => {
                for (number, end) in ends {
                    self.positions.set_latest(number, end);
                }
            }
            FetchEvent::Failed(error) => return Err(error),
        }
        Ok(0)
    }

    fn report_figures(&mut self, bytes: usize) {
        if bytes > 0 {
            count(Metric::BytesIn, &self.operator, self.subtask, bytes as u64);
        }
        let now = self.clock.elapsed();
        if now >= self.figures_due {
            self.figures_due = now + LOOK_PAUSE;
            let pending = self.positions.pending_records() as f64;
            set_gauge(
                Metric::PendingRecords,
                &self.operator,
                self.subtask,
                pending,
            );
        }
    }
}

/// Takes note of a record that cannot be used.
fn add_bad_row(
    bad_rows: &mut BadRows,
    on_error: OnError,
    partition: &TopicPartition,
    record: Record<'_>,
    problem: &RowProblem,
) -> Result<()> {
    let offset = record.offset;
    match on_error {
        OnError::Fail => {
            let message = format!("{partition} offset {offset}: {problem}");
            return Err(Error::new(ErrorKind::Data, message));
        }
        OnError::Skip => {}
        OnError::DeadLetter => {
            let letter = json!({
                "topic": *partition.topic,
                "partition": partition.partition,
                "offset": offset,
                "column": problem.column,
                "reason": problem.reason,
                "raw": record.value.map(String::from_utf8_lossy),
            });
            bad_rows.dead_letters.push_str(&format!("{letter}\n"));
        }
    }
    bad_rows.count += 1;
    Ok(())
}

fn opened(open: &mut Option<OpenSource>) -> Result<&mut OpenSource> {
    let not_open = || Error::new(ErrorKind::Bug, "the Kafka source is not open");
    open.as_mut().ok_or_else(not_open)
}

#[cfg(test)]
mod tests;
