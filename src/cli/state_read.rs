//! `floodmark state read`

use std::io::{self, BufWriter, ErrorKind as IoErrorKind, Write};
use std::ops::ControlFlow;

use tracing::warn;

use super::offline_arguments::{RowsFormat, StateReadArguments};
use super::shown_row::{RowPart, ShownRow, csv_cell, csv_columns, csv_titles};
use super::snapshots::{block_on, open};
use crate::error::{Error, ErrorKind, Result};
use crate::model::OperatorId;
use crate::operator::RowFormat;
use crate::snapshot::SnapshotAt;
use crate::snapshot::offline::{
    KeyedStateReader, OperatorStateRow, ReadLimits, operator_state_rows,
};
use crate::state::rows::RowValue;

/// Prints the rows of a state.
pub(super) fn read(arguments: &StateReadArguments) -> Result<()> {
    let mut printer = RowPrinter::new(arguments.limit, io::stdout().lock());
    block_on(async {
        let snapshot = open(&arguments.snapshot.path).await?;
        let operator = OperatorId::new(&arguments.operator);
        let state = &arguments.state;
        match operator_state_rows(&snapshot, &operator, state).await? {
            Some(rows) => print_operator_state(&rows, arguments, &mut printer),
            None => print_keyed(&snapshot, arguments, &mut printer).await,
        }
    })?;
    printer.finish()
}

async fn print_keyed(
    snapshot: &SnapshotAt,
    arguments: &StateReadArguments,
    printer: &mut RowPrinter<impl Write>,
) -> Result<()> {
    let reader = KeyedStateReader::find(snapshot, &arguments.operator, &arguments.state)?;
    let operator = OperatorId::new(&arguments.operator);
    let descriptor = reader.descriptor();
    let format = RowFormat::new(snapshot.manifest(), &operator, &arguments.state, descriptor)?;
    warn_of_opaque(&format.codec().opaque_schemas());
    let key = arguments.key.as_deref();
    let limits = ReadLimits {
        key: key.map(|typed| format.parse_key(typed)).transpose()?,
        ..ReadLimits::default()
    };
    if arguments.format == RowsFormat::Csv {
        printer.write_title(&csv_titles(&csv_columns(&format, descriptor.kind)))?;
    }
    if printer.has_enough() {
        return Ok(());
    }
    let rows = reader.for_each(&limits, |row| {
        let shown = ShownRow::new(&format, &row)?;
        printer.write_row(&match arguments.format {
            RowsFormat::Json => shown.to_object().to_json(),
            RowsFormat::Csv => shown.to_csv(&format, descriptor.kind),
        })
    });
    rows.await
}

fn print_operator_state(
    rows: &[OperatorStateRow<'_>],
    arguments: &StateReadArguments,
    printer: &mut RowPrinter<impl Write>,
) -> Result<()> {
    if arguments.key.is_some() {
        let message = format!(
            "state \"{}\" belongs to no key: leave --key out",
            arguments.state
        );
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    let has_key = rows.iter().any(|row| row.item.key.is_some());
    if arguments.format == RowsFormat::Csv {
        let key = has_key.then_some(RowPart::Key);
        let parts = [Some(RowPart::Subtask), key, Some(RowPart::Value)];
        let titles = parts.into_iter().flatten().map(RowPart::title);
        printer.write_title(&titles.collect::<Vec<_>>().join(","))?;
    }
    for row in rows {
        if printer.has_enough() {
            break;
        }
        let subtask = RowValue::Integer(row.subtask as i128);
        let parts = [
            Some((RowPart::Subtask, &subtask)),
            row.item.key.as_ref().map(|key| (RowPart::Key, key)),
            Some((RowPart::Value, &row.item.value)),
        ];
        let parts = parts.into_iter().flatten();
        let line = match arguments.format {
            RowsFormat::Csv => parts
                .map(|(_, part)| csv_cell(part))
                .collect::<Vec<_>>()
                .join(","),
            RowsFormat::Json => {
                let fields = parts.map(|(name, part)| (name.to_string(), part.clone()));
                RowValue::Record(fields.collect()).to_json()
            }
        };
        if printer.write_row(&line)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Says which types are shown as bytes, and why.
pub(super) fn warn_of_opaque(schemas: &[&str]) {
    for schema in schemas {
        warn!(
            schema,
            "the schema does not say how it is laid out, so its bytes are shown in hex"
        );
    }
}

/// Writes lines until there are enough.
pub(super) struct RowPrinter<W: Write> {
    writer: BufWriter<W>,
    /// How many rows may still be written.
    left: u64,
    /// Whether the reader at the other end has read enough (`| head`).
    is_closed: bool,
}

impl<W: Write> RowPrinter<W> {
    /// Writes at most `limit` rows to `writer`.
    pub(super) fn new(limit: Option<u64>, writer: W) -> Self {
        Self {
            writer: BufWriter::new(writer),
            left: limit.unwrap_or(u64::MAX),
            is_closed: false,
        }
    }

    /// Whether no row is wanted any more.
    pub(super) fn has_enough(&self) -> bool {
        self.left == 0 || self.is_closed
    }

    /// Writes a line that is no row.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when it cannot be written. A reader that has gone is no error.
    pub(super) fn write_title(&mut self, line: &str) -> Result<()> {
        let written = writeln!(self.writer, "{line}");
        self.outcome(written)
    }

    /// Writes a row; says whether more are wanted.
    ///
    /// # Errors
    /// As for [`RowPrinter::write_title`].
    pub(super) fn write_row(&mut self, line: &str) -> Result<ControlFlow<()>> {
        self.write_title(line)?;
        self.left = self.left.saturating_sub(1);
        Ok(match self.has_enough() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    /// Writes what is still kept back.
    ///
    /// # Errors
    /// As for [`RowPrinter::write_title`].
    pub(super) fn finish(mut self) -> Result<()> {
        let flushed = self.writer.flush();
        self.outcome(flushed)
    }

    fn outcome(&mut self, written: io::Result<()>) -> Result<()> {
        match written {
            Err(error) if error.kind() == IoErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            Err(error) => Err(Error::io("write to standard output", error)),
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rows_are_written_than_are_wanted() {
        let mut bytes = Vec::new();
        let mut printer = RowPrinter::new(Some(2), &mut bytes);
        printer.write_title("title").unwrap();
        assert!(printer.write_row("1").unwrap().is_continue());
        assert!(printer.write_row("2").unwrap().is_break());
        assert!(printer.has_enough());
        printer.finish().unwrap();
        assert_eq!(bytes, b"title\n1\n2\n");
        assert!(RowPrinter::new(Some(0), Vec::new()).has_enough());
    }
}
