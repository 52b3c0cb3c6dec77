//! Tables of failures and what follows them, and random failures checked against what each strategy promises.

use std::time::Duration;

use super::{AttemptFailure, GivenUp, RestartDecision, RestartStrategy, Restarts};
use crate::config::{RestartSection, RestartStrategyKind};
use crate::error::{Error, ErrorKind};

const SECOND: Duration = Duration::from_secs(1);

fn section(strategy: RestartStrategyKind) -> RestartSection {
    RestartSection {
        jitter_factor: 0.0,
        ..RestartSection::of(strategy)
    }
}

/// Failures at these seconds, and after how many milliseconds the job is tried again.
fn check(settings: &RestartSection, expected: &[(u64, Result<u64, GivenUp>)]) {
    let mut strategy = RestartStrategy::new(settings.clone(), true);
    for (at, delay) in expected {
        let found = strategy.failed(Duration::from_secs(*at), 0.5);
        let delay = delay.clone().map(Duration::from_millis);
        assert_eq!(found, delay, "at {at} s, {settings:?}");
    }
}

#[test]
fn a_job_without_a_strategy_is_tried_again_if_it_takes_checkpoints() {
    let failed = |takes_checkpoints| {
        let mut strategy = RestartStrategy::new(RestartSection::default(), takes_checkpoints);
        strategy.failed(SECOND, 0.5)
    };
    assert_eq!(failed(true), Ok(SECOND));
    assert_eq!(failed(false), Err(GivenUp::NoRestarts));
}

#[test]
fn none_allows_no_restart() {
    check(
        &section(RestartStrategyKind::None),
        &[(5, Err(GivenUp::NoRestarts))],
    );
}

#[test]
fn fixed_delay_allows_so_many_restarts_in_all() {
    let settings = section(RestartStrategyKind::FixedDelay);
    check(
        &settings,
        &[(1, Ok(1000)), (100_000, Err(GivenUp::TooManyAttempts(1)))],
    );
    let settings = RestartSection {
        attempts: 3,
        delay: 2 * SECOND,
        ..settings
    };
    let again = Err(GivenUp::TooManyAttempts(3));
    check(
        &settings,
        &[(1, Ok(2000)), (2, Ok(2000)), (90, Ok(2000)), (91, again)],
    );
}

#[test]
fn failure_rate_looks_at_one_interval_at_a_time() {
    let settings = section(RestartStrategyKind::FailureRate);
    let too_many = |max| Err(GivenUp::TooManyFailures(max, 60 * SECOND));
    check(&settings, &[(10, Ok(1000)), (70, too_many(1))]);
    check(
        &settings,
        &[(10, Ok(1000)), (71, Ok(1000)), (132, Ok(1000))],
    );
    let settings = RestartSection {
        max_failures_per_interval: 2,
        ..settings
    };
    check(
        &settings,
        &[
            (0, Ok(1000)),
            (1, Ok(1000)),
            (61, Ok(1000)),
            (62, Ok(1000)),
            (63, too_many(2)),
        ],
    );
}

#[test]
fn exponential_delay_grows_up_to_its_bound_and_is_reset_after_a_quiet_time() {
    let settings = RestartSection {
        max_backoff: 3 * SECOND,
        reset_backoff_threshold: 100 * SECOND,
        ..section(RestartStrategyKind::ExponentialDelay)
    };
    check(
        &settings,
        &[
            (0, Ok(1000)),
            (2, Ok(1500)),
            (5, Ok(2250)),
            (10, Ok(3000)),
            (20, Ok(3000)),
            // The last restart was at 23 s.
            (122, Ok(3000)),
            (225, Ok(1000)),
            (227, Ok(1500)),
        ],
    );
}

#[test]
fn exponential_delay_can_have_a_bound_on_its_restarts() {
    let settings = RestartSection {
        attempts_before_reset_backoff: Some(2),
        reset_backoff_threshold: 100 * SECOND,
        ..section(RestartStrategyKind::ExponentialDelay)
    };
    let too_many = Err(GivenUp::TooManyBeforeReset(2));
    check(
        &settings,
        &[(0, Ok(1000)), (2, Ok(1500)), (5, too_many.clone())],
    );
    check(
        &settings,
        &[
            (0, Ok(1000)),
            (2, Ok(1500)),
            (200, Ok(1000)),
            (202, Ok(1500)),
            (205, too_many),
        ],
    );
}

#[test]
fn jitter_adds_or_takes_its_share_within_the_bounds() {
    let settings = RestartSection {
        jitter_factor: 0.1,
        max_backoff: 2 * SECOND,
        ..section(RestartStrategyKind::ExponentialDelay)
    };
    let delays = |random: f64| {
        let mut strategy = RestartStrategy::new(settings.clone(), true);
        [0, 2, 4].map(|at| {
            let delay = strategy.failed(Duration::from_secs(at), random);
            delay.unwrap().as_millis()
        })
    };
    assert_eq!(delays(0.0), [1000, 1350, 1800]);
    assert_eq!(delays(0.5), [1000, 1500, 2000]);
    assert_eq!(delays(1.0), [1100, 1650, 2000]);
}

/// Whatever the settings and the failures are: a delay keeps to its bounds, and no strategy allows more than it says.
#[test]
fn no_strategy_allows_more_than_it_promises() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let kind = [
            RestartStrategyKind::FixedDelay,
            RestartStrategyKind::FailureRate,
            RestartStrategyKind::ExponentialDelay,
        ][random.usize(0..3)];
        let initial_backoff = Duration::from_millis(random.u64(1..5000));
        let settings = RestartSection {
            attempts: random.u32(1..5),
            max_failures_per_interval: random.u32(1..5),
            failure_rate_interval: Duration::from_millis(random.u64(1..20_000)),
            initial_backoff,
            max_backoff: initial_backoff + Duration::from_millis(random.u64(0..20_000)),
            backoff_multiplier: 1.1 + random.f64() * 3.0,
            jitter_factor: random.f64(),
            reset_backoff_threshold: Duration::from_millis(random.u64(1..60_000)),
            attempts_before_reset_backoff: random.bool().then(|| random.u32(1..6)),
            ..RestartSection::of(kind)
        };
        let mut strategy = RestartStrategy::new(settings.clone(), true);
        let (mut now, mut restarts) = (Duration::ZERO, Vec::new());
        for _ in 0..200 {
            now += Duration::from_millis(random.u64(0..10_000));
            let Ok(delay) = strategy.failed(now, random.f64()) else {
                break;
            };
            restarts.push(now);
            now += delay;
            match kind {
                RestartStrategyKind::ExponentialDelay => assert!(
                    (settings.initial_backoff..=settings.max_backoff).contains(&delay),
                    "seed {seed}: {delay:?} with {settings:?}"
                ),
                _ => assert_eq!(delay, settings.delay, "seed {seed}"),
            }
        }
        match kind {
            RestartStrategyKind::FixedDelay => {
                assert_eq!(restarts.len(), settings.attempts as usize, "seed {seed}");
            }
            RestartStrategyKind::FailureRate => {
                let max = settings.max_failures_per_interval as usize;
                for window in restarts.windows(max + 1) {
                    let span = window[max].saturating_sub(window[0]);
                    assert!(
                        span > settings.failure_rate_interval,
                        "seed {seed}: {span:?}"
                    );
                }
            }
            _ => {}
        }
    }
}

fn failure(kind: ErrorKind, message: &str) -> AttemptFailure {
    AttemptFailure {
        error: Error::new(kind, message),
        has_run: true,
        has_progressed: false,
        end_requested: false,
        is_torn_down: true,
    }
}

fn restarts(attempts: u32) -> Restarts {
    let settings = RestartSection {
        attempts,
        ..section(RestartStrategyKind::FixedDelay)
    };
    Restarts::new(RestartStrategy::new(settings, true), true)
}

/// What becomes of each of these failures: the number of its restart, or the error that ends the job.
fn check_job(failures: Vec<AttemptFailure>, expected: &[Result<u32, &str>]) {
    let mut restarts = restarts(3);
    let found = failures.into_iter().enumerate().map(|(at, failure)| {
        let now = Duration::from_secs(at as u64);
        match restarts.failed(failure, now, 0.5) {
            RestartDecision::Restart { delay, number } => {
                assert_eq!(delay, SECOND);
                Ok(number)
            }
            RestartDecision::GiveUp(error) => Err(error.full_message()),
        }
    });
    let found: Vec<_> = found.collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|expected| expected.map_err(str::to_owned))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_end_tells_the_first_failure_the_restarts_and_the_reason() {
    let operator = |message| failure(ErrorKind::Operator, message);
    let ended = "third; given up after 3 restarts: strategy \"fixed-delay\" allows 3; the first failure was: first";
    check_job(
        vec![
            operator("first"),
            operator("second"),
            operator("second"),
            operator("third"),
        ],
        &[Ok(1), Ok(2), Ok(3), Err(ended)],
    );
    let ended = "again; given up after 3 restarts: strategy \"fixed-delay\" allows 3";
    let again = || operator("again");
    check_job(
        vec![again(), again(), again(), again()],
        &[Ok(1), Ok(2), Ok(3), Err(ended)],
    );
}

#[test]
fn what_fails_before_it_has_ever_run_is_not_tried_again() {
    let unstarted = || AttemptFailure {
        has_run: false,
        ..failure(ErrorKind::Operator, "no such folder")
    };
    check_job(vec![unstarted()], &[Err("no such folder")]);
    let once = failure(ErrorKind::Operator, "once");
    check_job(vec![once, unstarted()], &[Ok(1), Ok(2)]);
}

#[test]
fn a_conflict_and_a_job_that_is_to_end_are_not_tried_again() {
    check_job(
        vec![failure(ErrorKind::Conflict, "theirs")],
        &[Err("theirs")],
    );
    let ending = || AttemptFailure {
        end_requested: true,
        ..failure(ErrorKind::Operator, "broken")
    };
    check_job(vec![ending()], &[Err("broken")]);
    let ended = "broken; given up after 1 restart: the job was asked to end";
    check_job(
        vec![failure(ErrorKind::Operator, "broken"), ending()],
        &[Ok(1), Err(ended)],
    );
}

#[test]
fn wrong_input_that_fails_twice_in_the_same_words_is_not_tried_a_third_time() {
    let data = |message| failure(ErrorKind::Data, message);
    let ended = "row 7; given up after 1 restart: it would only fail in the same way again (stop_on_repeat)";
    check_job(vec![data("row 7"), data("row 7")], &[Ok(1), Err(ended)]);
    check_job(
        vec![data("row 7"), data("row 9"), data("row 7")],
        &[Ok(1), Ok(2), Ok(3)],
    );
    let progressed = || AttemptFailure {
        has_progressed: true,
        ..data("row 7")
    };
    check_job(vec![data("row 7"), progressed()], &[Ok(1), Ok(2)]);
    check_job(vec![progressed(), data("row 7")], &[Ok(1), Err(ended)]);
    let operator = || failure(ErrorKind::Operator, "row 7");
    check_job(vec![operator(), operator()], &[Ok(1), Ok(2)]);
}

#[test]
fn a_repeated_mistake_is_tried_again_when_that_is_wanted() {
    let settings = section(RestartStrategyKind::ExponentialDelay);
    let mut restarts = Restarts::new(RestartStrategy::new(settings, true), false);
    for number in 1..100 {
        let failure = failure(ErrorKind::Data, "row 7");
        let decision = restarts.failed(failure, Duration::from_secs(number * 60), 0.5);
        assert!(matches!(decision, RestartDecision::Restart { .. }));
    }
}

#[test]
fn a_failure_that_leaves_work_behind_is_not_followed_by_a_restart() {
    let hanging = || AttemptFailure {
        is_torn_down: false,
        ..failure(ErrorKind::Environment, "slow disk")
    };
    let ended = "slow disk; given up after 1 restart: work that it had begun in the background has not come to its end";
    check_job(
        vec![failure(ErrorKind::Environment, "full disk"), hanging()],
        &[
            Ok(1),
            Err(&format!("{ended}; the first failure was: full disk")),
        ],
    );
}
