//! How a job is run, and what goes wrong: all of it drawn from the seed.

use std::time::Duration;

use fastrand::Rng;

use super::recipe::Recipe;
use crate::config::{CheckpointMode, CheckpointSection, LinkSection};
use crate::engine::EngineSettings;

/// Everything that one seed decides before the run begins.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) recipe: Recipe,
    pub(super) checkpoint: CheckpointSection,
    link: LinkSection,
    /// How many crashes, failing disks and requests there are at most.
    pub(super) incidents: usize,
    /// One of so many actions is preceded by an incident.
    pub(super) calm: u32,
    pub(super) pace: Pace,
}

/// How likely each kind of action is, from 1 to 16: what is unlikely is slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) step: u8,
    pub(super) order: u8,
    pub(super) letter: u8,
    pub(super) background: u8,
    /// One of so many actions is preceded by a move of the clock.
    pub(super) clock: u32,
    /// How far the clock moves at most.
    pub(super) clock_max: Duration,
    /// How many rows a step works off at most.
    pub(super) rows_max: usize,
}

impl Scenario {
    pub(super) fn draw(random: &mut Rng) -> Self {
        let is_stateless = random.u8(0..5) == 0;
        let recipe = Recipe::draw(random, is_stateless);
        let interval = match random.u8(0..10) {
            0 => None,
            _ => Some(Duration::from_millis(random.u64(5..150))),
        };
        let mut checkpoint = CheckpointSection {
            interval,
            ..CheckpointSection::default()
        };
        if is_stateless && random.bool() {
            checkpoint.mode = CheckpointMode::AtLeastOnce;
        }
        checkpoint.timeout = Duration::from_millis(random.u64(20..2_000));
        checkpoint.min_pause = match random.u8(0..4) {
            0 => Duration::from_millis(random.u64(1..50)),
            _ => Duration::ZERO,
        };
        checkpoint.max_concurrent = random.usize(1..=3);
        checkpoint.tolerable_failures = [0, 2, u32::MAX, u32::MAX][random.usize(0..4)];
        checkpoint.retain = random.usize(1..=3);
        let link = LinkSection {
            rows_max: random.usize(1..40),
            elements_max: random.usize(1..8),
        };
        Self {
            recipe,
            checkpoint,
            link,
            incidents: random.usize(0..8),
            calm: random.u32(20..400),
            pace: Pace::draw(random),
        }
    }

    /// What the engine would be given.
    pub(super) fn settings(&self) -> EngineSettings {
        EngineSettings {
            checkpoint: self.checkpoint.clone(),
            link: self.link.clone(),
            ..EngineSettings::default()
        }
    }

    pub(super) fn draw_parallelism(&self, random: &mut Rng) -> usize {
        random.usize(1..=self.recipe.max_parallelism().min(3))
    }
}

impl Pace {
    fn draw(random: &mut Rng) -> Self {
        let mut weight = || [1, 4, 16][random.usize(0..3)];
        Self {
            step: weight(),
            order: weight(),
            letter: weight(),
            background: weight(),
            clock: random.u32(1..60),
            clock_max: Duration::from_millis(random.u64(1..40)),
            rows_max: random.usize(1..60),
        }
    }
}
