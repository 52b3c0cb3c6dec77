//! The storing of a subtask's large bases, off its worker and beside its snapshots.

use futures_util::FutureExt;

use crate::error::Error;
use crate::model::SubtaskId;
use crate::snapshot::BaseUploads;

use super::message::{Report, ReportBody, Reporter};
use super::panic::catch_panic_of;

/// The size from which a base is stored while it is copied: the memory that a smaller one takes is not worth an object of
/// its own beside the checkpoints.
pub(super) const STREAMED_BYTES_MIN: u64 = 4 << 20;

/// Stores one base after the other until the subtask is gone. A panic is a failed task.
pub(super) async fn run(subtask: SubtaskId, uploads: BaseUploads, reporter: Reporter) {
    let done = catch_panic_of(uploads.run().map(Ok::<_, Error>)).await;
    if let Err(error) = done {
        let body = ReportBody::Failed(subtask.operator.clone(), error);
        reporter(Report { subtask, body });
    }
}
