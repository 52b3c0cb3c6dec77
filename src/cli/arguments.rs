//! The grammar of the command line. The comments of the fields are the help texts.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::control_arguments::{
    CANCEL_EXAMPLES, CHECKPOINT_EXAMPLES, ControlArguments, LookArguments, SAVEPOINT_EXAMPLES,
    STATUS_EXAMPLES, STOP_EXAMPLES, SavepointArguments, StopArguments,
};
use super::offline_arguments::{
    DIFF_EXAMPLES, DiffArguments, StateCommand, VERIFY_EXAMPLES, VerifyArguments,
};
use crate::engine::ClaimMode;
use crate::telemetry::{LogFormat, LogSettings};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the job or the command failed
  2    the command line or the job file is wrong
  130  interrupted at once, by a second signal

Environment:
  FLOODMARK_LOG    what is logged from which module, for example warn,floodmark::coordinator=trace
  FLOODMARK_TOKEN  the token that requests to a running job must bear, unless the job file names a file";

const RUN_EXAMPLES: &str = "\
SIGINT or SIGTERM stops the job with a last checkpoint; a second one ends it at once.

Examples:
  floodmark run flights.toml
  floodmark run flights.toml --fresh --parallelism 2
  floodmark run flights.toml --from savepoints/savepoint-flights-7
  floodmark run flights.toml --log-format json 2> flights.log

Exit codes: 0 the sources have ended or the job was stopped, 1 the job failed,
2 the command line or the job file is wrong, 130 interrupted at once";

const VALIDATE_EXAMPLES: &str = "\
Examples:
  floodmark validate flights.toml
  floodmark validate flights.toml && floodmark run flights.toml";

const LIST_EXAMPLES: &str = "\
Examples:
  floodmark checkpoints list flights.toml
  floodmark checkpoints list flights.toml --json
  floodmark checkpoints list flights.toml --history --subtasks";

const INSPECT_EXAMPLES: &str = "\
Examples:
  floodmark checkpoints inspect flights.toml
  floodmark checkpoints inspect flights.toml 17 --json";

/// Exactly-once stream processing in one process, with Flink-style checkpoints.
#[derive(Debug, Parser)]
#[command(name = "floodmark", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) log: LogArguments,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What is written to standard error.
#[derive(Args, Debug)]
pub(super) struct LogArguments {
    /// Log more; twice: log everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log errors only, and show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// How log lines are written: text or json
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a job, from its newest checkpoint if there is one
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArguments),
    /// Check a job file without running it
    #[command(after_help = VALIDATE_EXAMPLES)]
    Validate(JobArgument),
    /// Show how a running job gets on
    #[command(after_help = STATUS_EXAMPLES)]
    Status(LookArguments),
    /// Take a checkpoint of a running job
    #[command(after_help = CHECKPOINT_EXAMPLES)]
    Checkpoint(ControlArguments),
    /// Take a savepoint of a running job, or look after those that are there
    #[command(after_help = SAVEPOINT_EXAMPLES)]
    Savepoint(SavepointArguments),
    /// Stop a running job with a last checkpoint
    #[command(after_help = STOP_EXAMPLES)]
    Stop(StopArguments),
    /// End a running job at once
    #[command(after_help = CANCEL_EXAMPLES)]
    Cancel(LookArguments),
    /// Look at a job's checkpoints
    #[command(subcommand)]
    Checkpoints(CheckpointsCommand),
    /// Look into the states of a checkpoint or a savepoint
    #[command(subcommand)]
    State(StateCommand),
}

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub(super) enum CheckpointsCommand {
    /// List the checkpoints of a job, the newest first
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArguments),
    /// Show what a checkpoint consists of
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArguments),
    /// Check every byte and every record of a checkpoint
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArguments),
    /// Compare two checkpoints or savepoints
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArguments),
}

/// The job file.
#[derive(Args, Debug)]
pub(super) struct JobArgument {
    /// The job file (TOML)
    #[arg(value_name = "JOB.TOML")]
    pub(super) path: PathBuf,
}

/// The arguments of `run`.
#[derive(Args, Debug)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) job: JobArgument,
    /// Start without state, whatever checkpoints there are
    #[arg(long)]
    pub(super) fresh: bool,
    /// Start from this savepoint or checkpoint: a path or a file:// address
    ///
    /// The snapshot is copied into the job's own store first. When the same command is given again, after a crash or a
    /// stop, the job goes on from its own newest checkpoint. A job that has checkpoints of another origin is not started
    /// from a snapshot unless --fresh is given, too; with --fresh it starts from the snapshot every time.
    #[arg(long, value_name = "PATH")]
    pub(super) from: Option<String>,
    /// What becomes of the savepoint: it stays (no-claim), or the job deletes it when it is superseded (claim)
    #[arg(
        long,
        value_name = "MODE",
        requires = "from",
        default_value = "no-claim"
    )]
    pub(super) claim_mode: ClaimMode,
    /// Drop the state of operators that the job no longer has, instead of refusing to start
    #[arg(long)]
    pub(super) allow_non_restored_state: bool,
    /// Run with N subtasks per operator, whatever the job file says
    #[arg(long, value_name = "N")]
    pub(super) parallelism: Option<NonZeroUsize>,
}

/// The arguments of `checkpoints list`.
#[derive(Args, Debug)]
pub(super) struct ListArguments {
    #[command(flatten)]
    pub(super) job: JobArgument,
    /// Say what became of the last checkpoints, failed and deleted ones too
    #[arg(long)]
    pub(super) history: bool,
    /// Say it for each subtask
    #[arg(long, requires = "history")]
    pub(super) subtasks: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The arguments of `checkpoints inspect`.
#[derive(Args, Debug)]
pub(super) struct InspectArguments {
    #[command(flatten)]
    pub(super) job: JobArgument,
    /// The checkpoint's id; the newest one unless given
    #[arg(value_name = "ID")]
    pub(super) id: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl LogArguments {
    /// The settings that the arguments and the environment's filter give.
    pub(super) fn settings(&self, filter: Option<String>) -> LogSettings {
        let verbosity = match self.quiet {
            true => -1,
            false => i8::try_from(self.verbose).unwrap_or(i8::MAX),
        };
        LogSettings {
            format: self.log_format,
            verbosity,
            filter,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn run_takes_its_options_in_any_order() {
        for line in [
            "floodmark run --fresh a.toml --parallelism 3 -vv",
            "floodmark -v run --parallelism=3 --fresh a.toml",
        ] {
            let arguments = parse(line).unwrap();
            assert_eq!(
                arguments.log.settings(None).verbosity,
                if line.contains("-vv") { 2 } else { 1 }
            );
            let Command::Run(run) = arguments.command else {
                panic!("{line}")
            };
            assert_eq!(run.job.path, PathBuf::from("a.toml"));
            assert!(run.fresh);
            assert_eq!(run.parallelism.map(NonZeroUsize::get), Some(3));
        }
    }

    #[test]
    fn a_claim_mode_needs_a_snapshot_to_start_from() {
        let arguments = parse("floodmark run a.toml --from sp --claim-mode claim").unwrap();
        let Command::Run(run) = arguments.command else {
            panic!("{arguments:?}")
        };
        assert_eq!(
            (run.from.as_deref(), run.claim_mode),
            (Some("sp"), ClaimMode::Claim)
        );
        for (line, expected) in [
            ("floodmark run a.toml --claim-mode claim", "--from <PATH>"),
            (
                "floodmark run a.toml --from sp --claim-mode legacy",
                "no-claim or claim",
            ),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn log_settings_come_from_the_flags_and_the_environment() {
        let arguments = parse("floodmark validate a.toml -q --log-format json").unwrap();
        let expected = LogSettings {
            format: LogFormat::Json,
            verbosity: -1,
            filter: Some("trace".to_owned()),
        };
        assert_eq!(arguments.log.settings(Some("trace".to_owned())), expected);
    }

    #[test]
    fn savepoint_takes_a_job_or_a_subcommand() {
        for (line, expected) in [
            ("floodmark savepoint a.toml", Some("a.toml")),
            (
                "floodmark savepoint a.toml backups --detached",
                Some("a.toml"),
            ),
            ("floodmark savepoint list backups -v", None),
        ] {
            let Command::Savepoint(savepoint) = parse(line).unwrap().command else {
                panic!("{line}")
            };
            assert_eq!(savepoint.job.as_deref(), expected);
            assert_eq!(savepoint.command.is_some(), expected.is_none());
            let has_directory = line.contains("--detached");
            assert_eq!(savepoint.directory.is_some(), has_directory);
            assert_eq!(savepoint.answer.detached, has_directory);
        }
        assert_eq!(parse("floodmark savepoint").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn inspect_takes_an_id_or_none() {
        for (line, expected) in [
            ("floodmark checkpoints inspect a.toml", None),
            ("floodmark checkpoints inspect a.toml 17 --json", Some(17)),
        ] {
            let Command::Checkpoints(CheckpointsCommand::Inspect(inspect)) =
                parse(line).unwrap().command
            else {
                panic!("{line}")
            };
            assert_eq!(inspect.id, expected);
            assert_eq!(inspect.json, expected.is_some());
        }
    }

    #[test]
    fn wrong_lines_are_refused_with_what_is_wrong() {
        for (line, expected) in [
            ("floodmark run", "JOB.TOML"),
            ("floodmark run a.toml --parallelism 0", "'0'"),
            ("floodmark rum a.toml", "'run'"),
            ("floodmark run a.toml -q -v", "cannot be used with"),
            (
                "floodmark run a.toml --log-format xml",
                "expected text or json",
            ),
            ("floodmark checkpoints inspect a.toml newest", "'newest'"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn every_command_has_examples_in_its_help() {
        for (command, example) in [
            ("run", " flights.toml\n"),
            ("validate", " flights.toml\n"),
            ("status", " flights.toml\n"),
            ("checkpoint", " flights.toml\n"),
            ("savepoint", " flights.toml\n"),
            ("stop", " flights.toml\n"),
            ("cancel", " flights.toml\n"),
            ("checkpoints list", " flights.toml\n"),
            ("checkpoints inspect", " flights.toml\n"),
            ("checkpoints verify", " flights.toml\n"),
            ("checkpoints diff", " 16 17 --job flights.toml\n"),
            ("savepoint list", " savepoints\n"),
            ("savepoint inspect", " savepoints/savepoint-flights-7\n"),
            ("savepoint dispose", " savepoints/savepoint-flights-7\n"),
            ("savepoint verify", " savepoints/savepoint-flights-7\n"),
            ("state ls", " savepoints/savepoint-flights-7\n"),
            (
                "state read",
                " checkpoints/flights/chk-17 --operator by_carrier --state aggregate\n",
            ),
        ] {
            let help = parse(&format!("floodmark {command} --help")).unwrap_err();
            assert_eq!(help.exit_code(), 0);
            assert!(
                help.to_string()
                    .contains(&format!("  floodmark {command}{example}")),
                "{help}"
            );
        }
        let help = parse("floodmark --help").unwrap_err().to_string();
        assert!(help.contains("130  interrupted at once"), "{help}");
    }
}
