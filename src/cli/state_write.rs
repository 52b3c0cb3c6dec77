//! `floodmark state write`

use super::load::load_job;
use super::offline_arguments::StateWriteArguments;
use super::output::print;
use super::row_edits::{KeyedRows, OperatorStateRows};
use super::row_input::{RowInput, RowTaker};
use super::snapshots::{block_on, new_location, open};
use crate::error::{Error, ErrorKind, Result};
use crate::graph;
use crate::model::{OperatorId, SystemClock};
use crate::operator::RowFormat;
use crate::snapshot::offline::{KeyedEdit, OperatorStateEdit, SavepointDraft, StateEdit};
use crate::telemetry::{TerminalLine, format_bytes, format_count};

/// Makes a savepoint with other rows.
pub(super) fn write(arguments: &StateWriteArguments, line: &TerminalLine) -> Result<()> {
    let target = new_location(&arguments.to)?;
    let (rows, written) = block_on(async {
        let draft = draft(arguments).await?;
        let (edit, rows) = read_edit(&draft, arguments, line)?;
        let written = draft.write(&edit, &target).await?;
        Ok((rows, written))
    })?;
    let done = if arguments.delete {
        "deleted"
    } else {
        "written"
    };
    let plural = if rows == 1 { "" } else { "s" };
    print(&format!(
        "savepoint in {}: {} row{plural} {done}, {}",
        written.folder,
        format_count(rows),
        format_bytes(written.bytes)
    ))
}

/// What the savepoint begins with.
async fn draft(arguments: &StateWriteArguments) -> Result<SavepointDraft> {
    let clock = SystemClock::shared();
    match (&arguments.from, &arguments.job) {
        (Some(snapshot), _) => {
            let snapshot = open(snapshot).await?;
            match arguments.new {
                true => SavepointDraft::empty_like(&snapshot, clock.unix_millis()),
                false => Ok(SavepointDraft::copy_of(&snapshot)),
            }
        }
        (None, Some(job)) => {
            let graph = graph::build(&load_job(job)?)?;
            let job = graph.new_job(&clock)?;
            Ok(SavepointDraft::of_job(job, clock.unix_millis()))
        }
        (None, None) => Err(Error::new(
            ErrorKind::Configuration,
            "name what to begin with: --from SNAPSHOT, or --new --job JOB.TOML",
        )),
    }
}

/// What the rows say, and how many there were.
fn read_edit(
    draft: &SavepointDraft,
    arguments: &StateWriteArguments,
    line: &TerminalLine,
) -> Result<(StateEdit, u64)> {
    let operator = OperatorId::new(&arguments.operator);
    let state = &arguments.state;
    let read = |taker: &mut dyn RowTaker| {
        RowInput::open(&arguments.rows, line)?.read(arguments.format, taker)
    };
    if let Some(edit) = OperatorStateEdit::new(draft, &operator, state)? {
        let mut taker = OperatorStateRows::new(edit, arguments.delete)?;
        let rows = read(&mut taker)?;
        return Ok((StateEdit::Operator(taker.edit), rows));
    }
    let descriptor = draft.keyed_state(&operator, state)?;
    let mut taker = KeyedRows {
        edit: KeyedEdit::new(draft, &operator, state)?,
        format: RowFormat::new(draft.manifest(), &operator, state, descriptor)?,
        kind: descriptor.kind,
        deletes: arguments.delete,
    };
    let rows = read(&mut taker)?;
    Ok((StateEdit::Keyed(taker.edit), rows))
}
