//! The failures of a job over all its attempts.

use std::time::Duration;

use super::strategy::{GivenUp, RestartStrategy};
use crate::error::{Error, ErrorKind};

/// How one attempt at a job failed.
#[derive(Debug)]
pub struct AttemptFailure {
    /// What failed first.
    pub error: Error,
    /// Whether all subtasks had taken up their state and begun to work.
    pub has_run: bool,
    /// Whether a checkpoint was completed since the attempt began.
    pub has_progressed: bool,
    /// Whether somebody had asked for the job's end.
    pub end_requested: bool,
    /// Whether nothing of the attempt is at work any more. Else it could meddle with what the next one does.
    pub is_torn_down: bool,
}

impl AttemptFailure {
    /// An attempt that came to nothing.
    pub fn at_the_start(error: Error) -> Self {
        Self {
            error,
            has_run: false,
            has_progressed: false,
            end_requested: false,
            is_torn_down: true,
        }
    }
}

/// What follows a failure.
#[derive(Debug)]
pub enum RestartDecision {
    /// The job is tried again.
    Restart {
        /// After this long.
        delay: Duration,
        /// The how manieth restart it is, from 1 on.
        number: u32,
    },
    /// The job has failed for good, with this error.
    GiveUp(Error),
}

/// Decides, failure after failure, whether a job is tried again.
#[derive(Debug)]
pub struct Restarts {
    strategy: RestartStrategy,
    stop_on_repeat: bool,
    /// How many restarts there were.
    number: u32,
    /// The failures since a checkpoint was last completed, if there were any.
    series: Option<Series>,
}

/// Failures with no progress between them.
#[derive(Debug)]
struct Series {
    first: String,
    last: String,
}

impl Restarts {
    /// Nothing has failed yet.
    pub fn new(strategy: RestartStrategy, stop_on_repeat: bool) -> Self {
        Self {
            strategy,
            stop_on_repeat,
            number: 0,
            series: None,
        }
    }

    /// An attempt has failed at `now`. `random` is from 0 to 1 and drawn anew each time.
    pub fn failed(
        &mut self,
        failure: AttemptFailure,
        now: Duration,
        random: f64,
    ) -> RestartDecision {
        let message = failure.error.full_message();
        if failure.has_progressed {
            self.series = None;
        }
        let is_repeated = self
            .series
            .as_ref()
            .is_some_and(|series| series.last == message);
        match self.series.as_mut() {
            Some(series) => series.last.clone_from(&message),
            None => {
                self.series = Some(Series {
                    first: message.clone(),
                    last: message,
                });
            }
        }
        match self.judge(&failure, is_repeated, now, random) {
            Ok(delay) => {
                self.number = self.number.saturating_add(1);
                RestartDecision::Restart {
                    delay,
                    number: self.number,
                }
            }
            Err(reason) => RestartDecision::GiveUp(self.explained(failure.error, &reason)),
        }
    }

    /// After how long the job is tried again, or why it is not.
    fn judge(
        &mut self,
        failure: &AttemptFailure,
        is_repeated: bool,
        now: Duration,
        random: f64,
    ) -> Result<Duration, String> {
        let kind = failure.error.kind();
        if failure.end_requested {
            return Err("the job was asked to end".to_owned());
        }
        if kind == ErrorKind::Conflict {
            return Err("the job belongs to another process".to_owned());
        }
        // What fails before anything has run is a mistake in the job or its surroundings, and whoever has just started
        // it is there to see it.
        if self.number == 0 && !failure.has_run {
            return Err("it has never run".to_owned());
        }
        let is_of_input = matches!(kind, ErrorKind::Data | ErrorKind::Configuration);
        if self.stop_on_repeat && is_of_input && is_repeated {
            return Err("it would only fail in the same way again (stop_on_repeat)".to_owned());
        }
        let delay = self
            .strategy
            .failed(now, random)
            .map_err(|reason: GivenUp| reason.to_string())?;
        if !failure.is_torn_down {
            return Err(
                "work that it had begun in the background has not come to its end".to_owned(),
            );
        }
        Ok(delay)
    }

    /// The last error, with what came before it. An error that no restart preceded needs no explanation.
    fn explained(&self, error: Error, reason: &str) -> Error {
        let restarts = match self.number {
            0 => return error,
            1 => "1 restart".to_owned(),
            number => format!("{number} restarts"),
        };
        let mut message = format!(
            "{}; given up after {restarts}: {reason}",
            error.full_message()
        );
        if let Some(series) = &self.series
            && series.first != series.last
        {
            message.push_str("; the first failure was: ");
            message.push_str(&series.first);
        }
        Error::new(error.kind(), message)
    }
}
