//! The grammar of the commands that look after savepoints. The comments of the fields are the help texts.

use clap::{Args, Subcommand};

use super::offline_arguments::{VERIFY_SAVEPOINT_EXAMPLES, VerifySnapshotArguments};

const LIST_EXAMPLES: &str = "\
Examples:
  floodmark savepoint list savepoints
  floodmark savepoint list savepoints --json";

const INSPECT_EXAMPLES: &str = "\
The path can be that of a checkpoint, too.

Examples:
  floodmark savepoint inspect savepoints/savepoint-flights-7
  floodmark savepoint inspect checkpoints/flights/chk-17 --json";

const DISPOSE_EXAMPLES: &str = "\
Deletes the savepoint with all its state. Nothing but a savepoint is deleted, and no file in its folder
that is not part of it.

Examples:
  floodmark savepoint dispose savepoints/savepoint-flights-7";

/// What to do with savepoints.
#[derive(Debug, Subcommand)]
pub(super) enum SavepointCommand {
    /// List the savepoints in a directory
    #[command(after_help = LIST_EXAMPLES)]
    List(SavepointListArguments),
    /// Show what a savepoint consists of
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(SavepointInspectArguments),
    /// Check every byte and every record of a savepoint
    #[command(after_help = VERIFY_SAVEPOINT_EXAMPLES)]
    Verify(VerifySnapshotArguments),
    /// Delete a savepoint
    #[command(after_help = DISPOSE_EXAMPLES)]
    Dispose(SavepointArgument),
}

/// The arguments of `savepoint list`.
#[derive(Args, Debug)]
pub(super) struct SavepointListArguments {
    /// The directory, as a path or a file:// address
    #[arg(value_name = "DIRECTORY")]
    pub(super) directory: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `savepoint inspect`.
#[derive(Args, Debug)]
pub(super) struct SavepointInspectArguments {
    #[command(flatten)]
    pub(super) savepoint: SavepointArgument,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// A savepoint.
#[derive(Args, Debug)]
pub(super) struct SavepointArgument {
    /// The savepoint's folder, or its manifest.json, as a path or a file:// address
    #[arg(value_name = "PATH")]
    pub(super) path: String,
}
