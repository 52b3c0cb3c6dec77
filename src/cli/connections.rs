//! Where the commands call the rest of the crate, one function a command.

use std::path::PathBuf;
use std::time::Duration;

use super::arguments::RunArguments;
use super::checkpoint_row::{CheckpointDetail, CheckpointRow, CheckpointStatus, PieceRow};
use super::running_job::RunningJob;
use super::savepoint_row::SavepointRow;
use super::serving;
use super::snapshots::{block_on, open};
use super::state_rows::state_rows;
use crate::config::JobFile;
use crate::engine::{Engine, EngineSettings, StartFrom, StopRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::graph;
use crate::model::{CheckpointId, EventTime, KeyGroupRange, OperatorId};
use crate::snapshot::{
    CheckpointStore, ListedCheckpoint, ListedSavepoint, Manifest, SnapshotKind, SubtaskEntry,
    list_savepoints,
};
use crate::storage::StoreLocation;
use crate::telemetry::statistics::{CheckpointReport, HISTORY_BYTES_MAX, decode_history};

/// Checks what the components' options mean, and whether the columns fit together.
pub(super) fn check_graph(job: &JobFile) -> Result<()> {
    store_location(job)?;
    graph::build(job).map(drop)
}

/// Starts the job as the command line says, and its server if it is to have one.
pub(super) fn start(
    job: &JobFile,
    arguments: &RunArguments,
    environment_token: Option<&str>,
) -> Result<RunningJob> {
    let server = serving::prepare(job, environment_token)?;
    let start_from = arguments.from.as_ref().map(|path| StartFrom {
        path: path.clone(),
        claim_mode: arguments.claim_mode,
    });
    let settings = EngineSettings {
        fresh: arguments.fresh,
        start_from,
        allow_non_restored_state: arguments.allow_non_restored_state,
        take_over: arguments.take_over,
        ..EngineSettings::from(job)
    };
    let handle = Engine::new(graph::build(job)?, settings).start()?;
    let serving = server.map(|server| server.serve(job, &handle)).transpose();
    // A stop and no cancellation, which may delete the job's checkpoints.
    let serving = serving.inspect_err(|_| drop(handle.stop(StopRequest::default())))?;
    let (stop, cancel) = (handle.control(), handle.control());
    Ok(RunningJob {
        status: handle.status(),
        stop: Box::new(move || drop(stop.stop(StopRequest::default()))),
        cancel: Box::new(move || cancel.cancel()),
        wait: Box::new(move || {
            let outcome = handle.wait();
            // Whoever asked for the job's end is told how it went before the process ends.
            drop(serving);
            outcome
        }),
    })
}

/// The job's checkpoints, the newest first.
pub(super) fn checkpoints(job: &JobFile) -> Result<Vec<CheckpointRow>> {
    let mut listed = with_store(job, async |store| store.list().await)?;
    listed.reverse();
    Ok(listed.iter().map(row).collect())
}

/// What became of the job's last checkpoints, the oldest first.
pub(super) fn history(job: &JobFile) -> Result<Vec<CheckpointReport>> {
    let read = with_store(job, async |store| {
        store.read_history(HISTORY_BYTES_MAX).await
    })?;
    let Some(bytes) = read else {
        return Ok(Vec::new());
    };
    let decoded = decode_history(&bytes);
    let (_, reports) = decoded.map_err(|error| error.context("the history of checkpoints"))?;
    Ok(reports)
}

/// What checkpoint `id`, or the newest one, consists of.
pub(super) fn checkpoint(job: &JobFile, id: Option<u64>) -> Result<CheckpointDetail> {
    with_store(job, async |store| {
        let listed = store.list().await?;
        let wanted = listed
            .iter()
            .rev()
            .find(|listed| id.is_none_or(|id| listed.checkpoint == CheckpointId(id)))
            .ok_or_else(|| no_such_checkpoint(job, id))?;
        let manifest = store.manifest(wanted.checkpoint).await?;
        Ok(detail(row(wanted), &manifest))
    })
}

/// The savepoints in a directory.
pub(super) fn savepoints(directory: &str) -> Result<Vec<SavepointRow>> {
    let working_directory = working_directory()?;
    let listed = block_on(list_savepoints(directory, &working_directory))?;
    Ok(listed.iter().map(savepoint_row).collect())
}

/// What the snapshot at a path consists of.
pub(super) fn snapshot(path: &str) -> Result<CheckpointDetail> {
    block_on(async {
        let snapshot = open(path).await?;
        let listed = ListedCheckpoint {
            checkpoint: snapshot.manifest().checkpoint,
            summary: snapshot.summary().await,
        };
        Ok(detail(row(&listed), snapshot.manifest()))
    })
}

/// Deletes the savepoint at a path, and gives its folder.
pub(super) fn dispose_savepoint(path: &str) -> Result<StoreLocation> {
    block_on(async { open(path).await?.dispose().await })
}

fn savepoint_row(listed: &ListedSavepoint) -> SavepointRow {
    let summary = listed.summary.as_ref();
    let bytes = summary.map(|summary| summary.referred_bytes + summary.manifest_bytes);
    let completed = summary.map(|summary| EventTime(summary.completed_unix_millis));
    SavepointRow {
        path: listed.folder.to_string(),
        job: listed.job.as_ref().map(|(job, _)| job.clone()),
        id: listed.job.as_ref().map(|(_, id)| *id),
        status: match summary {
            Ok(_) => CheckpointStatus::Completed,
            Err(_) => CheckpointStatus::Damaged,
        },
        completed_at: completed.ok(),
        bytes: bytes.unwrap_or_default(),
        reason: summary.err().map(ToString::to_string),
    }
}

fn no_such_checkpoint(job: &JobFile, id: Option<u64>) -> Error {
    let name = &job.job.name;
    let message = match id {
        Some(id) => format!("job {name} has no checkpoint {id}"),
        None => format!("job {name} has no checkpoint"),
    };
    Error::new(ErrorKind::Configuration, message)
}

/// Where the job's checkpoints are.
pub(super) fn store_location(job: &JobFile) -> Result<StoreLocation> {
    let working_directory = working_directory()?;
    StoreLocation::parse(&job.checkpoint.storage, &working_directory)
        .map(|location| location.with_s3(&job.checkpoint.s3))
        .map_err(|error| error.context("checkpoint.storage"))
}

/// Calls the store on a runtime of its own: these commands run no job.
fn with_store<T>(
    job: &JobFile,
    call: impl AsyncFnOnce(&CheckpointStore) -> Result<T>,
) -> Result<T> {
    let store = CheckpointStore::open(&store_location(job)?, &job.job.name)?;
    block_on(call(&store))
}

fn working_directory() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Error::io("find the working directory", error))
}

fn row(listed: &ListedCheckpoint) -> CheckpointRow {
    let damaged = CheckpointRow {
        id: listed.checkpoint,
        status: CheckpointStatus::Damaged,
        kind: SnapshotKind::Checkpoint,
        completed_at: None,
        duration: None,
        bytes: 0,
        full_bytes: 0,
        reason: None,
    };
    match &listed.summary {
        Err(damage) => CheckpointRow {
            reason: Some(damage.to_string()),
            ..damaged
        },
        Ok(summary) => {
            let millis = summary.completed_unix_millis - summary.triggered_unix_millis;
            CheckpointRow {
                status: CheckpointStatus::Completed,
                kind: summary.kind,
                completed_at: Some(EventTime(summary.completed_unix_millis)),
                duration: u64::try_from(millis).ok().map(Duration::from_millis),
                bytes: summary.uploaded_bytes + summary.manifest_bytes,
                full_bytes: summary.referred_bytes + summary.manifest_bytes,
                ..damaged
            }
        }
    }
}

fn detail(row: CheckpointRow, manifest: &Manifest) -> CheckpointDetail {
    let operators = manifest.graph.iter().map(|operator| operator.parallelism);
    let entries = manifest.operators.iter();
    CheckpointDetail {
        row,
        job: manifest.job.clone(),
        parallelism: operators.max().unwrap_or_default(),
        max_parallelism: manifest.max_parallelism,
        states: state_rows(&manifest.operators),
        pieces: entries
            .flat_map(|(operator, entry)| {
                let subtasks = entry.subtasks.iter();
                subtasks.flat_map(move |subtask| pieces(operator, subtask))
            })
            .collect(),
    }
}

fn pieces(operator: &OperatorId, subtask: &SubtaskEntry) -> Vec<PieceRow> {
    let piece =
        |kind: String, groups: Option<KeyGroupRange>, object: Option<String>, bytes| PieceRow {
            operator: operator.clone(),
            subtask: subtask.index,
            kind,
            key_groups: groups.map(|range| (range.start, range.end)),
            object,
            bytes,
        };
    let mut pieces = Vec::new();
    for item in &subtask.items {
        pieces.push(piece(
            "list".to_owned(),
            None,
            None,
            item.to_string().len() as u64,
        ));
    }
    for state in &subtask.operator_state {
        pieces.push(piece(
            format!("{} {}", state.descriptor.kind.as_str(), state.name),
            None,
            Some(state.piece.object.as_str().to_owned()),
            state.piece.length,
        ));
    }
    for in_flight in &subtask.in_flight {
        pieces.push(piece(
            format!("in flight from {}-{}", in_flight.input, in_flight.upstream),
            None,
            Some(in_flight.piece.object.as_str().to_owned()),
            in_flight.piece.length,
        ));
    }
    for state in &subtask.keyed {
        for part in &state.parts {
            let stored = part.base.iter().map(|base| ("base", base));
            for (kind, stored) in stored.chain(part.deltas.iter().map(|delta| ("delta", delta))) {
                pieces.push(piece(
                    format!("{kind} of {}", state.name),
                    Some(part.key_groups),
                    Some(stored.object.as_str().to_owned()),
                    stored.length,
                ));
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{InFlightEntry, OperatorStateEntry, Piece};
    use crate::state::{OperatorStateDescriptor, OperatorStateKind};
    use crate::storage::{Checksum, ObjectName};

    const IN_FLIGHT: &str = "chk-7/join-1.inflight";

    #[test]
    fn operator_state_and_what_was_in_flight_are_pieces_with_their_names() {
        let object = "chk-7/join-1.state";
        let subtask = SubtaskEntry {
            in_flight: vec![InFlightEntry {
                input: OperatorId::new("orders"),
                edge: 0,
                upstream: 2,
                rows: 5,
                schema: "u8".to_owned(),
                piece: Piece {
                    object: ObjectName::try_from(IN_FLIGHT.to_owned()).unwrap(),
                    offset: 0,
                    length: 21,
                    checksum: Checksum(2),
                },
            }],
            local: None,
            index: 1,
            finished: false,
            items: Vec::new(),
            operator_state: vec![OperatorStateEntry {
                name: "rules".to_owned(),
                descriptor: OperatorStateDescriptor {
                    kind: OperatorStateKind::Broadcast,
                    version: 1,
                    key_schema: Some("u64".to_owned()),
                    value_schema: "u8".to_owned(),
                },
                piece: Piece {
                    object: ObjectName::try_from(object.to_owned()).unwrap(),
                    offset: 0,
                    length: 33,
                    checksum: Checksum(1),
                },
            }],
            keyed: Vec::new(),
        };
        let expected = |kind: &str, object: &str, bytes| PieceRow {
            operator: OperatorId::new("join"),
            subtask: 1,
            kind: kind.to_owned(),
            key_groups: None,
            object: Some(object.to_owned()),
            bytes,
        };
        let expected = [
            expected("broadcast rules", object, 33),
            expected("in flight from orders-2", IN_FLIGHT, 21),
        ];
        assert_eq!(pieces(&OperatorId::new("join"), &subtask), expected);
    }
}
