//! One line that says how a job gets on.

use std::time::Duration;

use super::figures::{format_bytes, format_count, format_duration};
use super::status::{JobPhase, StatusSnapshot};

/// The line for `now`; the rate is that since `previous`, which was `elapsed` ago. For example
/// `1.2 M records/s · 45.3 M records · checkpoint 17: 12 ms, 3.4 MB · watermark 2013-01-05T10:00:00Z`.
pub fn render_progress(
    previous: &StatusSnapshot,
    now: &StatusSnapshot,
    elapsed: Duration,
) -> String {
    let mut parts = Vec::new();
    if !matches!(now.phase, JobPhase::Running | JobPhase::Ended) {
        parts.push(now.phase.as_str().to_owned());
    }
    let added = now.records_in.saturating_sub(previous.records_in);
    parts.push(format!("{} records/s", format_count(rate(added, elapsed))));
    parts.push(format!("{} records", format_count(now.records_in)));
    if now.records_skipped > 0 {
        parts.push(format!("{} skipped", format_count(now.records_skipped)));
    }
    if let Some(checkpoint) = now.last_checkpoint {
        parts.push(format!(
            "checkpoint {}: {}, {}",
            checkpoint.id,
            format_duration(checkpoint.duration),
            format_bytes(checkpoint.bytes)
        ));
    }
    match now.restarts {
        0 => {}
        1 => parts.push("1 restart".to_owned()),
        restarts => parts.push(format!("{restarts} restarts")),
    }
    match now.checkpoints_failed {
        0 => {}
        1 => parts.push("1 checkpoint failed".to_owned()),
        failed => parts.push(format!("{failed} checkpoints failed")),
    }
    // Last, because a narrow terminal cuts the line, and the longest part is what can be done without best.
    if let Some(watermark) = now.watermark {
        parts.push(format!("watermark {watermark}"));
    }
    parts.join(" · ")
}

/// Per second; 0 when no time has passed.
fn rate(added: u64, elapsed: Duration) -> u64 {
    if elapsed.is_zero() {
        return 0;
    }
    (added as f64 / elapsed.as_secs_f64()).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CheckpointId, EventTime};
    use crate::telemetry::LastCheckpoint;

    fn running(records_in: u64) -> StatusSnapshot {
        StatusSnapshot {
            phase: JobPhase::Running,
            records_in,
            ..StatusSnapshot::default()
        }
    }

    fn check(previous: u64, now: &StatusSnapshot, elapsed_millis: u64, expected: &str) {
        let elapsed = Duration::from_millis(elapsed_millis);
        assert_eq!(render_progress(&running(previous), now, elapsed), expected);
    }

    #[test]
    fn the_rate_is_that_since_the_previous_snapshot() {
        check(0, &running(0), 0, "0 records/s · 0 records");
        check(0, &running(50), 100, "500 records/s · 50 records");
        check(
            1_000,
            &running(3_500),
            2_000,
            "1.2 k records/s · 3.5 k records",
        );
        check(3_500, &running(1_000), 1_000, "0 records/s · 1.0 k records");
    }

    #[test]
    fn only_what_there_is_to_say_is_said() {
        let full = StatusSnapshot {
            watermark: Some(EventTime(1_357_380_000_000)),
            last_checkpoint: Some(LastCheckpoint {
                id: CheckpointId(17),
                duration: Duration::from_millis(12),
                bytes: 3_400_000,
            }),
            ..running(45_300_000)
        };
        let line = "1.2 M records/s · 45.3 M records · checkpoint 17: 12 ms, 3.4 MB · watermark 2013-01-05T10:00:00Z";
        check(44_100_000, &full, 1_000, line);
        let troubled = StatusSnapshot {
            records_skipped: 3,
            checkpoints_failed: 2,
            restarts: 4,
            watermark: Some(EventTime::MAX),
            phase: JobPhase::Stopping,
            ..running(10)
        };
        let line = "stopping · 0 records/s · 10 records · 3 skipped · 4 restarts · 2 checkpoints failed · watermark end";
        check(10, &troubled, 1_000, line);
    }
}
