//! `floodmark state ls`

use super::offline_arguments::StateLsArguments;
use super::output::{print, print_json};
use super::snapshots::{block_on, open};
use super::text_table::{Align, render_table};
use crate::error::Result;
use crate::snapshot::offline::{StateSummary, state_summaries};
use crate::telemetry::format_bytes;

/// Lists the states of a snapshot.
pub(super) fn ls(arguments: &StateLsArguments) -> Result<()> {
    let states = block_on(async {
        let snapshot = open(&arguments.snapshot.path).await?;
        state_summaries(&snapshot).await
    })?;
    if arguments.json {
        print_json(&states)
    } else if states.is_empty() {
        print("the snapshot has no state")
    } else {
        print(&render(&states))
    }
}

fn render(states: &[StateSummary]) -> String {
    let columns = [
        ("OPERATOR", Align::Left),
        ("STATE", Align::Left),
        ("KIND", Align::Left),
        ("VERSION", Align::Right),
        ("RECORDS", Align::Right),
        ("BYTES", Align::Right),
        ("KEY", Align::Left),
        ("VALUE", Align::Left),
    ];
    let rows: Vec<Vec<String>> = states.iter().map(cells).collect();
    render_table(&columns, &rows)
}

fn cells(state: &StateSummary) -> Vec<String> {
    let keys = [&state.key_schema, &state.map_key_schema];
    let keys: Vec<&str> = keys
        .into_iter()
        .flatten()
        .map(|schema| bare(schema))
        .collect();
    vec![
        state.operator.to_string(),
        state.state.clone(),
        state.kind.clone(),
        state.version.to_string(),
        state.records.to_string(),
        format_bytes(state.bytes),
        if keys.is_empty() {
            "-".to_owned()
        } else {
            keys.join(", ")
        },
        bare(&state.value_schema).to_owned(),
    ]
}

/// A schema without the size and the alignment that stand behind it.
fn bare(schema: &str) -> &str {
    match schema.rsplit_once(" (") {
        Some((bare, size)) if size.contains(" bytes, alignment ") => bare,
        _ => schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OperatorId;

    #[test]
    fn states_are_shown_with_their_types() {
        let keyed = StateSummary {
            operator: OperatorId::new("visits"),
            state: "pages".to_owned(),
            kind: "map".to_owned(),
            version: 2,
            key_schema: Some("u64 (8 bytes, alignment 8)".to_owned()),
            map_key_schema: Some("string (8 bytes, alignment 4)".to_owned()),
            value_schema: "struct (u8, u8) (2 bytes, alignment 1)".to_owned(),
            time_to_live: false,
            records: 12,
            bytes: 1500,
        };
        let operator_state = StateSummary {
            state: "rules".to_owned(),
            kind: "operator list".to_owned(),
            version: 3,
            key_schema: None,
            map_key_schema: None,
            ..keyed.clone()
        };
        let expected = "\
OPERATOR  STATE  KIND           VERSION  RECORDS   BYTES  KEY          VALUE
visits    pages  map                  2       12  1.5 kB  u64, string  struct (u8, u8)
visits    rules  operator list        3       12  1.5 kB  -            struct (u8, u8)";
        assert_eq!(render(&[keyed, operator_state]), expected);
    }
}
