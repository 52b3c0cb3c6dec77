//! The plug is pulled, or the process is killed, before every step of a job's life.

use fastrand::Rng;

use crate::snapshot::test_support::block_on;
use crate::storage::SimulatedDisk;

use super::ledger::Ledger;
use super::life::Life;

/// How many outcomes of one power cut are tried.
const OUTCOMES: usize = 2;
/// A killed job that is started again is killed once more within so many steps.
const STEPS_UNTIL_NEXT_END: usize = 80;

const LIVES: [Life; 2] = [life(1, 1), life(3, 2)];

const fn life(seed: u64, retained_max: usize) -> Life {
    Life {
        seed,
        retained_max,
        is_stubborn: false,
    }
}

#[test]
fn a_life_without_a_crash_leaves_nothing_behind() {
    for life in LIVES {
        let (disk, mut ledger) = live(life, None);
        ledger.story = format!("{life:?}");
        let mut rng = Rng::with_seed(life.seed);
        block_on(life.check_recovery(&disk.after_kill(), &mut rng, ledger));
    }
}

#[test]
fn a_kill_at_any_step_loses_nothing_and_leaves_nothing_behind() {
    at_every_step(|life, disk, rng, ledger| {
        block_on(life.check_recovery(&disk.after_kill(), rng, ledger));
    });
}

#[test]
fn a_power_cut_at_any_step_loses_nothing_and_leaves_nothing_behind() {
    at_every_step(|life, disk, rng, ledger| {
        for _ in 0..OUTCOMES {
            let disk = disk.after_power_cut(rng);
            block_on(life.check_recovery(&disk, rng, ledger.clone()));
        }
    });
}

/// What a killed process had not synced is still there for the next one, and can still be lost.
#[test]
fn a_power_cut_some_time_after_a_kill_at_any_step_loses_nothing_and_leaves_nothing_behind() {
    at_every_step(|life, disk, rng, mut ledger| {
        let disk = disk.after_kill();
        disk.stop_before(rng.usize(0..STEPS_UNTIL_NEXT_END));
        let next = Life {
            seed: rng.u64(..),
            ..life
        };
        // It ends with an error if it comes to the step to stop before.
        let _ = block_on(next.run(&disk, &mut ledger));
        ledger.story += &format!(
            "; after the kill {next:?}, last steps: {}",
            disk.last_steps()
        );
        let disk = disk.after_power_cut(rng);
        block_on(life.check_recovery(&disk, rng, ledger));
    });
}

/// Lives each life once for each of its steps, and lets it end before that step.
fn at_every_step(check: impl Fn(Life, &SimulatedDisk, &mut Rng, Ledger)) {
    for life in LIVES {
        let steps = live(life, None).0.steps();
        assert!(steps > 100, "{life:?} has only {steps} steps");
        for step in 0..steps {
            let (disk, mut ledger) = live(life, Some(step));
            assert!(disk.has_stopped(), "{life:?} did not come to step {step}");
            ledger.story = format!(
                "{life:?}, end before step {step}, last steps: {}",
                disk.last_steps()
            );
            let mut rng = Rng::with_seed(life.seed << 32 | step as u64);
            check(life, &disk, &mut rng, ledger);
        }
    }
}

fn live(life: Life, stop_before: Option<usize>) -> (SimulatedDisk, Ledger) {
    let disk = SimulatedDisk::default();
    if let Some(step) = stop_before {
        disk.stop_before(step);
    }
    let mut ledger = Ledger::default();
    let lived = block_on(life.run(&disk, &mut ledger));
    assert!(lived.is_ok() || disk.has_stopped(), "{life:?}: {lived:?}");
    assert_eq!(ledger.failures, 0, "{life:?}");
    (disk, ledger)
}
