//! `[restart]`: whether, and when, a job that has failed is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields::{Fields, Refusal, Verdict};

/// When a job that has failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartStrategyKind {
    /// Never: the first failure ends the job.
    None,
    /// So many times in all, each after the same delay.
    FixedDelay,
    /// As long as there are no more than so many failures in an interval, each time after the same delay.
    FailureRate,
    /// After a delay that grows from failure to failure, until the job has run for a while without one.
    ExponentialDelay,
}

/// `[restart]`: whether, and when, a job that has failed is tried again. Names and defaults are Flink's.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartSection {
    /// The strategy; nothing means [`RestartStrategyKind::ExponentialDelay`] for a job that takes checkpoints, and
    /// [`RestartStrategyKind::None`] for one without an interval.
    pub strategy: Option<RestartStrategyKind>,
    /// `fixed-delay`: how many restarts there are in all.
    pub attempts: u32,
    /// `fixed-delay` and `failure-rate`: the time between a failure and its restart.
    pub delay: Duration,
    /// `failure-rate`: with more failures than this within the interval, the job fails for good.
    pub max_failures_per_interval: u32,
    /// `failure-rate`: the interval.
    pub failure_rate_interval: Duration,
    /// `exponential-delay`: the delay of the first restart.
    pub initial_backoff: Duration,
    /// `exponential-delay`: no delay is longer.
    pub max_backoff: Duration,
    /// `exponential-delay`: how many times as long each delay is as the one before.
    pub backoff_multiplier: f64,
    /// `exponential-delay`: the share of a delay that chance adds or takes away.
    pub jitter_factor: f64,
    /// `exponential-delay`: a job that has run this long since its restart begins with the first delay again.
    pub reset_backoff_threshold: Duration,
    /// `exponential-delay`: with more failures than this before the delay is reset, the job fails for good. Nothing
    /// means that there is no bound.
    pub attempts_before_reset_backoff: Option<u32>,
    /// Whether a wrong record or setting that fails the job twice in the same words, with no checkpoint completed in
    /// between, fails it for good: the same input would only fail again.
    pub stop_on_repeat: bool,
}

impl Default for RestartSection {
    fn default() -> Self {
        Self {
            strategy: None,
            attempts: 1,
            delay: Duration::from_secs(1),
            max_failures_per_interval: 1,
            failure_rate_interval: Duration::from_secs(60),
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            backoff_multiplier: 1.5,
            jitter_factor: 0.1,
            reset_backoff_threshold: Duration::from_secs(60 * 60),
            attempts_before_reset_backoff: None,
            stop_on_repeat: true,
        }
    }
}

impl RestartSection {
    /// A section with this strategy, and with the defaults of all that it needs.
    pub fn of(strategy: RestartStrategyKind) -> Self {
        Self {
            strategy: Some(strategy),
            ..Self::default()
        }
    }
}

/// Reads the section; where a value has a problem, its default stands in for it.
pub(super) fn read_restart(document: &mut Fields<'_, '_>) -> RestartSection {
    let mut fields = Fields::of_section("restart", document);
    let mut restart = RestartSection::default();
    fields.set("attempts", &mut restart.attempts, judge_count);
    restart.strategy = fields.read("strategy", |_: &RestartStrategyKind| Ok(()));
    fields.set_duration("delay", &mut restart.delay, |_| Ok(()));
    fields.set(
        "max_failures_per_interval",
        &mut restart.max_failures_per_interval,
        judge_count,
    );
    fields.set_duration(
        "failure_rate_interval",
        &mut restart.failure_rate_interval,
        judge_duration,
    );
    fields.set_duration(
        "initial_backoff",
        &mut restart.initial_backoff,
        judge_duration,
    );
    let initial = restart.initial_backoff;
    fields.set_duration("max_backoff", &mut restart.max_backoff, |max| {
        if *max < initial {
            return Err(Refusal::new("must not be less than initial_backoff"));
        }
        Ok(())
    });
    // The default may be too little for an initial delay that the file sets.
    restart.max_backoff = restart.max_backoff.max(initial);
    fields.set(
        "backoff_multiplier",
        &mut restart.backoff_multiplier,
        |multiplier: &f64| {
            if *multiplier > 1.0 && multiplier.is_finite() {
                return Ok(());
            }
            Err(Refusal::new("must be more than 1")
                .with_hint("strategy = \"fixed-delay\" waits the same time before each restart"))
        },
    );
    fields.set(
        "jitter_factor",
        &mut restart.jitter_factor,
        |jitter: &f64| {
            if (0.0..=1.0).contains(jitter) {
                return Ok(());
            }
            Err(Refusal::new("must be from 0 to 1"))
        },
    );
    fields.set_duration(
        "reset_backoff_threshold",
        &mut restart.reset_backoff_threshold,
        judge_duration,
    );
    restart.attempts_before_reset_backoff =
        fields.read("attempts_before_reset_backoff", judge_count);
    fields.set("stop_on_repeat", &mut restart.stop_on_repeat, |_| Ok(()));
    fields.finish();
    restart
}

fn judge_count(count: &u32) -> Verdict {
    if *count == 0 {
        return Err(Refusal::new("must be more than 0")
            .with_hint("strategy = \"none\" ends the job with its first failure"));
    }
    Ok(())
}

fn judge_duration(duration: &Duration) -> Verdict {
    if duration.is_zero() {
        return Err(Refusal::new("must be more than 0"));
    }
    Ok(())
}
