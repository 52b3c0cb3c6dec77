//! Checkpoints in Flink's words, as JSON. Times are milliseconds, sizes are bytes.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::{CheckpointMode, CheckpointSection, OnCancel};
use crate::graph::JobOutline;
use crate::telemetry::statistics::{
    CheckpointReport, CheckpointState, CheckpointStatistics, Distribution, RestoreReport,
    SubtaskReport,
};

/// What became of the job's checkpoints, the newest first.
pub(super) fn overview(statistics: &CheckpointStatistics) -> Value {
    let counts = statistics.counts();
    let history: Vec<Value> = statistics.reports().rev().map(checkpoint).collect();
    let latest = |report: Option<&CheckpointReport>| report.map(checkpoint);
    json!({
        "counts": {
            "restored": counts.restored,
            "total": counts.triggered,
            "in_progress": statistics.in_progress_count(),
            "completed": counts.completed,
            "failed": counts.failed,
        },
        "summary": summary(statistics),
        "latest": {
            "completed": latest(statistics.latest_completed()),
            "savepoint": latest(statistics.latest_savepoint()),
            "failed": latest(statistics.latest_failed()),
            "restored": statistics.latest_restored().map(restored),
        },
        "history": history,
    })
}

/// One checkpoint.
pub(super) fn checkpoint(report: &CheckpointReport) -> Value {
    let mut value = Map::new();
    let mut put = |key: &str, part: Value| {
        value.insert(key.to_owned(), part);
    };
    let is_unaligned = report.subtasks.iter().any(|part| part.is_unaligned);
    put("className", json!(class_name(report.state)));
    put("id", json!(report.id));
    put("status", json!(status(report.state)));
    put("is_savepoint", json!(report.is_savepoint));
    put(
        "savepointFormat",
        json!(report.is_savepoint.then_some("CANONICAL")),
    );
    put(
        "checkpoint_type",
        json!(match (report.is_savepoint, is_unaligned) {
            (true, _) => "SAVEPOINT",
            (false, true) => "UNALIGNED_CHECKPOINT",
            (false, false) => "CHECKPOINT",
        }),
    );
    put("trigger_reason", json!(report.kind));
    put("trigger_timestamp", json!(report.triggered_unix_millis));
    let latest = report.latest_acknowledged_unix_millis();
    put("latest_ack_timestamp", json!(latest.unwrap_or(-1)));
    put("end_to_end_duration", json!(millis(report.duration)));
    put("checkpointed_size", json!(report.bytes));
    put("state_size", json!(report.full_bytes));
    put("metadata_size", json!(report.manifest_bytes));
    put("alignment_buffered", json!(0));
    put("processed_data", json!(0));
    put("persisted_data", json!(report.in_flight_bytes()));
    put("num_subtasks", json!(report.subtasks_total));
    put("num_acknowledged_subtasks", json!(report.subtasks.len()));
    put("tasks", json!({}));
    if report.state == CheckpointState::Completed {
        put("external_path", json!(report.path));
        put("discarded", json!(report.discarded));
    }
    if let Some(failure) = &report.failure {
        let failed_at = report.triggered_unix_millis + millis(report.duration) as i64;
        put("failure_timestamp", json!(failed_at));
        put(
            "failure_message",
            json!(match &failure.message {
                Some(message) => format!("{}: {message}", failure.reason),
                None => failure.reason.clone(),
            }),
        );
    }
    Value::Object(value)
}

/// One checkpoint, with what each chain did for it.
pub(super) fn details(report: &CheckpointReport, outline: &JobOutline) -> Value {
    let mut value = checkpoint(report);
    let tasks: Map<String, Value> = outline
        .vertices
        .iter()
        .map(|vertex| {
            let id = vertex.id.as_str().to_owned();
            let task = Value::Object(task(report, &id, outline.parallelism));
            (id, task)
        })
        .collect();
    value["tasks"] = Value::Object(tasks);
    value
}

/// What one chain did for a checkpoint, subtask by subtask.
pub(super) fn subtasks(report: &CheckpointReport, vertex: &str, parallelism: usize) -> Value {
    let parts = parts_of(report, vertex);
    let times = |part: fn(&SubtaskReport) -> Duration| {
        Distribution::of(parts.iter().map(|it| millis(part(it))))
    };
    let sizes = |part: fn(&SubtaskReport) -> u64| Distribution::of(parts.iter().map(|it| part(it)));
    let mut value = task(report, vertex, parallelism);
    let summary = json!({
        "checkpointed_size": sizes(|part| part.bytes),
        "state_size": sizes(|part| part.full_bytes),
        "end_to_end_duration": times(|part| part.duration),
        "checkpoint_duration": {
            "sync": times(|part| part.sync),
            "async": times(|part| part.r#async),
        },
        "alignment": {
            "buffered": Distribution::default(),
            "processed": Distribution::default(),
            "persisted": sizes(|part| part.in_flight_bytes),
            "duration": times(|part| part.alignment),
        },
        "start_delay": times(|part| part.start_delay),
    });
    let rows: Vec<Value> = (0..parallelism)
        .map(
            |index| match parts.iter().find(|part| part.subtask.index == index) {
                Some(part) => subtask(part),
                None => json!({ "index": index, "status": "pending_or_failed" }),
            },
        )
        .collect();
    value.insert("summary".to_owned(), summary);
    value.insert("subtasks".to_owned(), Value::Array(rows));
    Value::Object(value)
}

/// How checkpoints are taken.
pub(super) fn config(section: &CheckpointSection) -> Value {
    json!({
        "mode": match section.mode {
            CheckpointMode::ExactlyOnce => "exactly_once",
            CheckpointMode::AtLeastOnce => "at_least_once",
        },
        // Flink's number for a job without periodic checkpoints.
        "interval": section.interval.map_or(i64::MAX as u64, millis),
        "timeout": millis(section.timeout),
        "min_pause": millis(section.min_pause),
        "max_concurrent": section.max_concurrent,
        "externalization": {
            "enabled": true,
            "delete_on_cancellation": section.on_cancel == OnCancel::Delete,
        },
        "state_backend": "floodmark",
        "checkpoint_storage": section.storage,
        "unaligned_checkpoints": section.unaligned,
        "tolerable_failed_checkpoints": section.tolerable_failures,
        "aligned_checkpoint_timeout": millis(section.aligned_timeout),
        "checkpoints_after_tasks_finish": true,
        "state_changelog_enabled": false,
        "num_retained": section.retain,
        "history_max": section.history_max,
    })
}

fn summary(statistics: &CheckpointStatistics) -> Value {
    let completed: Vec<&CheckpointReport> = statistics
        .reports()
        .filter(|report| report.state == CheckpointState::Completed)
        .collect();
    let of = |part: fn(&CheckpointReport) -> u64| {
        Distribution::of(completed.iter().map(|report| part(report)))
    };
    json!({
        "checkpointed_size": of(|report| report.bytes),
        "state_size": of(|report| report.full_bytes),
        "end_to_end_duration": of(|report| millis(report.duration)),
        "alignment_buffered": Distribution::default(),
        "processed_data": Distribution::default(),
        "persisted_data": of(CheckpointReport::in_flight_bytes),
    })
}

fn restored(restore: &RestoreReport) -> Value {
    json!({
        "id": restore.checkpoint,
        "restore_timestamp": restore.restored_unix_millis,
        "is_savepoint": restore.is_savepoint,
        "external_path": restore.path,
    })
}

fn task(report: &CheckpointReport, vertex: &str, parallelism: usize) -> Map<String, Value> {
    let parts = parts_of(report, vertex);
    let latest = parts.iter().map(|part| part.acknowledged_unix_millis).max();
    let duration = parts.iter().map(|part| part.duration).max();
    let sum = |part: fn(&SubtaskReport) -> u64| -> u64 { parts.iter().map(|it| part(it)).sum() };
    let is_whole = parts.len() == parallelism;
    let state = match (report.state, is_whole) {
        (CheckpointState::InProgress, true) => CheckpointState::Completed,
        (state, _) => state,
    };
    let value = json!({
        "id": report.id,
        "status": status(state),
        "latest_ack_timestamp": latest.unwrap_or(-1),
        "checkpointed_size": sum(|part| part.bytes),
        "state_size": sum(|part| part.full_bytes),
        "end_to_end_duration": millis(duration.unwrap_or_default()),
        "alignment_buffered": 0,
        "processed_data": 0,
        "persisted_data": sum(|part| part.in_flight_bytes),
        "num_subtasks": parallelism,
        "num_acknowledged_subtasks": parts.len(),
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn subtask(part: &SubtaskReport) -> Value {
    json!({
        "index": part.subtask.index,
        "status": "completed",
        "ack_timestamp": part.acknowledged_unix_millis,
        "end_to_end_duration": millis(part.duration),
        "checkpointed_size": part.bytes,
        "state_size": part.full_bytes,
        "checkpoint": { "sync": millis(part.sync), "async": millis(part.r#async) },
        "alignment": {
            "buffered": 0,
            "processed": 0,
            "persisted": part.in_flight_bytes,
            "duration": millis(part.alignment),
        },
        "start_delay": millis(part.start_delay),
        "unaligned_checkpoint": part.is_unaligned,
        "aborted": false,
    })
}

fn parts_of<'a>(report: &'a CheckpointReport, vertex: &str) -> Vec<&'a SubtaskReport> {
    let parts = report.subtasks.iter();
    parts
        .filter(|part| part.subtask.operator.as_str() == vertex)
        .collect()
}

fn status(state: CheckpointState) -> &'static str {
    match state {
        CheckpointState::InProgress => "IN_PROGRESS",
        CheckpointState::Completed => "COMPLETED",
        CheckpointState::Failed => "FAILED",
    }
}

fn class_name(state: CheckpointState) -> &'static str {
    match state {
        CheckpointState::InProgress => "in_progress",
        CheckpointState::Completed => "completed",
        CheckpointState::Failed => "failed",
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
