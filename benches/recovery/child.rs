//! A child process as its parent sees it: the lines it prints, and when they come.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use floodmark::error::{Error, ErrorKind, Result};

use crate::job::JobPlan;
use crate::progress::Stage;
use crate::stopwatch::Stopwatch;

/// A process that runs the job.
pub(crate) struct JobProcess {
    child: Child,
    lines: BufReader<ChildStdout>,
    stopwatch: Stopwatch,
}

/// When which stage was reached, from just before the process was started.
pub(crate) type Timeline = Vec<(Stage, Duration)>;

impl JobProcess {
    /// Starts this program again, with the plan and further arguments.
    pub(crate) fn start(plan: &JobPlan, arguments: &[&str]) -> Result<Self> {
        let failed = |error| Error::io("start the job's process", error);
        let program = std::env::current_exe().map_err(failed)?;
        let stopwatch = Stopwatch::start();
        let mut child = Command::new(program)
            .args(["--keys", &plan.keys.to_string()])
            .args(["--value-bytes", &plan.value_bytes.to_string()])
            .args(["--parallelism", &plan.parallelism.to_string()])
            .arg("--storage")
            .arg(&plan.storage)
            .arg("--segments")
            .arg(&plan.segments)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = child.stdout.take();
        let lines = output.ok_or_else(|| Error::new(ErrorKind::Bug, "the child has no output"))?;
        Ok(Self {
            child,
            lines: BufReader::new(lines),
            stopwatch,
        })
    }

    /// Since just before the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.stopwatch.elapsed()
    }

    /// Waits until the process has reached a stage.
    pub(crate) fn wait_for(&mut self, stage: Stage) -> Result<()> {
        while let Some((reached, _)) = self.next()? {
            if reached == stage {
                return Ok(());
            }
        }
        Err(Error::new(
            ErrorKind::Operator,
            format!("the job's process ended before stage {stage:?}"),
        ))
    }

    /// Kills the process, as a crash would.
    pub(crate) fn kill(mut self) -> Result<()> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed
            .map(drop)
            .map_err(|error| Error::io("kill the job's process", error))
    }

    /// Lets the process come to its end.
    pub(crate) fn finish(mut self) -> Result<Timeline> {
        let mut timeline = Vec::new();
        while let Some(reached) = self.next()? {
            timeline.push(reached);
        }
        let ended = self.child.wait();
        let status = ended.map_err(|error| Error::io("wait for the job's process", error))?;
        if status.success() {
            Ok(timeline)
        } else {
            let message = format!("the job's process failed: {status}");
            Err(Error::new(ErrorKind::Operator, message))
        }
    }

    fn next(&mut self) -> Result<Option<(Stage, Duration)>> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        let bytes = read.map_err(|error| Error::io("hear of the job's process", error))?;
        let elapsed = self.stopwatch.elapsed();
        if bytes == 0 {
            return Ok(None);
        }
        let unknown = || Error::new(ErrorKind::Bug, format!("the child says {line:?}"));
        Stage::parse(&line)
            .map(|stage| Some((stage, elapsed)))
            .ok_or_else(unknown)
    }
}
