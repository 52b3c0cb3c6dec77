//! The grammar of the commands that control a running job. The comments of the fields are the help texts.

use clap::Args;

use super::savepoint_arguments::SavepointCommand;

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  floodmark status flights.toml
  floodmark status http://127.0.0.1:8081 --json";

pub(super) const CHECKPOINT_EXAMPLES: &str = "\
Examples:
  floodmark checkpoint flights.toml
  floodmark checkpoint flights.toml --json";

pub(super) const SAVEPOINT_EXAMPLES: &str = "\
Examples:
  floodmark savepoint flights.toml
  floodmark savepoint flights.toml backups --detached";

pub(super) const STOP_EXAMPLES: &str = "\
Examples:
  floodmark stop flights.toml
  floodmark stop flights.toml --savepoint
  floodmark stop flights.toml --savepoint backups --drain";

pub(super) const CANCEL_EXAMPLES: &str = "\
Examples:
  floodmark cancel flights.toml";

/// What names a running job.
pub(super) const JOB_HELP: &str = "The job file, or the address of the job's server (http://…)";

/// How an answer is waited for and shown.
#[derive(Args, Clone, Debug)]
pub(super) struct AnswerArguments {
    /// Do not wait until it is done
    #[arg(long)]
    pub(super) detached: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `checkpoint`.
#[derive(Args, Debug)]
pub(super) struct ControlArguments {
    #[arg(value_name = "JOB", help = JOB_HELP)]
    pub(super) job: String,
    #[command(flatten)]
    pub(super) answer: AnswerArguments,
}

/// The arguments of `savepoint`: one is taken, or those that are there are looked at.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct SavepointArguments {
    #[command(subcommand)]
    pub(super) command: Option<SavepointCommand>,
    // Required unless there is a subcommand.
    #[arg(value_name = "JOB", help = JOB_HELP, required = true)]
    pub(super) job: Option<String>,
    /// The folder to make the savepoint in; checkpoint.savepoint_dir unless given
    #[arg(value_name = "DIR")]
    pub(super) directory: Option<String>,
    #[command(flatten)]
    pub(super) answer: AnswerArguments,
}

/// The arguments of `stop`.
#[derive(Args, Debug)]
pub(super) struct StopArguments {
    #[command(flatten)]
    pub(super) control: ControlArguments,
    /// Take a savepoint as well, in DIR or in checkpoint.savepoint_dir
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub(super) savepoint: Option<Option<String>>,
    /// End the input first: all timers fire, and the job is not meant to be resumed
    #[arg(long)]
    pub(super) drain: bool,
}

/// The arguments of `status` and `cancel`.
#[derive(Args, Debug)]
pub(super) struct LookArguments {
    #[arg(value_name = "JOB", help = JOB_HELP)]
    pub(super) job: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}
