//! The grammar of the commands that look into snapshots while no job runs. The comments of the fields are the help texts.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::arguments::JobArgument;

pub(super) const VERIFY_EXAMPLES: &str = "\
Reads every byte that the checkpoint refers to and compares it with its checksum, and every record with
its schema. What is damaged is named, and the exit code is 1.

Examples:
  floodmark checkpoints verify flights.toml
  floodmark checkpoints verify flights.toml 17 --json
  floodmark checkpoints verify flights.toml --all";

pub(super) const VERIFY_SAVEPOINT_EXAMPLES: &str = "\
Reads every byte of the savepoint and compares it with its checksum, and every record with its schema.
What is damaged is named, and the exit code is 1. The path can be that of a checkpoint, too.

Examples:
  floodmark savepoint verify savepoints/savepoint-flights-7
  floodmark savepoint verify checkpoints/flights/chk-17 --json";

pub(super) const DIFF_EXAMPLES: &str = "\
Compares operators, positions and states, and counts the keys that are only in one of the two or have
another value. With --rows each such key is printed as a line of JSON.

Examples:
  floodmark checkpoints diff checkpoints/flights/chk-16 savepoints/savepoint-flights-17
  floodmark checkpoints diff 16 17 --job flights.toml
  floodmark checkpoints diff 16 17 --job flights.toml --rows > changes.jsonl";

pub(super) const STATE_LS_EXAMPLES: &str = "\
RECORDS counts what is stored: a row that was changed since the last base counts again.

Examples:
  floodmark state ls savepoints/savepoint-flights-7
  floodmark state ls checkpoints/flights/chk-17 --json";

pub(super) const STATE_READ_EXAMPLES: &str = "\
Rows are lines of JSON: the key, in a map the map key, the value, and in a state with a time-to-live
when its time is over. The columns of CSV are the same; what is no plain value is JSON in its cell.
A key is given as JSON; a text, and a key of one column, also without quotes and braces.

Examples:
  floodmark state read checkpoints/flights/chk-17 --operator by_carrier --state aggregate
  floodmark state read checkpoints/flights/chk-17 --operator by_carrier --state aggregate --key UA
  floodmark state read checkpoints/flights/chk-17 --operator by_carrier --state aggregate --key '{\"carrier\": \"UA\"}'
  floodmark state read savepoints/savepoint-flights-7 --operator fraud --state seen --format csv --limit 10";

pub(super) const STATE_WRITE_EXAMPLES: &str = "\
Rows are what `state read` prints: lines of JSON or, with --format csv, a line of titles and lines of cells. A row takes
the place of that with its key (and map key); all other rows stay as they are, and so does the snapshot that is
read. A list is one row. The items of a list or union list operator state take the place of all of them.
With --delete the rows name what goes by their keys: without a map key, all rows of the key go.
When a row is wrong, it is named by its line and nothing is written. The rows are held in memory.
An operator that has worked off all its input in the snapshot is refused: it would not run again.

With --new the savepoint holds nothing but these rows: sources start at the beginning, and all other
states are empty. They can be written afterwards, one after the other.

Examples:
  floodmark state write rows.jsonl --from checkpoints/flights/chk-17 --operator by_carrier --state aggregate --to patched
  floodmark state write rows.csv --format csv --new --job flights.toml --operator by_carrier --state aggregate --to first
  floodmark state read first --operator fraud --state seen --key 7 | floodmark state write - --delete --from first \\
      --operator fraud --state seen --to second
  floodmark savepoint verify second && floodmark run flights.toml --from second";

/// What to do with the states in a snapshot.
#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// List the states of a snapshot
    #[command(after_help = STATE_LS_EXAMPLES)]
    Ls(StateLsArguments),
    /// Print the rows of a state
    #[command(after_help = STATE_READ_EXAMPLES)]
    Read(StateReadArguments),
    /// Make a savepoint with other rows in a state
    #[command(after_help = STATE_WRITE_EXAMPLES)]
    Write(StateWriteArguments),
}

/// The arguments of `checkpoints verify`.
#[derive(Args, Debug)]
pub(super) struct VerifyArguments {
    #[command(flatten)]
    pub(super) job: JobArgument,
    /// The checkpoint's id; the newest one unless given
    #[arg(value_name = "ID", conflicts_with = "all")]
    pub(super) id: Option<u64>,
    /// Verify all checkpoints of the job
    #[arg(long)]
    pub(super) all: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The snapshot, by its path.
#[derive(Args, Debug)]
pub(super) struct SnapshotArgument {
    /// The folder of a savepoint, or the chk-<id> of a checkpoint
    #[arg(value_name = "SNAPSHOT")]
    pub(super) path: String,
}

/// The arguments of `savepoint verify`.
#[derive(Args, Debug)]
pub(super) struct VerifySnapshotArguments {
    #[command(flatten)]
    pub(super) snapshot: SnapshotArgument,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `checkpoints diff`.
#[derive(Args, Debug)]
pub(super) struct DiffArguments {
    /// The first snapshot: a path, or with --job the id of a checkpoint
    #[arg(value_name = "A")]
    pub(super) a: String,
    /// The second snapshot
    #[arg(value_name = "B")]
    pub(super) b: String,
    /// The job whose checkpoints the ids are of
    #[arg(long, value_name = "JOB.TOML")]
    pub(super) job: Option<PathBuf>,
    /// Print the keys that differ, as lines of JSON
    #[arg(long, conflicts_with = "json")]
    pub(super) rows: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `state ls`.
#[derive(Args, Debug)]
pub(super) struct StateLsArguments {
    #[command(flatten)]
    pub(super) snapshot: SnapshotArgument,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `state read`.
#[derive(Args, Debug)]
pub(super) struct StateReadArguments {
    #[command(flatten)]
    pub(super) snapshot: SnapshotArgument,
    /// The operator whose state it is
    #[arg(long, value_name = "ID")]
    pub(super) operator: String,
    /// The name of the state
    #[arg(long, value_name = "NAME")]
    pub(super) state: String,
    /// Print only the rows of this key
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<String>,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: RowsFormat,
    /// Print at most N rows
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
}

/// The arguments of `state write`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("origin").required(true).args(["from", "job"]))]
pub(super) struct StateWriteArguments {
    /// The file with the rows; - for standard input
    #[arg(value_name = "ROWS")]
    pub(super) rows: PathBuf,
    /// The operator whose state it is
    #[arg(long, value_name = "ID")]
    pub(super) operator: String,
    /// The name of the state
    #[arg(long, value_name = "NAME")]
    pub(super) state: String,
    /// The snapshot to begin with: the folder of a savepoint, or the chk-<id> of a checkpoint
    #[arg(long, value_name = "SNAPSHOT")]
    pub(super) from: Option<String>,
    /// Take over no row of the snapshot, and no position: only what states there are
    #[arg(long)]
    pub(super) new: bool,
    /// With --new: the job that the savepoint is for, where there is no snapshot to begin with
    #[arg(long, value_name = "JOB.TOML", requires = "new")]
    pub(super) job: Option<PathBuf>,
    /// The folder of the new savepoint, which must not be there
    #[arg(long, value_name = "FOLDER")]
    pub(super) to: String,
    /// Delete the rows with these keys
    #[arg(long, conflicts_with = "new")]
    pub(super) delete: bool,
    /// How the rows are written
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: RowsFormat,
}

/// How rows are printed and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum RowsFormat {
    /// Lines of JSON
    #[default]
    Json,
    /// A line of titles, and lines of cells with commas between them
    Csv,
}
