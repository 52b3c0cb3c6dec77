//! What a subtask spends its time on: written by its actor, read by whoever shows it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The figures of one subtask. Its actor writes to them a few times a step, and somebody reads them once a second, so
/// that a lock costs nothing.
#[derive(Debug)]
pub struct TaskMeter(Mutex<TaskFigures>);

/// The figures of one subtask at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFigures {
    /// What the subtask is about.
    pub status: TaskStatus,
    /// Records that came in.
    pub records_in: u64,
    /// Records that went out.
    pub records_out: u64,
    /// How long its operators took to open, with the restore of their state.
    pub initialization: Duration,
    /// What it has spent its time on since it was made.
    pub times: TaskTimes,
    /// What it has done in about the last second.
    pub rates: TaskRates,
}

/// What a subtask is about, in Flink's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskStatus {
    /// Its operators are being opened.
    Initializing,
    /// It works, or waits for work.
    Running,
    /// All its input has ended and is worked off.
    Finished,
    /// It was told to end.
    Canceled,
    /// It is of no use any more.
    Failed,
}

/// What a subtask does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It works, or would if its worker had a turn for it.
    Busy,
    /// It waits for input, or for a time.
    Idle,
    /// It waits for room in a link.
    BackPressured,
}

/// The time a subtask has spent, by what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskTimes {
    /// What it does now.
    activity: Activity,
    /// Since when, as the job's clock counts.
    since: Duration,
    busy: Duration,
    idle: Duration,
    back_pressured: Duration,
}

/// What a subtask has done in about the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TaskRates {
    /// Milliseconds of each second in which it worked.
    pub busy_millis_per_second: f64,
    /// Milliseconds of each second in which it waited for input.
    pub idle_millis_per_second: f64,
    /// Milliseconds of each second in which it waited for room in a link.
    pub back_pressured_millis_per_second: f64,
    /// Records a second that came in.
    pub records_in_per_second: f64,
    /// Records a second that went out.
    pub records_out_per_second: f64,
}

/// The figures of a subtask when it was last sampled, to compare the present ones with.
#[derive(Clone, Copy, Debug)]
pub struct TaskSample {
    at: Duration,
    times: [Duration; 3],
    records: [u64; 2],
}

impl TaskMeter {
    /// A meter of a subtask that is about to open its operators; `now` is the time of the job's clock.
    pub fn new(now: Duration) -> Self {
        Self(Mutex::new(TaskFigures {
            status: TaskStatus::Initializing,
            records_in: 0,
            records_out: 0,
            initialization: Duration::ZERO,
            times: TaskTimes::new(now),
            rates: TaskRates::default(),
        }))
    }

    /// The figures as they are.
    pub fn figures(&self) -> TaskFigures {
        self.lock().clone()
    }

    /// The subtask's operators are open, so long after it began with them.
    pub fn opened(&self, took: Duration) {
        self.lock().initialization = took;
    }

    /// Says what the subtask is about from now on. What has ended stays so.
    pub fn set_status(&self, status: TaskStatus) {
        let mut figures = self.lock();
        if matches!(
            figures.status,
            TaskStatus::Initializing | TaskStatus::Running
        ) {
            figures.status = status;
        }
    }

    /// Says what the subtask does from `now` on, and the records that it has dealt with since the last time.
    pub fn switch(&self, activity: Activity, now: Duration, records_in: u64, records_out: u64) {
        let mut figures = self.lock();
        figures.times.switch(activity, now);
        figures.records_in += records_in;
        figures.records_out += records_out;
    }

    /// Works out the rates since `last`, keeps them, and takes a sample for the next time. Nothing changes when no time
    /// has passed.
    pub fn sample(&self, last: Option<TaskSample>, now: Duration) -> (TaskSample, TaskRates) {
        let mut figures = self.lock();
        let sample = TaskSample {
            at: now,
            times: figures.times.totals_at(now),
            records: [figures.records_in, figures.records_out],
        };
        if let Some(last) = last
            && now > last.at
        {
            figures.rates = sample.rates_since(&last);
        }
        (sample, figures.rates)
    }

    fn lock(&self) -> MutexGuard<'_, TaskFigures> {
        // Each change is a whole one, so a thread that panicked elsewhere has left nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskTimes {
    fn new(now: Duration) -> Self {
        Self {
            // Opening operators and restoring their state is work.
            activity: Activity::Busy,
            since: now,
            busy: Duration::ZERO,
            idle: Duration::ZERO,
            back_pressured: Duration::ZERO,
        }
    }

    fn switch(&mut self, activity: Activity, now: Duration) {
        let [busy, idle, back_pressured] = self.totals_at(now);
        *self = Self {
            activity,
            since: self.since.max(now),
            busy,
            idle,
            back_pressured,
        };
    }

    /// The time spent up to `now`: busy, idle and back-pressured.
    pub fn totals_at(&self, now: Duration) -> [Duration; 3] {
        let current = now.saturating_sub(self.since);
        let with = |total: Duration, activity| match self.activity == activity {
            true => total + current,
            false => total,
        };
        [
            with(self.busy, Activity::Busy),
            with(self.idle, Activity::Idle),
            with(self.back_pressured, Activity::BackPressured),
        ]
    }
}

impl TaskSample {
    fn rates_since(&self, last: &Self) -> TaskRates {
        let seconds = self.at.saturating_sub(last.at).as_secs_f64();
        let millis = |part: usize| {
            let spent = self.times[part].saturating_sub(last.times[part]);
            spent.as_secs_f64() * 1000.0 / seconds
        };
        let records =
            |part: usize| self.records[part].saturating_sub(last.records[part]) as f64 / seconds;
        TaskRates {
            busy_millis_per_second: millis(0),
            idle_millis_per_second: millis(1),
            back_pressured_millis_per_second: millis(2),
            records_in_per_second: records(0),
            records_out_per_second: records(1),
        }
    }
}

impl TaskStatus {
    /// Every status, in the order of Flink's lists.
    pub const ALL: [Self; 5] = [
        Self::Initializing,
        Self::Running,
        Self::Finished,
        Self::Canceled,
        Self::Failed,
    ];

    /// Flink's name of the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Canceled => "CANCELED",
            Self::Failed => "FAILED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn every_moment_counts_for_what_the_subtask_did_then() {
        let meter = TaskMeter::new(millis(100));
        meter.switch(Activity::Idle, millis(150), 0, 0);
        meter.switch(Activity::Busy, millis(350), 10, 5);
        meter.switch(Activity::BackPressured, millis(400), 1, 1);
        let check = |now, expected: [u64; 3]| {
            let totals = meter.figures().times.totals_at(millis(now));
            assert_eq!(totals, expected.map(millis), "{now}");
        };
        check(400, [100, 200, 0]);
        // It has not said anything for a while: it is still waiting.
        check(1_400, [100, 200, 1_000]);
        // A clock that is asked late gives a time before the last one: nothing is counted twice.
        meter.switch(Activity::Idle, millis(300), 0, 0);
        check(500, [100, 300, 0]);
        let figures = meter.figures();
        assert_eq!((figures.records_in, figures.records_out), (11, 6));
    }

    #[test]
    fn rates_are_those_since_the_last_sample() {
        let meter = TaskMeter::new(millis(0));
        let (first, rates) = meter.sample(None, millis(0));
        assert_eq!(rates, TaskRates::default());
        meter.switch(Activity::Idle, millis(500), 300, 100);
        let (second, rates) = meter.sample(Some(first), millis(2_000));
        let expected = TaskRates {
            busy_millis_per_second: 250.0,
            idle_millis_per_second: 750.0,
            back_pressured_millis_per_second: 0.0,
            records_in_per_second: 150.0,
            records_out_per_second: 50.0,
        };
        assert_eq!(rates, expected);
        assert_eq!(meter.figures().rates, expected);
        // No time has passed: the last rates stay.
        let (third, rates) = meter.sample(Some(second), millis(2_000));
        assert_eq!(rates, expected);
        let (_, rates) = meter.sample(Some(third), millis(3_000));
        assert_eq!(rates.idle_millis_per_second, 1_000.0);
        assert_eq!(rates.records_in_per_second, 0.0);
    }

    #[test]
    fn what_has_ended_stays_ended() {
        let meter = TaskMeter::new(millis(0));
        let check = |status, expected| {
            meter.set_status(status);
            assert_eq!(meter.figures().status, expected);
        };
        check(TaskStatus::Running, TaskStatus::Running);
        check(TaskStatus::Finished, TaskStatus::Finished);
        check(TaskStatus::Canceled, TaskStatus::Finished);
    }
}
