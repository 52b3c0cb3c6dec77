//! `floodmark savepoint list`

use super::checkpoint_row::CheckpointStatus;
use super::connections;
use super::output::{print, print_json};
use super::savepoint_arguments::SavepointListArguments;
use super::savepoint_row::SavepointRow;
use super::text_table::{Align, render_table};
use crate::error::Result;
use crate::telemetry::format_bytes;

/// Lists the savepoints in a directory.
pub(super) fn list(arguments: &SavepointListArguments) -> Result<()> {
    let rows = connections::savepoints(&arguments.directory)?;
    if arguments.json {
        print_json(&rows)
    } else if rows.is_empty() {
        print(&format!("there is no savepoint in {}", arguments.directory))
    } else {
        print(&render_rows(&rows))
    }
}

/// A table with one line for each savepoint.
fn render_rows(rows: &[SavepointRow]) -> String {
    let columns = [
        ("PATH", Align::Left),
        ("JOB", Align::Left),
        ("ID", Align::Right),
        ("STATUS", Align::Left),
        ("COMPLETED AT", Align::Left),
        ("SIZE", Align::Right),
        ("REASON", Align::Left),
    ];
    let has_reason = rows.iter().any(|row| row.reason.is_some());
    let used = columns.len() - usize::from(!has_reason);
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    render_table(&columns[..used], &rows)
}

fn cells(row: &SavepointRow) -> Vec<String> {
    let unknown = || "-".to_owned();
    vec![
        row.path.clone(),
        row.job.clone().unwrap_or_else(unknown),
        row.id.map_or_else(unknown, |id| id.to_string()),
        row.status.as_str().to_owned(),
        row.completed_at
            .map_or_else(unknown, |time| time.to_string()),
        match row.status {
            CheckpointStatus::Completed => format_bytes(row.bytes),
            CheckpointStatus::Damaged => unknown(),
        },
        row.reason.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CheckpointId, EventTime};

    #[test]
    fn the_list_names_each_savepoint_by_its_path_and_says_why_one_is_of_no_use() {
        let whole = SavepointRow {
            path: "sp/savepoint-flights-7".to_owned(),
            job: Some("flights".to_owned()),
            id: Some(CheckpointId(7)),
            status: CheckpointStatus::Completed,
            completed_at: Some(EventTime(1_357_380_000_250)),
            bytes: 3_400_000,
            reason: None,
        };
        let expected = "\
PATH                    JOB      ID  STATUS     COMPLETED AT               SIZE
sp/savepoint-flights-7  flights   7  completed  2013-01-05T10:00:00.25Z  3.4 MB";
        assert_eq!(render_rows(std::slice::from_ref(&whole)), expected);
        let damaged = SavepointRow {
            path: "sp/old".to_owned(),
            job: None,
            id: None,
            status: CheckpointStatus::Damaged,
            completed_at: None,
            bytes: 0,
            reason: Some("its manifest is empty".to_owned()),
        };
        let shown = render_rows(&[whole, damaged]);
        assert!(shown.ends_with("  its manifest is empty"), "{shown}");
    }
}
