//! `floodmark savepoint inspect` and `floodmark savepoint dispose`

use super::checkpoints_inspect::render_detail;
use super::connections;
use super::output::{print, print_json};
use super::savepoint_arguments::{SavepointArgument, SavepointInspectArguments};
use crate::error::Result;

/// Shows what a savepoint, or any other snapshot, consists of.
pub(super) fn inspect(arguments: &SavepointInspectArguments) -> Result<()> {
    let detail = connections::snapshot(&arguments.savepoint.path)?;
    if arguments.json {
        print_json(&detail)
    } else {
        print(&render_detail(&detail))
    }
}

/// Deletes a savepoint.
pub(super) fn dispose(arguments: &SavepointArgument) -> Result<()> {
    let folder = connections::dispose_savepoint(&arguments.path)?;
    print(&format!("savepoint {folder} is deleted"))
}
