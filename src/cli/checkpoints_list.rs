//! `floodmark checkpoints list`

use super::arguments::ListArguments;
use super::checkpoint_row::CheckpointRow;
use super::checkpoints_history::list_history;
use super::connections;
use super::load::load_job;
use super::output::{print, print_json};
use super::text_table::{Align, render_table};
use crate::error::Result;
use crate::telemetry::{format_bytes, format_duration};

/// Lists the job's checkpoints.
pub(super) fn list(arguments: &ListArguments) -> Result<()> {
    if arguments.history {
        return list_history(arguments);
    }
    let job = load_job(&arguments.job.path)?;
    let rows = connections::checkpoints(&job)?;
    if arguments.json {
        print_json(&rows)
    } else if rows.is_empty() {
        let storage = &job.checkpoint.storage;
        print(&format!(
            "job {} has no checkpoint in {storage}",
            job.job.name
        ))
    } else {
        print(&render_rows(&rows))
    }
}

/// A table with one line for each checkpoint.
pub(super) fn render_rows(rows: &[CheckpointRow]) -> String {
    let columns = [
        ("ID", Align::Right),
        ("STATUS", Align::Left),
        ("KIND", Align::Left),
        ("COMPLETED AT", Align::Left),
        ("DURATION", Align::Right),
        ("WRITTEN", Align::Right),
        ("FULL SIZE", Align::Right),
        ("REASON", Align::Left),
    ];
    // A column that is empty in every row is of no use.
    let used = match rows.iter().any(|row| row.reason.is_some()) {
        true => columns.len(),
        false => columns.len() - 1,
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    render_table(&columns[..used], &rows)
}

fn cells(row: &CheckpointRow) -> Vec<String> {
    vec![
        row.id.to_string(),
        row.status.as_str().to_owned(),
        row.kind.as_str().to_owned(),
        row.completed_at
            .map_or_else(unknown, |time| time.to_string()),
        row.duration.map_or_else(unknown, format_duration),
        format_bytes(row.bytes),
        format_bytes(row.full_bytes),
        row.reason.clone().unwrap_or_default(),
    ]
}

fn unknown() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::checkpoint_row::CheckpointStatus;
    use super::*;
    use crate::model::{CheckpointId, EventTime};
    use crate::snapshot::SnapshotKind;

    fn completed(id: u64) -> CheckpointRow {
        CheckpointRow {
            id: CheckpointId(id),
            status: CheckpointStatus::Completed,
            kind: SnapshotKind::Checkpoint,
            completed_at: Some(EventTime(1_357_380_000_250)),
            duration: Some(Duration::from_micros(12_300)),
            bytes: 3_400_000,
            full_bytes: 45_300_000,
            reason: None,
        }
    }

    fn damaged(id: u64) -> CheckpointRow {
        CheckpointRow {
            status: CheckpointStatus::Damaged,
            completed_at: None,
            duration: None,
            bytes: 0,
            full_bytes: 0,
            reason: Some("manifest.json: checksum does not match".to_owned()),
            ..completed(id)
        }
    }

    #[test]
    fn the_list_is_aligned() {
        let expected = "\
ID  STATUS     KIND        COMPLETED AT             DURATION  WRITTEN  FULL SIZE
17  completed  checkpoint  2013-01-05T10:00:00.25Z     12 ms   3.4 MB    45.3 MB
 9  completed  checkpoint  2013-01-05T10:00:00.25Z     12 ms   3.4 MB    45.3 MB";
        assert_eq!(render_rows(&[completed(17), completed(9)]), expected);
    }

    #[test]
    fn a_damaged_checkpoint_says_why() {
        let shown = render_rows(&[damaged(18), completed(17)]);
        assert!(
            shown.lines().next().unwrap().ends_with("  REASON"),
            "{shown}"
        );
        let line = shown.lines().nth(1).unwrap();
        assert!(line.starts_with("18  damaged  "), "{line}");
        assert!(
            line.ends_with("  manifest.json: checksum does not match"),
            "{line}"
        );
    }

    #[test]
    fn json_has_plain_units() {
        let row = serde_json::to_value(completed(17)).unwrap();
        let expected = serde_json::json!({
            "id": 17,
            "status": "completed",
            "kind": "checkpoint",
            "completed_at": "2013-01-05T10:00:00.25Z",
            "duration_millis": 12.3,
            "bytes": 3_400_000,
            "full_bytes": 45_300_000,
            "reason": null,
        });
        assert_eq!(row, expected);
        let row = serde_json::to_value(damaged(18)).unwrap();
        assert_eq!(row["completed_at"], serde_json::Value::Null);
        assert_eq!(row["duration_millis"], serde_json::Value::Null);
    }
}
