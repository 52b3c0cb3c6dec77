//! Shows how a job gets on: one live line on a terminal, a log line now and then elsewhere.

use std::sync::Arc;
use std::time::Duration;

use super::progress_line::render_progress;
use super::status::{JobStatus, StatusSnapshot};
use super::terminal_line::TerminalLine;

/// How often there is a line in the log when there is no terminal.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The rate on a terminal is that of the last one or two of these: steady enough to be read.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// The progress of one job. It has no thread: somebody calls [`Progress::tick`], about ten times a second.
pub struct Progress {
    status: Arc<JobStatus>,
    line: TerminalLine,
    started: Sample,
    /// What the shown rate refers to.
    base: Sample,
    /// What becomes the base next.
    next_base: Sample,
}

#[derive(Clone)]
struct Sample {
    /// By the clock of whoever calls.
    at: Duration,
    status: StatusSnapshot,
}

impl Progress {
    /// Shows `status` in `line`, or in the log when nobody can see that. `now` is the time by any clock that does not
    /// go back; all later times are by the same.
    pub fn new(status: Arc<JobStatus>, line: TerminalLine, now: Duration) -> Self {
        let started = Sample {
            at: now,
            status: status.snapshot(),
        };
        Self {
            status,
            line,
            base: started.clone(),
            next_base: started.clone(),
            started,
        }
    }

    /// Brings the display up to date.
    pub fn tick(&mut self, now: Duration) {
        if self.line.is_hidden() {
            if let Some(text) = self.log_line(now) {
                tracing::info!("{text}");
            }
        } else {
            let text = self.live_line(now);
            self.line.show(text);
        }
    }

    /// Takes the display away, and logs the figures of the whole run.
    pub fn finish(self, now: Duration) {
        self.line.clear();
        tracing::info!("{}", self.summary(now));
    }

    fn live_line(&mut self, now: Duration) -> String {
        let sample = self.sample(now);
        if now.saturating_sub(self.next_base.at) >= RATE_WINDOW {
            self.base = std::mem::replace(&mut self.next_base, sample.clone());
        }
        self.base.render(&sample)
    }

    fn log_line(&mut self, now: Duration) -> Option<String> {
        if now.saturating_sub(self.base.at) < LOG_INTERVAL {
            return None;
        }
        let sample = self.sample(now);
        let text = self.base.render(&sample);
        self.base = sample;
        Some(text)
    }

    fn summary(&self, now: Duration) -> String {
        self.started.render(&self.sample(now))
    }

    fn sample(&self, now: Duration) -> Sample {
        Sample {
            at: now,
            status: self.status.snapshot(),
        }
    }
}

impl Sample {
    fn render(&self, later: &Self) -> String {
        let elapsed = later.at.saturating_sub(self.at);
        render_progress(&self.status, &later.status, elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::JobPhase;

    fn progress() -> (Arc<JobStatus>, Progress) {
        let status = JobStatus::shared();
        status.set_phase(JobPhase::Running);
        let progress = Progress::new(Arc::clone(&status), TerminalLine::hidden(), millis(0));
        (status, progress)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_live_rate_follows_the_last_two_seconds() {
        let (status, mut progress) = progress();
        let mut last = String::new();
        // 100 records a tick for three seconds, then nothing for three seconds.
        for tick in 1..=30 {
            status.add_records_in(100);
            last = progress.live_line(millis(tick * 100));
        }
        assert_eq!(last, "1.0 k records/s · 3.0 k records");
        for tick in 31..=60 {
            last = progress.live_line(millis(tick * 100));
        }
        assert_eq!(last, "0 records/s · 3.0 k records");
    }

    #[test]
    fn there_is_a_log_line_every_ten_seconds() {
        let (status, mut progress) = progress();
        let mut lines = Vec::new();
        for second in 1..=25 {
            status.add_records_in(10);
            lines.extend(progress.log_line(millis(second * 1000)));
        }
        assert_eq!(
            lines,
            ["10 records/s · 100 records", "10 records/s · 200 records"]
        );
    }

    #[test]
    fn the_summary_is_that_of_the_whole_run() {
        let (status, mut progress) = progress();
        status.add_records_in(1000);
        progress.log_line(millis(10_000));
        assert_eq!(
            progress.summary(millis(20_000)),
            "50 records/s · 1.0 k records"
        );
    }
}
