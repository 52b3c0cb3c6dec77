//! How a job is run, and what goes wrong: all of it drawn from the seed.

use std::time::Duration;

use fastrand::Rng;

use super::recipe::Recipe;
use crate::config::{
    CheckpointMode, CheckpointSection, LinkSection, RestartSection, RestartStrategyKind,
};
use crate::engine::EngineSettings;

/// Everything that one seed decides before the run begins.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) recipe: Recipe,
    pub(super) checkpoint: CheckpointSection,
    restart: RestartSection,
    link: LinkSection,
    /// How many crashes, failing disks and requests there are at most.
    pub(super) incidents: usize,
    /// One of so many actions is preceded by an incident.
    pub(super) calm: u32,
    pub(super) pace: Pace,
}

/// How likely each kind of action is, from 1 to 32: what is unlikely is slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) step: u32,
    /// Which subtasks are slow: each bit stands for the places with a remainder.
    slow: u8,
    pub(super) order: u32,
    pub(super) letter: u32,
    pub(super) background: u32,
    /// One of so many actions is preceded by a move of the clock.
    pub(super) clock: u32,
    /// How far the clock moves at most.
    pub(super) clock_max: Duration,
    /// How many rows a step works off at most.
    pub(super) rows_max: usize,
}

impl Scenario {
    pub(super) fn draw(random: &mut Rng) -> Self {
        let is_stateless = random.u8(0..6) == 0;
        let recipe = Recipe::draw(random, is_stateless);
        let link = LinkSection {
            rows_max: random.usize(1..30),
            elements_max: random.usize(1..8),
        };
        Self {
            recipe,
            checkpoint: draw_checkpoint(random, is_stateless),
            restart: draw_restart(random),
            link,
            incidents: random.usize(0..12),
            calm: random.u32(10..200),
            pace: Pace::draw(random),
        }
    }

    /// What the engine would be given.
    pub(super) fn settings(&self) -> EngineSettings {
        EngineSettings {
            checkpoint: self.checkpoint.clone(),
            restart: self.restart.clone(),
            link: self.link.clone(),
            ..EngineSettings::default()
        }
    }

    pub(super) fn draw_parallelism(&self, random: &mut Rng) -> usize {
        random.usize(1..=self.recipe.max_parallelism().min(3))
    }
}

fn draw_checkpoint(random: &mut Rng, is_stateless: bool) -> CheckpointSection {
    let interval = match random.u8(0..8) {
        0 => None,
        _ => Some(Duration::from_millis(random.u64(3..100))),
    };
    let mut checkpoint = CheckpointSection {
        interval,
        timeout: Duration::from_millis(random.u64(20..2_000)),
        min_pause: match random.u8(0..4) {
            0 => Duration::from_millis(random.u64(1..50)),
            _ => Duration::ZERO,
        },
        max_concurrent: random.usize(1..=3),
        tolerable_failures: [0, 2, u32::MAX, u32::MAX][random.usize(0..4)],
        retain: [1, 1, 1, 2, 2, 3][random.usize(0..6)],
        ..CheckpointSection::default()
    };
    if is_stateless && random.bool() {
        checkpoint.mode = CheckpointMode::AtLeastOnce;
    } else if random.u8(0..5) < 3 {
        checkpoint.unaligned = true;
        checkpoint.max_concurrent = 1;
        checkpoint.aligned_timeout = match random.bool() {
            true => Duration::ZERO,
            false => Duration::from_millis(random.u64(1..30)),
        };
    }
    checkpoint
}

fn draw_restart(random: &mut Rng) -> RestartSection {
    let millis = |random: &mut Rng, max: u64| Duration::from_millis(random.u64(0..max));
    let strategies = [
        None,
        None,
        Some(RestartStrategyKind::None),
        Some(RestartStrategyKind::FixedDelay),
        Some(RestartStrategyKind::FailureRate),
        Some(RestartStrategyKind::ExponentialDelay),
    ];
    RestartSection {
        strategy: strategies[random.usize(0..strategies.len())],
        attempts: random.u32(0..5),
        delay: millis(random, 50),
        max_failures_per_interval: random.u32(1..4),
        failure_rate_interval: millis(random, 500),
        initial_backoff: millis(random, 50),
        max_backoff: Duration::from_millis(200),
        ..RestartSection::default()
    }
}

impl Pace {
    /// Whether the subtask at this place is slower than others.
    pub(super) fn is_slow(&self, place: usize) -> bool {
        self.slow & (1 << (place % 8)) != 0
    }

    fn draw(random: &mut Rng) -> Self {
        let slow = random.u8(..) & random.u8(..);
        let mut weight = || [2, 8, 32][random.usize(0..3)];
        Self {
            step: weight(),
            slow,
            order: weight(),
            letter: weight(),
            background: weight(),
            clock: random.u32(1..60),
            clock_max: Duration::from_millis(random.u64(1..40)),
            rows_max: [4, 60][random.usize(0..2)],
        }
    }
}
