//! The restart strategies: a failure at a time, and after how long the job is tried again.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::config::{RestartSection, RestartStrategyKind};

/// Says of each failure after how long the job is tried again, if at all. It behaves as Flink's strategy of the same
/// name does.
#[derive(Debug)]
pub struct RestartStrategy {
    settings: RestartSection,
    kind: RestartStrategyKind,
    /// The failures that count: all of them, or those since the delay was last reset.
    failures: u32,
    /// `failure-rate`: the times of the last failures, one more than may be in an interval.
    times: VecDeque<Duration>,
    /// `exponential-delay`: when the last restart was to be.
    restart_at: Duration,
}

/// Why a job is not tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// `none`.
    NoRestarts,
    /// `fixed-delay`: there were as many restarts as there may be.
    TooManyAttempts(u32),
    /// `failure-rate`: there were more failures than there may be in an interval.
    TooManyFailures(u32, Duration),
    /// `exponential-delay`: there were as many restarts as there may be before the delay is reset.
    TooManyBeforeReset(u32),
}

impl fmt::Display for GivenUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRestarts => formatter.write_str("strategy \"none\" allows no restart"),
            Self::TooManyAttempts(attempts) => {
                write!(formatter, "strategy \"fixed-delay\" allows {attempts}")
            }
            Self::TooManyFailures(failures, interval) => write!(
                formatter,
                "strategy \"failure-rate\" allows {failures} failures in {interval:?}"
            ),
            Self::TooManyBeforeReset(attempts) => write!(
                formatter,
                "strategy \"exponential-delay\" allows {attempts} before the delay is reset"
            ),
        }
    }
}

impl RestartStrategy {
    /// The strategy that a job's settings ask for.
    pub fn new(settings: RestartSection, takes_checkpoints: bool) -> Self {
        let otherwise = match takes_checkpoints {
            true => RestartStrategyKind::ExponentialDelay,
            false => RestartStrategyKind::None,
        };
        Self {
            kind: settings.strategy.unwrap_or(otherwise),
            settings,
            failures: 0,
            times: VecDeque::new(),
            restart_at: Duration::ZERO,
        }
    }

    /// The job failed at `now`: after how long it is tried again. `random` is from 0 to 1 and drawn anew each time.
    ///
    /// # Errors
    /// Why it is not tried again.
    pub fn failed(&mut self, now: Duration, random: f64) -> Result<Duration, GivenUp> {
        match self.kind {
            RestartStrategyKind::None => Err(GivenUp::NoRestarts),
            RestartStrategyKind::FixedDelay => self.fixed_delay(),
            RestartStrategyKind::FailureRate => self.failure_rate(now),
            RestartStrategyKind::ExponentialDelay => self.exponential_delay(now, random),
        }
    }

    fn fixed_delay(&mut self) -> Result<Duration, GivenUp> {
        let attempts = self.settings.attempts;
        if self.failures >= attempts {
            return Err(GivenUp::TooManyAttempts(attempts));
        }
        self.failures += 1;
        Ok(self.settings.delay)
    }

    fn failure_rate(&mut self, now: Duration) -> Result<Duration, GivenUp> {
        let max = self.settings.max_failures_per_interval;
        let interval = self.settings.failure_rate_interval;
        self.times.push_back(now);
        if self.times.len() <= max as usize {
            return Ok(self.settings.delay);
        }
        let first = self.times.pop_front().unwrap_or_default();
        match now.saturating_sub(first) > interval {
            true => Ok(self.settings.delay),
            false => Err(GivenUp::TooManyFailures(max, interval)),
        }
    }

    fn exponential_delay(&mut self, now: Duration, random: f64) -> Result<Duration, GivenUp> {
        let settings = &self.settings;
        if now.saturating_sub(self.restart_at) >= settings.reset_backoff_threshold {
            self.failures = 0;
        }
        if let Some(attempts) = settings.attempts_before_reset_backoff
            && self.failures >= attempts
        {
            return Err(GivenUp::TooManyBeforeReset(attempts));
        }
        let initial = settings.initial_backoff.as_secs_f64();
        let longest = settings.max_backoff.as_secs_f64();
        // The bound comes first: with many failures the power is infinite.
        let growth = settings.backoff_multiplier.powf(f64::from(self.failures));
        let backoff = (initial * growth).min(longest);
        let jitter = backoff * settings.jitter_factor * (2.0 * random - 1.0);
        let delay = (backoff + jitter).clamp(initial, longest.max(initial));
        let delay = Duration::from_secs_f64(delay);
        self.failures = self.failures.saturating_add(1);
        self.restart_at = now.saturating_add(delay);
        Ok(delay)
    }
}
