//! Seeds that every test run goes through, a run that is replayed, and the way in for `scripts/simulate.sh`.

use std::io::IsTerminal;
use std::time::Duration;

use super::coverage::Coverage;
use super::simulation::{Simulation, Summary};
use crate::model::{Clock, SystemClock};

/// How many seeds one test goes through; there are several, so that they run beside each other.
const SEEDS: u64 = 500;

/// How many characters the progress bar has.
const BAR_WIDTH: usize = 40;

/// Names the seed when something panics beside the subtasks.
struct Named(u64);

impl Drop for Named {
    #[expect(
        clippy::print_stderr,
        reason = "a panic that names no seed is of little use"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was seed {}", self.0);
        }
    }
}

fn check(part: u64) {
    let mut coverage = Coverage::default();
    for seed in part * SEEDS..(part + 1) * SEEDS {
        let _named = Named(seed);
        match Simulation::run(seed, false) {
            Ok(summary) => coverage.add(&summary.coverage),
            Err(broken) => {
                panic!("{broken}; scripts/simulate.sh -v {seed} shows how it comes to that")
            }
        }
    }
    let seldom = coverage.too_seldom(SEEDS);
    assert!(seldom.is_empty(), "too seldom in {SEEDS} runs: {seldom:?}");
}

#[test]
fn random_jobs_keep_every_promise_1() {
    check(0);
}

#[test]
fn random_jobs_keep_every_promise_2() {
    check(1);
}

#[test]
fn random_jobs_keep_every_promise_3() {
    check(2);
}

#[test]
fn random_jobs_keep_every_promise_4() {
    check(3);
}

#[test]
fn random_jobs_keep_every_promise_5() {
    check(4);
}

#[test]
fn random_jobs_keep_every_promise_6() {
    check(5);
}

#[test]
fn one_seed_replays_a_run() {
    let mut traces = Vec::new();
    for seed in 0..20 {
        let run = || Simulation::run(seed, false).map_err(|broken| broken.to_string());
        let (first, second) = (run().unwrap(), run().unwrap());
        assert_eq!(first, second, "seed {seed}");
        traces.push(first.trace);
    }
    traces.dedup();
    assert_eq!(traces.len(), 20, "seeds differ in their runs");
}

/// Does what the environment says: `FLOODMARK_SIMULATE_SEED` replays one seed, with `FLOODMARK_SIMULATE_TRACE` it says
/// what happens; `FLOODMARK_SIMULATE_MINUTES` goes through seeds for so long, from `FLOODMARK_SIMULATE_FROM` on.
#[test]
#[ignore = "scripts/simulate.sh runs it"]
#[expect(clippy::print_stdout, reason = "what scripts/simulate.sh is to show")]
fn simulate_as_told() {
    let number = |name: &str| -> Option<u64> {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        )
    };
    if let Some(seed) = number("FLOODMARK_SIMULATE_SEED") {
        let is_verbose = std::env::var_os("FLOODMARK_SIMULATE_TRACE").is_some();
        match Simulation::run(seed, is_verbose) {
            Ok(Summary {
                scenario,
                coverage,
                actions,
                ..
            }) => {
                println!(
                    "{scenario}\nseed {seed} keeps every promise, in {actions} actions:\n{coverage}"
                );
            }
            Err(broken) => panic!("{broken}"),
        }
        return;
    }
    let minutes = number("FLOODMARK_SIMULATE_MINUTES").unwrap_or(1);
    let first = number("FLOODMARK_SIMULATE_FROM").unwrap_or(1_000_000);
    explore(first, Duration::from_secs(minutes * 60));
}

/// Goes through seeds for so long, and names those that break a promise.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what scripts/simulate.sh is to show"
)]
fn explore(first: u64, duration: Duration) {
    let clock = SystemClock::new();
    let is_seen = std::io::stderr().is_terminal();
    let mut coverage = Coverage::default();
    let mut failed = 0;
    let mut seed = first;
    while clock.elapsed() < duration {
        let _named = Named(seed);
        match Simulation::run(seed, false) {
            Ok(summary) => coverage.add(&summary.coverage),
            Err(broken) => {
                failed += 1;
                println!("seed {seed}: {}", broken.promise);
            }
        }
        seed += 1;
        if is_seen {
            let bar = progress_bar(clock.elapsed(), duration);
            eprint!("\r{bar} {} seeds, {failed} failed ", seed - first);
        }
    }
    println!("\n{coverage}seeds {first} to {}: {failed} failed", seed - 1);
    assert_eq!(failed, 0, "so many seeds break a promise");
}

/// How much of a time is over.
fn progress_bar(elapsed: Duration, all: Duration) -> String {
    let done = (elapsed.as_secs_f64() / all.as_secs_f64()).min(1.0);
    let full = (done * BAR_WIDTH as f64) as usize;
    let (full, empty) = ("#".repeat(full), ".".repeat(BAR_WIDTH - full));
    format!("[{full}{empty}] {:3.0} %", done * 100.0)
}

#[test]
fn the_progress_bar_fills_up_and_no_further() {
    let check = |elapsed: u64, begins: &str, ends: &str| {
        let bar = progress_bar(Duration::from_secs(elapsed), Duration::from_secs(60));
        assert!(bar.starts_with(begins) && bar.ends_with(ends), "{bar}");
        assert_eq!(bar.len(), BAR_WIDTH + 8);
    };
    check(0, "[.", "]   0 %");
    check(30, "[####", "]  50 %");
    check(61, "[####", "#] 100 %");
}
