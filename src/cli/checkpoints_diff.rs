//! `floodmark checkpoints diff`

use std::io;

use super::offline_arguments::DiffArguments;
use super::output::{print, print_json};
use super::shown_row::{RowPart, ShownRow};
use super::snapshots::{block_on, open_named};
use super::state_read::RowPrinter;
use super::text_table::{Align, render_table};
use crate::error::Result;
use crate::model::OperatorId;
use crate::operator::RowFormat;
use crate::snapshot::SnapshotAt;
use crate::snapshot::offline::{
    KeyedDifference, KeyedStateReader, OperatorDifference, ReadLimits, RowChange, Sides,
    SnapshotDifference, StoredRow,
};
use crate::state::rows::RowValue;

/// Compares two snapshots.
pub(super) fn diff(arguments: &DiffArguments) -> Result<()> {
    let mut printer = RowPrinter::new(None, io::stdout().lock());
    let difference = block_on(async {
        let job = arguments.job.as_deref();
        let a = open_named(&arguments.a, job).await?;
        let b = open_named(&arguments.b, job).await?;
        let memory_bytes = ReadLimits::default().memory_bytes;
        let mut rows = ChangePrinter {
            snapshots: Sides {
                a: Some(&a),
                b: Some(&b),
            },
            shown: None,
            formats: Sides { a: None, b: None },
        };
        let compared = SnapshotDifference::between(&a, &b, memory_bytes, |change| {
            if arguments.rows && !printer.has_enough() {
                let line = rows.line(&change)?;
                printer.write_title(&line)?;
            }
            Ok(())
        });
        compared.await
    })?;
    printer.finish()?;
    if arguments.rows {
        Ok(())
    } else if arguments.json {
        print_json(&difference)
    } else if difference.is_empty() {
        print("the snapshots hold the same")
    } else {
        print(&render(&difference))
    }
}

/// Shows rows that differ; those of one state come one after the other.
struct ChangePrinter<'s> {
    snapshots: Sides<&'s SnapshotAt>,
    /// The state that the formats are of.
    shown: Option<(OperatorId, String)>,
    formats: Sides<RowFormat>,
}

impl ChangePrinter<'_> {
    /// A row that differs, as a line of JSON: the values, and under which key.
    fn line(&mut self, change: &RowChange<'_>) -> Result<String> {
        let is_shown = self
            .shown
            .as_ref()
            .is_some_and(|(operator, state)| operator == change.operator && state == change.state);
        if !is_shown {
            self.formats = Sides {
                a: self.format(self.snapshots.a, change)?,
                b: self.format(self.snapshots.b, change)?,
            };
            self.shown = Some((change.operator.clone(), change.state.to_owned()));
        }
        let show = |format: &Option<RowFormat>, row: Option<&StoredRow>| match (format, row) {
            (Some(format), Some(row)) => ShownRow::new(format, row).map(Some),
            _ => Ok(None),
        };
        let a = show(&self.formats.a, change.a)?;
        let b = show(&self.formats.b, change.b)?;
        let text = |text: &str| RowValue::Text(text.to_owned());
        let mut fields = vec![
            ("operator", text(change.operator.as_str())),
            ("state", text(change.state)),
        ];
        if let Some(row) = a.as_ref().or(b.as_ref()) {
            fields.push((RowPart::Key.title(), row.key.clone()));
            fields.extend(
                row.map_key
                    .clone()
                    .map(|key| (RowPart::MapKey.title(), key)),
            );
        }
        let ends = [("a_expires_at", &a), ("b_expires_at", &b)];
        let ends = ends.map(|(name, row)| Some((name, row.as_ref()?.expires_at.clone()?)));
        fields.extend(a.as_ref().map(|row| ("a", row.value.clone())));
        fields.extend(b.as_ref().map(|row| ("b", row.value.clone())));
        fields.extend(ends.into_iter().flatten());
        let named = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Ok(RowValue::Record(named.collect()).to_json())
    }

    fn format(
        &self,
        snapshot: Option<&SnapshotAt>,
        change: &RowChange<'_>,
    ) -> Result<Option<RowFormat>> {
        let Some(snapshot) = snapshot else {
            return Ok(None);
        };
        let operator = change.operator;
        let reader = KeyedStateReader::find(snapshot, operator.as_str(), change.state)?;
        let manifest = snapshot.manifest();
        RowFormat::new(manifest, operator, change.state, reader.descriptor()).map(Some)
    }
}

fn render(difference: &SnapshotDifference) -> String {
    let operators = difference.operators.iter();
    let blocks = [
        operators
            .clone()
            .flat_map(operator_lines)
            .collect::<Vec<_>>()
            .join("\n"),
        render_states(operators.flat_map(|operator| {
            let states = operator.states.iter();
            states.map(move |state| (operator, state))
        })),
    ];
    let blocks: Vec<String> = blocks
        .into_iter()
        .filter(|block| !block.is_empty())
        .collect();
    blocks.join("\n\n")
}

/// What differs of an operator beside its states.
fn operator_lines(difference: &OperatorDifference) -> Vec<String> {
    let id = &difference.operator;
    let mut lines = Vec::new();
    match (difference.parallelism.a, difference.parallelism.b) {
        (Some(_), None) => lines.push(format!("{id}: only in a")),
        (None, Some(_)) => lines.push(format!("{id}: only in b")),
        (Some(a), Some(b)) if a != b => lines.push(format!("{id}: parallelism {a} -> {b}")),
        _ => {}
    }
    if let Sides {
        a: Some(a),
        b: Some(b),
    } = &difference.type_name
        && a != b
    {
        lines.push(format!("{id}: type {a} -> {b}"));
    }
    if let Some(Sides {
        a: Some(a),
        b: Some(b),
    }) = &difference.items
    {
        for subtask in 0..a.len().max(b.len()) {
            let shown = |items: &Vec<Vec<serde_json::Value>>| match items.get(subtask) {
                Some(items) => serde_json::Value::from(items.clone()).to_string(),
                None => "nothing".to_owned(),
            };
            let (a, b) = (shown(a), shown(b));
            if a != b {
                lines.push(format!("{id}[{subtask}]: {a} -> {b}"));
            }
        }
    }
    lines
}

/// A table of the states that differ; nothing when none does.
fn render_states<'d>(
    states: impl Iterator<Item = (&'d OperatorDifference, &'d KeyedDifference)>,
) -> String {
    let columns = [
        ("OPERATOR", Align::Left),
        ("STATE", Align::Left),
        ("VERSION", Align::Left),
        ("ROWS", Align::Left),
        ("ONLY IN A", Align::Right),
        ("ONLY IN B", Align::Right),
        ("CHANGED", Align::Right),
        ("SCHEMA", Align::Left),
    ];
    let rows: Vec<Vec<String>> = states
        .filter(|(_, state)| !state.is_same())
        .map(|(operator, state)| cells(operator, state))
        .collect();
    match rows.as_slice() {
        [] => String::new(),
        rows => render_table(&columns, rows),
    }
}

fn cells(operator: &OperatorDifference, state: &KeyedDifference) -> Vec<String> {
    let count = |of: fn(&crate::snapshot::offline::RowCounts) -> u64| {
        let counts = state.changes.as_ref();
        counts.map_or_else(|| "-".to_owned(), |counts| of(counts).to_string())
    };
    vec![
        operator.operator.to_string(),
        state.state.clone(),
        sides(&state.version),
        sides(&state.rows),
        count(|counts| counts.only_in_a),
        count(|counts| counts.only_in_b),
        count(|counts| counts.changed),
        if state.schema.is_same() {
            "same".to_owned()
        } else {
            sides(&state.schema)
        },
    ]
}

/// Both sides, or the one when they are the same.
fn sides<T: ToString + PartialEq>(sides: &Sides<T>) -> String {
    let shown = |side: &Option<T>| side.as_ref().map_or_else(|| "-".to_owned(), T::to_string);
    if sides.is_same() {
        shown(&sides.a)
    } else {
        format!("{} -> {}", shown(&sides.a), shown(&sides.b))
    }
}
