//! Opens the snapshots that a command line names.

use std::path::PathBuf;

use super::connections::store_location;
use super::load::load_job;
use crate::config::{JobFile, S3Section};
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::snapshot::{CheckpointStore, SnapshotAt};
use crate::storage::SnapshotLocation;

/// Runs what reads from a store to its end: these commands run no job.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start a runtime", error))?
        .block_on(work)
}

/// Opens the snapshot at a path.
pub(super) async fn open(path: &str) -> Result<SnapshotAt> {
    SnapshotAt::open(path, &working_directory()?).await
}

/// Opens the snapshot in a folder, whose store is reached as a job says.
pub(super) async fn open_with(path: &str, s3: &S3Section) -> Result<SnapshotAt> {
    SnapshotAt::open_with(path, &working_directory()?, s3).await
}

/// Where a new snapshot is to be.
pub(super) fn new_location(path: &str) -> Result<SnapshotLocation> {
    SnapshotLocation::of_new(path, &working_directory()?)
}

fn working_directory() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Error::io("find the working directory", error))
}

/// Opens what a text names: the id of a checkpoint if there is a job, otherwise a path.
pub(super) async fn open_named(text: &str, job: Option<&std::path::Path>) -> Result<SnapshotAt> {
    match (text.parse(), job) {
        (Ok(id), Some(job)) => {
            let job = load_job(job)?;
            let folder = store(&job)?.shown_folder(CheckpointId(id));
            open_with(&folder, &job.checkpoint.s3).await
        }
        (Ok(_), None) if !std::path::Path::new(text).exists() => Err(Error::new(
            ErrorKind::Configuration,
            format!("{text} is no path: to name a checkpoint by its id, name its job with --job"),
        )),
        _ => open(text).await,
    }
}

/// The folders of a job's checkpoints that have a manifest, the oldest first.
pub(super) async fn checkpoint_folders(job: &JobFile) -> Result<Vec<(CheckpointId, String)>> {
    let store = store(job)?;
    let listed = store.list().await?;
    let folder = |id| (id, store.shown_folder(id));
    Ok(listed
        .iter()
        .filter(|listed| listed.summary != Err(crate::snapshot::Damage::Incomplete))
        .map(|listed| folder(listed.checkpoint))
        .collect())
}

fn store(job: &JobFile) -> Result<CheckpointStore> {
    CheckpointStore::open(&store_location(job)?, &job.job.name)
}
