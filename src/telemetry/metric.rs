//! Every metric's name, in one place.

use metrics::Unit;

/// A figure that Floodmark reports through the `metrics` crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Rows that a source or an operator took in.
    RecordsIn,
    /// Rows that a source or an operator gave out.
    RecordsOut,
    /// Rows that a subtask takes in each second.
    RecordsInRate,
    /// Rows that a subtask gives out each second.
    RecordsOutRate,
    /// Rows that a source could not read and passed over.
    RecordsSkipped,
    /// Rows that a source could not read and wrote to its dead-letter file.
    RecordsDeadLettered,
    /// Bytes of keys, values and headers that a Kafka source took in.
    BytesIn,
    /// Records that lie in Kafka and that a source has still to read.
    PendingRecords,
    /// How often a Kafka source went on elsewhere since the offset to be read was gone.
    OffsetResets,
    /// Wall-clock time minus the watermark of a subtask.
    WatermarkLag,
    /// How much of each second a subtask works.
    BusyTime,
    /// How much of each second a subtask waits for input.
    IdleTime,
    /// How much of each second a subtask waits for room in a link.
    BackPressuredTime,
    /// Records in a named state of a subtask.
    StateRecords,
    /// Bytes that these records would take in a base.
    StateLiveBytes,
    /// Bytes of memory beyond that: room for growth, and what the table needs for itself.
    StateSpareBytes,
    /// Which share of the table's slots is taken.
    StateTableLoad,
    /// Bytes of the delta that the last barrier sealed.
    StateDeltaBytes,
    /// Bytes of the last base.
    StateBaseBytes,
    /// The sync part of a checkpoint: how long a subtask processed nothing because of a barrier, without the alignment.
    BarrierStall,
    /// From a checkpoint's trigger to a subtask's first barrier.
    CheckpointStartDelay,
    /// From a subtask's first barrier to its last.
    CheckpointAlignment,
    /// How long a subtask's part of a checkpoint took to become durable.
    CheckpointAsync,
    /// Checkpoints of the job that were triggered.
    CheckpointsTriggered,
    /// Checkpoints of the job that are under way.
    CheckpointsInProgress,
    /// Checkpoints of the job that were completed.
    CheckpointsCompleted,
    /// Checkpoints of the job that were given up.
    CheckpointsFailed,
    /// From the trigger of a checkpoint to its durable manifest.
    CheckpointDuration,
    /// Bytes that a checkpoint wrote to the store.
    CheckpointBytes,
    /// The checkpoint that was completed last.
    LastCheckpointId,
    /// When that was.
    LastCheckpointCompleted,
    /// How long it took.
    LastCheckpointDuration,
    /// Bytes that it wrote to the store.
    LastCheckpointBytes,
    /// Bytes that it refers to.
    LastCheckpointFullBytes,
    /// Bytes of its manifest.
    LastCheckpointManifestBytes,
    /// Bytes of records under way that it keeps.
    LastCheckpointInFlightBytes,
    /// How often the job was started again after a failure.
    Restarts,
    /// When the job was last resumed from a checkpoint.
    LastRestore,
    /// How long the checkpoint took to be read then.
    RestoreDownload,
    /// How many bytes of state it had.
    RestoredBytes,
    /// How long the operators of a subtask took to open, with their state.
    Initialization,
    /// Checkpoints whose output a subtask has made visible.
    Commits,
    /// Transactions that a sink has committed outside.
    TransactionsCommitted,
    /// Transactions that a sink had to abort, and writes again.
    TransactionsAborted,
    /// Bytes of records that a sink holds until their checkpoint is complete and they are outside.
    SinkPendingBytes,
}

/// How the values of a metric are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// The latest value.
    Gauge,
    /// How the values are distributed.
    Histogram,
}

/// What the values of a metric are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricScope {
    /// There is one value for the job.
    Job,
    /// Each operator subtask has its own.
    Subtask,
    /// Each named state of each operator subtask has its own.
    State,
}

/// What is to be known of a metric.
struct Description {
    name: &'static str,
    scope: MetricScope,
    kind: MetricKind,
    unit: Unit,
    help: &'static str,
    flink_name: &'static str,
}

impl Metric {
    /// All metrics, in the order of the documentation.
    pub const ALL: [Self; 45] = [
        Self::RecordsIn,
        Self::RecordsOut,
        Self::RecordsInRate,
        Self::RecordsOutRate,
        Self::RecordsSkipped,
        Self::RecordsDeadLettered,
        Self::BytesIn,
        Self::PendingRecords,
        Self::OffsetResets,
        Self::WatermarkLag,
        Self::BusyTime,
        Self::IdleTime,
        Self::BackPressuredTime,
        Self::StateRecords,
        Self::StateLiveBytes,
        Self::StateSpareBytes,
        Self::StateTableLoad,
        Self::StateDeltaBytes,
        Self::StateBaseBytes,
        Self::BarrierStall,
        Self::CheckpointStartDelay,
        Self::CheckpointAlignment,
        Self::CheckpointAsync,
        Self::CheckpointsTriggered,
        Self::CheckpointsInProgress,
        Self::CheckpointsCompleted,
        Self::CheckpointsFailed,
        Self::CheckpointDuration,
        Self::CheckpointBytes,
        Self::LastCheckpointId,
        Self::LastCheckpointCompleted,
        Self::LastCheckpointDuration,
        Self::LastCheckpointBytes,
        Self::LastCheckpointFullBytes,
        Self::LastCheckpointManifestBytes,
        Self::LastCheckpointInFlightBytes,
        Self::Restarts,
        Self::LastRestore,
        Self::RestoreDownload,
        Self::RestoredBytes,
        Self::Initialization,
        Self::Commits,
        Self::TransactionsCommitted,
        Self::TransactionsAborted,
        Self::SinkPendingBytes,
    ];

    /// The name that the `metrics` crate is given.
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// What the values are told apart by.
    pub fn scope(self) -> MetricScope {
        self.description().scope
    }

    /// How the values are put together.
    pub fn kind(self) -> MetricKind {
        self.description().kind
    }

    /// What the figure is counted in.
    pub fn unit(self) -> Unit {
        self.description().unit
    }

    /// What the figure says, in one line.
    pub fn help(self) -> &'static str {
        self.description().help
    }

    /// What Flink calls the figure; empty when it has none like it.
    pub fn flink_name(self) -> &'static str {
        self.description().flink_name
    }

    fn description(self) -> Description {
        let counter = |name, scope, unit, help, flink_name| Description {
            name,
            scope,
            kind: MetricKind::Counter,
            unit,
            help,
            flink_name,
        };
        let gauge = |name, scope, unit, help, flink_name| Description {
            kind: MetricKind::Gauge,
            ..counter(name, scope, unit, help, flink_name)
        };
        let histogram = |name, scope, unit, help, flink_name| Description {
            kind: MetricKind::Histogram,
            ..counter(name, scope, unit, help, flink_name)
        };
        match self {
            Self::RecordsIn => counter(
                "floodmark_records_in_total",
                MetricScope::Subtask,
                Unit::Count,
                "rows taken in",
                "numRecordsIn",
            ),
            Self::RecordsOut => counter(
                "floodmark_records_out_total",
                MetricScope::Subtask,
                Unit::Count,
                "rows given out",
                "numRecordsOut",
            ),
            Self::RecordsInRate => gauge(
                "floodmark_records_in_per_second",
                MetricScope::Subtask,
                Unit::Count,
                "rows taken in each second",
                "numRecordsInPerSecond",
            ),
            Self::RecordsOutRate => gauge(
                "floodmark_records_out_per_second",
                MetricScope::Subtask,
                Unit::Count,
                "rows given out each second",
                "numRecordsOutPerSecond",
            ),
            Self::RecordsSkipped => counter(
                "floodmark_records_skipped_total",
                MetricScope::Subtask,
                Unit::Count,
                "unreadable rows passed over",
                "",
            ),
            Self::RecordsDeadLettered => counter(
                "floodmark_records_dead_lettered_total",
                MetricScope::Subtask,
                Unit::Count,
                "unreadable rows written to the dead-letter file",
                "",
            ),
            Self::BytesIn => counter(
                "floodmark_bytes_in_total",
                MetricScope::Subtask,
                Unit::Bytes,
                "bytes of keys, values and headers read from Kafka",
                "numBytesIn",
            ),
            Self::PendingRecords => gauge(
                "floodmark_pending_records",
                MetricScope::Subtask,
                Unit::Count,
                "records in Kafka that are still to be read",
                "pendingRecords",
            ),
            Self::OffsetResets => counter(
                "floodmark_offset_resets_total",
                MetricScope::Subtask,
                Unit::Count,
                "partitions that went on elsewhere since an offset was gone",
                "",
            ),
            Self::WatermarkLag => gauge(
                "floodmark_watermark_lag_seconds",
                MetricScope::Subtask,
                Unit::Seconds,
                "wall-clock time minus the watermark",
                "watermarkLag",
            ),
            Self::BusyTime => gauge(
                "floodmark_busy_time_ms_per_second",
                MetricScope::Subtask,
                Unit::Milliseconds,
                "milliseconds of each second in which a subtask works",
                "busyTimeMsPerSecond",
            ),
            Self::IdleTime => gauge(
                "floodmark_idle_time_ms_per_second",
                MetricScope::Subtask,
                Unit::Milliseconds,
                "milliseconds of each second in which it waits for input",
                "idleTimeMsPerSecond",
            ),
            Self::BackPressuredTime => gauge(
                "floodmark_back_pressured_time_ms_per_second",
                MetricScope::Subtask,
                Unit::Milliseconds,
                "milliseconds of each second in which it waits for room in a link",
                "backPressuredTimeMsPerSecond",
            ),
            Self::StateRecords => gauge(
                "floodmark_state_records",
                MetricScope::State,
                Unit::Count,
                "records in a named state",
                "",
            ),
            Self::StateLiveBytes => gauge(
                "floodmark_state_live_bytes",
                MetricScope::State,
                Unit::Bytes,
                "bytes that the records would take in a base",
                "",
            ),
            Self::StateSpareBytes => gauge(
                "floodmark_state_spare_bytes",
                MetricScope::State,
                Unit::Bytes,
                "bytes of memory beyond that",
                "",
            ),
            Self::StateTableLoad => gauge(
                "floodmark_state_table_load",
                MetricScope::State,
                Unit::Count,
                "share of the table's slots that is taken, from 0 to 1",
                "",
            ),
            Self::StateDeltaBytes => gauge(
                "floodmark_state_delta_bytes",
                MetricScope::State,
                Unit::Bytes,
                "bytes of the delta that the last barrier sealed",
                "",
            ),
            Self::StateBaseBytes => gauge(
                "floodmark_state_base_bytes",
                MetricScope::State,
                Unit::Bytes,
                "bytes of the last base",
                "",
            ),
            Self::BarrierStall => histogram(
                "floodmark_barrier_stall_seconds",
                MetricScope::Subtask,
                Unit::Seconds,
                "processing time lost to one barrier, without alignment",
                "",
            ),
            Self::CheckpointStartDelay => histogram(
                "floodmark_checkpoint_start_delay_seconds",
                MetricScope::Subtask,
                Unit::Seconds,
                "from a checkpoint's trigger to a subtask's first barrier",
                "checkpointStartDelayNanos",
            ),
            Self::CheckpointAlignment => histogram(
                "floodmark_checkpoint_alignment_seconds",
                MetricScope::Subtask,
                Unit::Seconds,
                "from a subtask's first barrier to its last",
                "checkpointAlignmentTime",
            ),
            Self::CheckpointAsync => histogram(
                "floodmark_checkpoint_async_seconds",
                MetricScope::Subtask,
                Unit::Seconds,
                "until a subtask's part of a checkpoint is durable",
                "",
            ),
            Self::CheckpointsTriggered => counter(
                "floodmark_checkpoints_triggered_total",
                MetricScope::Job,
                Unit::Count,
                "checkpoints triggered",
                "totalNumberOfCheckpoints",
            ),
            Self::CheckpointsInProgress => gauge(
                "floodmark_checkpoints_in_progress",
                MetricScope::Job,
                Unit::Count,
                "checkpoints under way",
                "numberOfInProgressCheckpoints",
            ),
            Self::CheckpointsCompleted => counter(
                "floodmark_checkpoints_completed_total",
                MetricScope::Job,
                Unit::Count,
                "completed checkpoints",
                "numberOfCompletedCheckpoints",
            ),
            Self::CheckpointsFailed => counter(
                "floodmark_checkpoints_failed_total",
                MetricScope::Job,
                Unit::Count,
                "checkpoints given up",
                "numberOfFailedCheckpoints",
            ),
            Self::CheckpointDuration => histogram(
                "floodmark_checkpoint_duration_seconds",
                MetricScope::Job,
                Unit::Seconds,
                "from a checkpoint's trigger to its durable manifest",
                "",
            ),
            Self::CheckpointBytes => histogram(
                "floodmark_checkpoint_bytes",
                MetricScope::Job,
                Unit::Bytes,
                "bytes written by one checkpoint",
                "",
            ),
            Self::LastCheckpointId => gauge(
                "floodmark_last_checkpoint_id",
                MetricScope::Job,
                Unit::Count,
                "id of the last completed checkpoint",
                "lastCompletedCheckpointId",
            ),
            Self::LastCheckpointCompleted => gauge(
                "floodmark_last_checkpoint_completed_timestamp_seconds",
                MetricScope::Job,
                Unit::Seconds,
                "when it was completed, since 1970",
                "lastCheckpointCompletedTimestamp",
            ),
            Self::LastCheckpointDuration => gauge(
                "floodmark_last_checkpoint_duration_seconds",
                MetricScope::Job,
                Unit::Seconds,
                "how long it took",
                "lastCheckpointDuration",
            ),
            Self::LastCheckpointBytes => gauge(
                "floodmark_last_checkpoint_bytes",
                MetricScope::Job,
                Unit::Bytes,
                "bytes that it wrote",
                "lastCheckpointSize",
            ),
            Self::LastCheckpointFullBytes => gauge(
                "floodmark_last_checkpoint_full_bytes",
                MetricScope::Job,
                Unit::Bytes,
                "bytes that it refers to, whichever checkpoint wrote them",
                "lastCheckpointFullSize",
            ),
            Self::LastCheckpointManifestBytes => gauge(
                "floodmark_last_checkpoint_manifest_bytes",
                MetricScope::Job,
                Unit::Bytes,
                "bytes of its manifest",
                "lastCheckpointMetadataSize",
            ),
            Self::LastCheckpointInFlightBytes => gauge(
                "floodmark_last_checkpoint_in_flight_bytes",
                MetricScope::Job,
                Unit::Bytes,
                "bytes of records under way that it keeps",
                "lastCheckpointPersistedData",
            ),
            Self::Restarts => counter(
                "floodmark_restarts_total",
                MetricScope::Job,
                Unit::Count,
                "restarts of the job after a failure, within the process",
                "numRestarts",
            ),
            Self::LastRestore => gauge(
                "floodmark_last_restore_timestamp_seconds",
                MetricScope::Job,
                Unit::Seconds,
                "when the job was last resumed from a checkpoint, since 1970",
                "lastCheckpointRestoreTimestamp",
            ),
            Self::RestoreDownload => gauge(
                "floodmark_restore_download_seconds",
                MetricScope::Job,
                Unit::Seconds,
                "how long the checkpoint took to be read then",
                "DownloadStateDurationMs",
            ),
            Self::RestoredBytes => gauge(
                "floodmark_restored_state_bytes",
                MetricScope::Job,
                Unit::Bytes,
                "how many bytes of state it had",
                "RestoredStateSizeBytes",
            ),
            Self::Initialization => gauge(
                "floodmark_initialization_seconds",
                MetricScope::Subtask,
                Unit::Seconds,
                "how long a subtask took to open its operators and their state",
                "initializationTime",
            ),
            Self::Commits => counter(
                "floodmark_commits_total",
                MetricScope::Subtask,
                Unit::Count,
                "checkpoints whose output a subtask has committed",
                "successfulCommittables",
            ),
            Self::TransactionsCommitted => counter(
                "floodmark_sink_transactions_committed_total",
                MetricScope::Subtask,
                Unit::Count,
                "transactions that a sink has committed outside",
                "totalCommittables",
            ),
            Self::TransactionsAborted => counter(
                "floodmark_sink_transactions_aborted_total",
                MetricScope::Subtask,
                Unit::Count,
                "transactions that a sink had to abort, and writes again",
                "retriedCommittables",
            ),
            Self::SinkPendingBytes => gauge(
                "floodmark_sink_pending_bytes",
                MetricScope::Subtask,
                Unit::Bytes,
                "bytes of records that a sink holds until they are outside",
                "pendingCommittables",
            ),
        }
    }
}

impl MetricKind {
    /// The kind as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl MetricScope {
    /// The labels that tell the values apart.
    pub fn labels(self) -> &'static str {
        match self {
            Self::Job => "",
            Self::Subtask => "operator, subtask",
            Self::State => "operator, subtask, state",
        }
    }
}
