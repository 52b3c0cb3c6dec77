//! `floodmark checkpoints list --history`

use std::time::Duration;

use super::arguments::ListArguments;
use super::connections;
use super::load::load_job;
use super::output::{print, print_json};
use super::text_table::{Align, render_table};
use crate::error::Result;
use crate::model::EventTime;
use crate::telemetry::statistics::{CheckpointReport, CheckpointState, SubtaskReport};
use crate::telemetry::{format_bytes, format_duration};

/// Says what became of the job's last checkpoints, the newest first.
pub(super) fn list_history(arguments: &ListArguments) -> Result<()> {
    let job = load_job(&arguments.job.path)?;
    let mut reports = connections::history(&job)?;
    reports.reverse();
    if arguments.json {
        print_json(&reports)
    } else if reports.is_empty() {
        let (name, storage) = (&job.job.name, &job.checkpoint.storage);
        print(&format!("job {name} has no history in {storage}"))
    } else if arguments.subtasks {
        print(&render_subtasks(&reports))
    } else {
        print(&render_reports(&reports))
    }
}

/// One line for each checkpoint. The times of subtasks are those of the slowest one.
fn render_reports(reports: &[CheckpointReport]) -> String {
    let columns = [
        ("ID", Align::Right),
        ("STATUS", Align::Left),
        ("KIND", Align::Left),
        ("TRIGGERED AT", Align::Left),
        ("DURATION", Align::Right),
        ("ACKS", Align::Right),
        ("WRITTEN", Align::Right),
        ("IN FLIGHT", Align::Right),
        ("START DELAY", Align::Right),
        ("ALIGNMENT", Align::Right),
        ("SYNC", Align::Right),
        ("ASYNC", Align::Right),
        ("REASON", Align::Left),
    ];
    // A column that is empty in every row is of no use.
    let used = match reports.iter().any(|report| report.failure.is_some()) {
        true => columns.len(),
        false => columns.len() - 1,
    };
    let rows: Vec<Vec<String>> = reports.iter().map(report_cells).collect();
    render_table(&columns[..used], &rows)
}

fn report_cells(report: &CheckpointReport) -> Vec<String> {
    let longest = |part: fn(&SubtaskReport) -> Duration| {
        report.longest(part).map_or("-".to_owned(), format_duration)
    };
    let failure = report.failure.as_ref();
    let reason = failure.map(|failure| match &failure.message {
        Some(message) => format!("{}: {message}", failure.reason),
        None => failure.reason.clone(),
    });
    vec![
        report.id.to_string(),
        status(report).to_owned(),
        report.kind.clone(),
        EventTime(report.triggered_unix_millis).to_string(),
        format_duration(report.duration),
        format!("{}/{}", report.subtasks.len(), report.subtasks_total),
        format_bytes(report.bytes),
        format_bytes(report.in_flight_bytes()),
        longest(|part| part.start_delay),
        longest(|part| part.alignment),
        longest(|part| part.sync),
        longest(|part| part.r#async),
        reason.unwrap_or_default(),
    ]
}

/// One line for each subtask of each checkpoint.
fn render_subtasks(reports: &[CheckpointReport]) -> String {
    let columns = [
        ("ID", Align::Right),
        ("SUBTASK", Align::Left),
        ("DURATION", Align::Right),
        ("WRITTEN", Align::Right),
        ("FULL SIZE", Align::Right),
        ("IN FLIGHT", Align::Right),
        ("START DELAY", Align::Right),
        ("ALIGNMENT", Align::Right),
        ("SYNC", Align::Right),
        ("ASYNC", Align::Right),
        ("UNALIGNED", Align::Left),
    ];
    let rows: Vec<Vec<String>> = reports
        .iter()
        .flat_map(|report| report.subtasks.iter().map(|part| part_cells(report, part)))
        .collect();
    render_table(&columns, &rows)
}

fn part_cells(report: &CheckpointReport, part: &SubtaskReport) -> Vec<String> {
    vec![
        report.id.to_string(),
        part.subtask.to_string(),
        format_duration(part.duration),
        format_bytes(part.bytes),
        format_bytes(part.full_bytes),
        format_bytes(part.in_flight_bytes),
        format_duration(part.start_delay),
        format_duration(part.alignment),
        format_duration(part.sync),
        format_duration(part.r#async),
        match part.is_unaligned {
            true => "yes".to_owned(),
            false => "no".to_owned(),
        },
    ]
}

fn status(report: &CheckpointReport) -> &'static str {
    match report.state {
        CheckpointState::InProgress => "in progress",
        CheckpointState::Completed if report.discarded => "discarded",
        CheckpointState::Completed => "completed",
        CheckpointState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CheckpointId, OperatorId, SubtaskId};
    use crate::telemetry::statistics::{CheckpointFailure, CheckpointStatistics, CompletedFigures};

    fn reports() -> Vec<CheckpointReport> {
        let mut statistics = CheckpointStatistics::new(10);
        let (first, second) = (CheckpointId(1), CheckpointId(2));
        let at = 1_357_380_000_250;
        statistics.triggered(first, "periodic", false, 1, at);
        let part = SubtaskReport {
            subtask: SubtaskId::new(OperatorId::new("sum"), 1),
            acknowledged_unix_millis: at + 12,
            duration: Duration::from_millis(12),
            start_delay: Duration::from_micros(300),
            alignment: Duration::from_millis(4),
            sync: Duration::from_micros(120),
            r#async: Duration::from_millis(7),
            bytes: 3_400_000,
            full_bytes: 45_300_000,
            in_flight_bytes: 2_000,
            is_unaligned: true,
            is_finished: false,
        };
        statistics.acknowledged(first, part);
        let figures = CompletedFigures {
            duration: Duration::from_millis(15),
            bytes: 3_401_000,
            full_bytes: 45_301_000,
            manifest_bytes: 1_000,
            path: "chk-1".to_owned(),
        };
        statistics.completed(first, figures);
        statistics.discarded(first);
        statistics.triggered(second, "requested", false, 1, at + 100);
        let failure = CheckpointFailure {
            reason: "CHECKPOINT_EXPIRED".to_owned(),
            message: None,
        };
        statistics.failed(second, Duration::from_secs(600), failure);
        statistics.reports().rev().cloned().collect()
    }

    #[test]
    fn each_checkpoint_has_a_line_with_its_slowest_subtask() {
        let expected = "
ID  STATUS     KIND       TRIGGERED AT               DURATION  ACKS  WRITTEN  IN FLIGHT  START DELAY  ALIGNMENT    SYNC   ASYNC  REASON
 2  failed     requested  2013-01-05T10:00:00.35Z  10 min 0 s   0/1      0 B        0 B            -          -       -       -  CHECKPOINT_EXPIRED
 1  discarded  periodic   2013-01-05T10:00:00.25Z       15 ms   1/1   3.4 MB     2.0 kB       0.3 ms     4.0 ms  0.1 ms  7.0 ms";
        assert_eq!(format!("\n{}", render_reports(&reports())), expected);
    }

    #[test]
    fn each_subtask_has_a_line() {
        let expected = "
ID  SUBTASK  DURATION  WRITTEN  FULL SIZE  IN FLIGHT  START DELAY  ALIGNMENT    SYNC   ASYNC  UNALIGNED
 1  sum[1]      12 ms   3.4 MB    45.3 MB     2.0 kB       0.3 ms     4.0 ms  0.1 ms  7.0 ms  yes";
        assert_eq!(format!("\n{}", render_subtasks(&reports())), expected);
    }
}
