//! From the command line to the exit status.

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;

use super::arguments::{Arguments, CheckpointsCommand, Command};
use super::environment::Environment;
use super::exit_status::ExitStatus;
use super::offline_arguments::StateCommand;
use super::report::describe_error;
use super::savepoint_arguments::SavepointCommand;
use super::{
    checkpoints_diff, checkpoints_inspect, checkpoints_list, control, run, savepoint_inspect,
    savepoint_list, snapshot_verify, state_ls, state_read, state_write, validate,
};
use crate::error::Result;
use crate::telemetry::{TerminalLine, init_logging};

/// Does what the command line asks for. `arguments` starts with the program's name; `environment` is
/// what that of the process says. Call it once: it sets up logging for the whole process.
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitStatus {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way as well. Nobody is left to tell when they cannot be printed.
            let _ = error.print();
            return match error.exit_code() {
                0 => ExitStatus::Success,
                _ => ExitStatus::Usage,
            };
        }
    };
    let line = match arguments.log.quiet {
        true => TerminalLine::hidden(),
        false => TerminalLine::new(),
    };
    execute(arguments, environment, &line).unwrap_or_else(|error| {
        // The same: a closed standard error leaves the exit status only.
        let _ = writeln!(std::io::stderr(), "{}", describe_error(&error));
        ExitStatus::of_error(&error)
    })
}

fn execute(
    arguments: Arguments,
    environment: Environment,
    line: &TerminalLine,
) -> Result<ExitStatus> {
    let Environment { log_filter, token } = environment;
    let token = token.as_deref();
    init_logging(&arguments.log.settings(log_filter), line)?;
    match arguments.command {
        Command::Run(run) => return run::run(&run, token, line),
        Command::Validate(job) => validate::validate(&job.path, token)?,
        Command::Status(status) => control::status(&status, token)?,
        Command::Checkpoint(checkpoint) => control::checkpoint(&checkpoint, token, line)?,
        Command::Savepoint(savepoint) => {
            if let Some(command) = &savepoint.command {
                return look_after_savepoints(command, line);
            }
            if let Some(job) = &savepoint.job {
                control::savepoint(job, &savepoint, token, line)?;
            }
        }
        Command::Stop(stop) => control::stop(&stop, token, line)?,
        Command::Cancel(cancel) => control::cancel(&cancel, token)?,
        Command::Checkpoints(CheckpointsCommand::List(list)) => checkpoints_list::list(&list)?,
        Command::Checkpoints(CheckpointsCommand::Inspect(inspect)) => {
            checkpoints_inspect::inspect(&inspect)?;
        }
        Command::Checkpoints(CheckpointsCommand::Verify(verify)) => {
            return snapshot_verify::verify_checkpoints(&verify, line);
        }
        Command::Checkpoints(CheckpointsCommand::Diff(diff)) => checkpoints_diff::diff(&diff)?,
        Command::State(StateCommand::Ls(ls)) => state_ls::ls(&ls)?,
        Command::State(StateCommand::Read(read)) => state_read::read(&read)?,
        Command::State(StateCommand::Write(write)) => state_write::write(&write, line)?,
    }
    Ok(ExitStatus::Success)
}

fn look_after_savepoints(command: &SavepointCommand, line: &TerminalLine) -> Result<ExitStatus> {
    match command {
        SavepointCommand::List(list) => savepoint_list::list(list)?,
        SavepointCommand::Inspect(inspect) => savepoint_inspect::inspect(inspect)?,
        SavepointCommand::Dispose(savepoint) => savepoint_inspect::dispose(savepoint)?,
        SavepointCommand::Verify(verify) => return snapshot_verify::verify_snapshot(verify, line),
    }
    Ok(ExitStatus::Success)
}
