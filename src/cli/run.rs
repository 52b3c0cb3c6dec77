//! `floodmark run`

use std::io::IsTerminal;

use super::arguments::RunArguments;
use super::attend::{Attendant, Ending};
use super::connections;
use super::exit_status::ExitStatus;
use super::load::{load_job, set_parallelism};
use crate::config::{HumanDuration, JobFile};
use crate::engine::JobOutcome;
use crate::error::Result;
use crate::model::SystemClock;
use crate::telemetry::TerminalLine;

/// Runs the job until it has ended.
pub(super) fn run(
    arguments: &RunArguments,
    environment_token: Option<&str>,
    line: &TerminalLine,
) -> Result<ExitStatus> {
    let mut job = load_job(&arguments.job.path)?;
    if let Some(parallelism) = arguments.parallelism {
        set_parallelism(&mut job, parallelism.get())?;
    }
    let attendant = Attendant::new()?;
    let running = connections::start(&job, arguments, environment_token)?;
    tracing::info!("{}", announce(&job));
    let line = match prints_records(&job) && std::io::stdout().is_terminal() {
        // Records on the same terminal would tear the line.
        true => &TerminalLine::hidden(),
        false => line,
    };
    conclude(attendant.attend(running, line, &SystemClock::shared()))
}

fn prints_records(job: &JobFile) -> bool {
    job.sinks.iter().any(|sink| sink.kind == "console")
}

fn announce(job: &JobFile) -> String {
    let checkpoints = match job.checkpoint.interval {
        Some(interval) => format!("checkpoints every {}", HumanDuration(interval)),
        None => "a checkpoint at the end only".to_owned(),
    };
    format!(
        "job {} runs with parallelism {}, {checkpoints}, to {}",
        job.job.name, job.job.parallelism, job.checkpoint.storage
    )
}

/// Says how the job ended.
fn conclude(ending: Ending) -> Result<ExitStatus> {
    match ending {
        Ending::Job(JobOutcome::Finished) => {
            tracing::info!("finished: all sources have ended, all output is committed");
            Ok(ExitStatus::Success)
        }
        Ending::Job(JobOutcome::Stopped) => {
            tracing::info!("stopped: run the job again to go on from here");
            Ok(ExitStatus::Success)
        }
        Ending::Job(JobOutcome::Cancelled) | Ending::Left => {
            tracing::warn!(
                "interrupted: run the job again to go on from its last checkpoint, if one is kept"
            );
            Ok(ExitStatus::Interrupted)
        }
        Ending::Job(JobOutcome::Failed(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn each_ending_has_its_exit_code() {
        let failed = |kind| Ending::Job(JobOutcome::Failed(Error::new(kind, "it failed")));
        for (ending, expected) in [
            (Ending::Job(JobOutcome::Finished), 0),
            (Ending::Job(JobOutcome::Stopped), 0),
            (Ending::Job(JobOutcome::Cancelled), 130),
            (Ending::Left, 130),
            (failed(ErrorKind::Operator), 1),
            (failed(ErrorKind::Environment), 1),
            (failed(ErrorKind::Configuration), 2),
        ] {
            let shown = format!("{ending:?}");
            let status = conclude(ending).unwrap_or_else(|error| ExitStatus::of_error(&error));
            assert_eq!(status.code(), expected, "{shown}");
        }
    }

    #[test]
    fn only_a_console_sink_prints_records() {
        let text = include_str!("../../configs/default.toml");
        let check = |kind: &str, expected| {
            let text = text.replace("blackhole", kind);
            let job = JobFile::parse("default.toml", &text).unwrap();
            assert_eq!(prints_records(&job), expected, "{kind}");
        };
        check("console", true);
        check("blackhole", false);
    }

    #[test]
    fn the_announcement_says_when_checkpoints_are_taken_and_where_to() {
        let text = include_str!("../../configs/default.toml");
        let mut job = JobFile::parse("default.toml", text).unwrap();
        assert_eq!(
            announce(&job),
            "job default runs with parallelism 1, a checkpoint at the end only, to floodmark-data/checkpoints"
        );
        job.checkpoint.interval = Some(Duration::from_millis(1500));
        assert_eq!(
            announce(&job),
            "job default runs with parallelism 1, checkpoints every 1s 500ms, to floodmark-data/checkpoints"
        );
    }
}
