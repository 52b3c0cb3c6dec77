//! A subtask as its actor would keep it: with its orders, and with what it needs before the next step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::model::SubtaskId;
use crate::runtime::message::Control;
use crate::runtime::seed::SubtaskSeed;
use crate::runtime::subtask::Progress;
use crate::runtime::subtask_driver::SubtaskDriver;
use crate::runtime::wake::ActorWake;

/// One subtask of a stepped attempt.
pub(super) struct SteppedSubtask {
    pub(super) id: SubtaskId,
    /// Whether the coordinator has heard that it is open, and so has its address.
    pub(super) is_known: bool,
    life: Life,
    wake: Arc<ActorWake>,
    /// Set by the wake, when a neighbour has given the subtask something to do.
    woken: Arc<AtomicBool>,
    orders: VecDeque<Control>,
    /// Whether the last step left something to do at once.
    is_busy: bool,
    /// When the subtask wants to be stepped again.
    sleeps_until: Option<Duration>,
}

enum Life {
    Seed(Box<SubtaskSeed>),
    Open(Box<SubtaskDriver>),
    Ended,
}

impl SteppedSubtask {
    /// A subtask that is still to be made.
    pub(super) fn of_seed(seed: SubtaskSeed) -> Self {
        let wake = Arc::clone(&seed.parts.wiring.wake);
        let woken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&woken);
        wake.set_actor(move || flag.store(true, Ordering::SeqCst));
        Self {
            id: seed.parts.id.clone(),
            is_known: false,
            life: Life::Seed(Box::new(seed)),
            wake,
            woken,
            orders: VecDeque::new(),
            is_busy: false,
            sleeps_until: None,
        }
    }

    /// Whether it is still to be opened.
    pub(super) fn is_seed(&self) -> bool {
        matches!(self.life, Life::Seed(_))
    }

    /// Whether a step is worth while, as its actor would see it.
    pub(super) fn is_ready(&self, now: Duration) -> bool {
        let Life::Open(driver) = &self.life else {
            return false;
        };
        let is_due = self.sleeps_until.is_some_and(|until| until <= now);
        driver.is_running() && (self.is_busy || is_due || self.woken.load(Ordering::SeqCst))
    }

    /// When a step will be worth while even if nothing happens until then.
    pub(super) fn sleeps_until(&self) -> Option<Duration> {
        match &self.life {
            Life::Open(driver) if driver.is_running() => self.sleeps_until,
            _ => None,
        }
    }

    /// Whether an order waits, and there is somebody to take it.
    pub(super) fn has_orders(&self) -> bool {
        matches!(self.life, Life::Open(_)) && !self.orders.is_empty()
    }

    /// The next order, if one waits.
    pub(super) fn next_order(&self) -> Option<Control> {
        self.orders.front().copied()
    }

    /// Something outside of the job may have given it something to do.
    pub(super) fn rouse(&mut self) {
        self.is_busy = true;
    }

    /// Puts an order behind the others. One to a subtask that has ended, or has no address yet, is lost.
    pub(super) fn send(&mut self, order: Control) {
        if self.is_known && !matches!(self.life, Life::Ended) {
            self.orders.push_back(order);
        }
    }

    /// Makes and opens it; whether it is open.
    pub(super) fn open(&mut self) -> bool {
        let Life::Seed(seed) = std::mem::replace(&mut self.life, Life::Ended) else {
            return false;
        };
        let Some(mut driver) = seed.make() else {
            return false;
        };
        let is_open = driver.open();
        self.life = Life::Open(Box::new(driver));
        self.end_if_over();
        is_open
    }

    /// Takes a step.
    pub(super) fn step(&mut self, rows_max: usize, now: Duration) -> Option<Progress> {
        let Life::Open(driver) = &mut self.life else {
            return None;
        };
        self.woken.store(false, Ordering::SeqCst);
        self.wake.taken_up();
        let progress = driver.step(rows_max);
        self.is_busy = progress == Some(Progress::Busy);
        self.sleeps_until = match progress {
            Some(Progress::Sleeping(duration)) => now.checked_add(duration),
            _ => None,
        };
        self.end_if_over();
        progress
    }

    /// Takes the next order.
    pub(super) fn obey(&mut self) -> Option<Control> {
        let Life::Open(driver) = &mut self.life else {
            return None;
        };
        let order = self.orders.pop_front()?;
        driver.obey(order);
        // Its actor steps after each order.
        self.is_busy = true;
        self.end_if_over();
        Some(order)
    }

    /// What must hold between any two actions.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) -> Result<(), String> {
        match &self.life {
            Life::Open(driver) => {
                let checked = driver.subtask().check_invariants();
                checked.map_err(|broken| format!("{}: {broken}", self.id))
            }
            Life::Seed(_) | Life::Ended => Ok(()),
        }
    }

    /// What must hold when nothing can happen before time passes.
    #[cfg(test)]
    pub(super) fn check_rest(&self) -> Result<(), String> {
        match &self.life {
            Life::Open(driver) if driver.is_running() => {
                let checked = driver.subtask().check_rest();
                checked.map_err(|broken| format!("{} was not woken: {broken}", self.id))
            }
            _ => Ok(()),
        }
    }

    /// A subtask that has ended gives up its links, and says so.
    fn end_if_over(&mut self) {
        if let Life::Open(driver) = &self.life
            && driver.has_ended()
        {
            driver.report_end();
            self.life = Life::Ended;
            self.orders.clear();
        }
    }
}
