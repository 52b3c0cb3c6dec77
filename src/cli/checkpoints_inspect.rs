//! `floodmark checkpoints inspect`

use super::arguments::InspectArguments;
use super::checkpoint_row::{CheckpointDetail, PieceRow};
use super::checkpoints_list::render_rows;
use super::connections;
use super::load::load_job;
use super::output::{print, print_json};
use super::state_rows::StateRow;
use super::text_table::{Align, render_table};
use crate::error::Result;
use crate::telemetry::format_bytes;

/// Shows what a checkpoint consists of.
pub(super) fn inspect(arguments: &InspectArguments) -> Result<()> {
    let job = load_job(&arguments.job.path)?;
    let detail = connections::checkpoint(&job, arguments.id)?;
    if arguments.json {
        print_json(&detail)
    } else {
        print(&render_detail(&detail))
    }
}

pub(super) fn render_detail(detail: &CheckpointDetail) -> String {
    let job = format!(
        "job {}, parallelism {}, {} key groups",
        detail.job, detail.parallelism, detail.max_parallelism
    );
    let row = render_rows(std::slice::from_ref(&detail.row));
    let states = render_states(&detail.states);
    let columns = [
        ("OPERATOR", Align::Left),
        ("SUBTASK", Align::Right),
        ("PIECE", Align::Left),
        ("KEY GROUPS", Align::Left),
        ("SIZE", Align::Right),
        ("OBJECT", Align::Left),
    ];
    let pieces: Vec<Vec<String>> = detail.pieces.iter().map(cells).collect();
    format!(
        "{job}\n\n{row}\n\n{states}{}",
        render_table(&columns, &pieces)
    )
}

/// A table, with an empty line after it; nothing when there is no state.
fn render_states(states: &[StateRow]) -> String {
    if states.is_empty() {
        return String::new();
    }
    let columns = [
        ("OPERATOR", Align::Left),
        ("STATE", Align::Left),
        ("VERSION", Align::Right),
        ("BASES", Align::Right),
        ("DELTAS", Align::Right),
        ("VALUE", Align::Left),
    ];
    let cells = |state: &StateRow| {
        vec![
            state.operator.to_string(),
            state.state.clone(),
            state.version.to_string(),
            format_bytes(state.base_bytes),
            format_bytes(state.delta_bytes),
            state.value_schema.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = states.iter().map(cells).collect();
    format!("{}\n\n", render_table(&columns, &rows))
}

fn cells(piece: &PieceRow) -> Vec<String> {
    let key_groups = match piece.key_groups {
        Some((start, end)) => format!("{start}..{end}"),
        None => "-".to_owned(),
    };
    vec![
        piece.operator.to_string(),
        piece.subtask.to_string(),
        piece.kind.clone(),
        key_groups,
        format_bytes(piece.bytes),
        piece.object.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::checkpoint_row::{CheckpointRow, CheckpointStatus};
    use super::*;
    use crate::model::{CheckpointId, EventTime, OperatorId};
    use crate::snapshot::SnapshotKind;

    fn detail() -> CheckpointDetail {
        let piece = |operator: &str, kind: &str, key_groups, object: Option<&str>| PieceRow {
            operator: OperatorId::new(operator),
            subtask: 0,
            kind: kind.to_owned(),
            key_groups,
            object: object.map(str::to_owned),
            bytes: 1500,
        };
        CheckpointDetail {
            row: CheckpointRow {
                id: CheckpointId(3),
                status: CheckpointStatus::Completed,
                kind: SnapshotKind::Checkpoint,
                completed_at: Some(EventTime(0)),
                duration: Some(Duration::from_secs(2)),
                bytes: 3000,
                full_bytes: 3000,
                reason: None,
            },
            job: "flights".to_owned(),
            parallelism: 1,
            max_parallelism: 128,
            states: vec![StateRow {
                operator: OperatorId::new("by_carrier"),
                state: "aggregate".to_owned(),
                version: 1,
                value_schema: "list<u64>".to_owned(),
                base_bytes: 1500,
                delta_bytes: 0,
            }],
            pieces: vec![
                piece("in", "list", None, None),
                piece("by_carrier", "base", Some((0, 128)), Some("shared/1.base")),
            ],
        }
    }

    #[test]
    fn a_checkpoint_is_shown_with_all_its_pieces() {
        let expected = "\
job flights, parallelism 1, 128 key groups

ID  STATUS     KIND        COMPLETED AT          DURATION  WRITTEN  FULL SIZE
 3  completed  checkpoint  1970-01-01T00:00:00Z     2.0 s   3.0 kB     3.0 kB

OPERATOR    STATE      VERSION   BASES  DELTAS  VALUE
by_carrier  aggregate        1  1.5 kB     0 B  list<u64>

OPERATOR    SUBTASK  PIECE  KEY GROUPS    SIZE  OBJECT
in                0  list   -           1.5 kB  -
by_carrier        0  base   0..128      1.5 kB  shared/1.base";
        assert_eq!(render_detail(&detail()), expected);
    }

    #[test]
    fn json_holds_the_row_and_the_pieces() {
        let json = serde_json::to_value(detail()).unwrap();
        assert_eq!(json["id"], 3);
        assert_eq!(json["kind"], "checkpoint");
        assert_eq!(json["pieces"][1]["key_groups"], serde_json::json!([0, 128]));
        assert_eq!(json["pieces"][0]["object"], serde_json::Value::Null);
    }
}
