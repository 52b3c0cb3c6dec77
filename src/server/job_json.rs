//! A job in Flink's words, as JSON.

use serde_json::{Map, Value, json};

use super::served_job::{IndexedTask, ServedJob, state_name, vertex_status};
use crate::graph::VertexOutline;
use crate::telemetry::{TaskFigures, TaskStatus};

/// The shares of time, in thousandths, from which Flink calls back-pressure low and high.
const LOW_RATIO: f64 = 0.10;
const HIGH_RATIO: f64 = 0.50;

/// All jobs of the process: this one.
pub(super) fn overview(job: &ServedJob) -> Value {
    let tasks: Vec<IndexedTask> = all_tasks(job);
    json!({
        "jobs": [{
            "jid": job.name(),
            "name": job.name(),
            "state": state(job),
            "start-time": job.started_unix_millis,
            "end-time": -1,
            "duration": millis(job.duration().as_millis()),
            "last-modification": job.started_unix_millis,
            "tasks": task_counts(&tasks),
        }],
    })
}

/// The job with its chains. `rates` and `floodmark` are what Flink has in its metrics.
pub(super) fn details(job: &ServedJob) -> Value {
    let outline = &job.outline;
    let vertices: Vec<Value> = outline.vertices.iter().map(|it| vertex(job, it)).collect();
    let nodes: Vec<Value> = outline
        .vertices
        .iter()
        .map(|vertex| plan_node(vertex, outline.parallelism))
        .collect();
    let snapshot = job.status.snapshot();
    json!({
        "jid": job.name(),
        "name": job.name(),
        "isStoppable": true,
        "state": state(job),
        "job-type": "STREAMING",
        "start-time": job.started_unix_millis,
        "end-time": -1,
        "duration": millis(job.duration().as_millis()),
        "maxParallelism": outline.max_parallelism,
        "now": job.clock.unix_millis(),
        "vertices": vertices,
        "status-counts": status_counts(&all_tasks(job)),
        "plan": { "jid": job.name(), "name": job.name(), "type": "STREAMING", "nodes": nodes },
        "floodmark": {
            "phase": snapshot.phase.as_str(),
            "process": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "recordsIn": snapshot.records_in,
            "recordsOut": snapshot.records_out,
            "recordsSkipped": snapshot.records_skipped,
            "stateRecords": snapshot.state_records,
            "stateBytes": snapshot.state_bytes,
            "watermark": snapshot.watermark.map(|watermark| watermark.to_string()),
        },
    })
}

/// How much the subtasks of a chain are held up by those that they write to.
pub(super) fn back_pressure(job: &ServedJob, vertex: &VertexOutline) -> Value {
    let tasks = job.tasks(vertex);
    let ratio = |task: &TaskFigures| task.rates.back_pressured_millis_per_second / 1000.0;
    let level = |ratio: f64| match ratio {
        HIGH_RATIO.. => "high",
        LOW_RATIO.. => "low",
        _ => "ok",
    };
    let worst = tasks
        .iter()
        .map(|(_, task)| ratio(task))
        .fold(0.0, f64::max);
    let subtasks: Vec<Value> = tasks
        .iter()
        .map(|(index, task)| {
            json!({
                "subtask": index,
                "backpressureLevel": level(ratio(task)),
                "ratio": ratio(task),
                "busyRatio": task.rates.busy_millis_per_second / 1000.0,
                "idleRatio": task.rates.idle_millis_per_second / 1000.0,
            })
        })
        .collect();
    json!({
        "status": "ok",
        "backpressureLevel": level(worst),
        "end-timestamp": job.clock.unix_millis(),
        "subtasks": subtasks,
    })
}

fn state(job: &ServedJob) -> &'static str {
    state_name(job.status.snapshot().phase)
}

fn all_tasks(job: &ServedJob) -> Vec<IndexedTask> {
    let vertices = job.outline.vertices.iter();
    vertices.flat_map(|vertex| job.tasks(vertex)).collect()
}

fn vertex(job: &ServedJob, vertex: &VertexOutline) -> Value {
    let tasks = job.tasks(vertex);
    let sum =
        |part: fn(&TaskFigures) -> u64| -> u64 { tasks.iter().map(|(_, task)| part(task)).sum() };
    let rate =
        |part: fn(&TaskFigures) -> f64| -> f64 { tasks.iter().map(|(_, task)| part(task)).sum() };
    // A share of time is that of the average subtask, as in Flink's views; records add up.
    let share = |part: fn(&TaskFigures) -> f64| rate(part) / tasks.len().max(1) as f64;
    let now = job.clock.elapsed();
    let spent = |part: usize| -> u64 {
        let times = tasks.iter().map(|(_, task)| task.times.totals_at(now));
        times.map(|times| millis(times[part].as_millis())).sum()
    };
    json!({
        "id": vertex.id.as_str(),
        "name": vertex.name(),
        "maxParallelism": job.outline.max_parallelism,
        "parallelism": job.outline.parallelism,
        "status": vertex_status(&tasks),
        "start-time": job.started_unix_millis,
        "end-time": -1,
        "duration": millis(job.duration().as_millis()),
        "tasks": status_counts(&tasks),
        "metrics": {
            "read-records": sum(|task| task.records_in),
            "read-records-complete": true,
            "write-records": sum(|task| task.records_out),
            "write-records-complete": true,
            "accumulated-busy-time": spent(0),
            "accumulated-idle-time": spent(1),
            "accumulated-backpressured-time": spent(2),
        },
        "rates": {
            "busyTimeMsPerSecond": share(|task| task.rates.busy_millis_per_second),
            "idleTimeMsPerSecond": share(|task| task.rates.idle_millis_per_second),
            "backPressuredTimeMsPerSecond": share(|task| task.rates.back_pressured_millis_per_second),
            "numRecordsInPerSecond": rate(|task| task.rates.records_in_per_second),
            "numRecordsOutPerSecond": rate(|task| task.rates.records_out_per_second),
        },
    })
}

fn plan_node(vertex: &VertexOutline, parallelism: usize) -> Value {
    let inputs: Vec<Value> = vertex
        .inputs
        .iter()
        .enumerate()
        .map(|(number, (from, strategy))| {
            json!({
                "num": number,
                "id": from.as_str(),
                "ship_strategy": strategy.name(),
                "exchange": "pipelined_bounded",
            })
        })
        .collect();
    json!({
        "id": vertex.id.as_str(),
        "parallelism": parallelism,
        "operator": "",
        "description": vertex.name(),
        "inputs": inputs,
    })
}

/// How many subtasks are in each status, by its name in capitals.
fn status_counts(tasks: &[IndexedTask]) -> Map<String, Value> {
    let count = |status| {
        tasks
            .iter()
            .filter(|(_, task)| task.status == status)
            .count()
    };
    TaskStatus::ALL
        .iter()
        .map(|status| (status.name().to_owned(), json!(count(*status))))
        .collect()
}

/// The same by its name in small letters, with the total.
fn task_counts(tasks: &[IndexedTask]) -> Map<String, Value> {
    let counts = status_counts(tasks).into_iter();
    let total = [("total".to_owned(), json!(tasks.len()))];
    let counts = counts.map(|(name, count)| (name.to_lowercase(), count));
    total.into_iter().chain(counts).collect()
}

fn millis(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// What has failed in the job, the newest first, in Flink's form.
pub(super) fn exceptions(job: &ServedJob) -> Value {
    let failures = job.status.failures();
    let entries: Vec<Value> = failures
        .iter()
        .rev()
        .map(|failure| {
            json!({
                "exceptionName": failure.message,
                "stacktrace": failure.message,
                "timestamp": failure.unix_millis,
                "taskName": failure.subtask.as_ref().map(ToString::to_string),
                "failureLabels": {},
                "concurrentExceptions": [],
            })
        })
        .collect();
    let newest = failures.last();
    json!({
        "root-exception": newest.map(|failure| &failure.message),
        "timestamp": newest.map(|failure| failure.unix_millis),
        "all-exceptions": [],
        "truncated": false,
        "exceptionHistory": { "entries": entries, "truncated": false },
    })
}
