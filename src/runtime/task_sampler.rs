//! Turns what subtasks have spent their time on into rates, once a second.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::SubtaskId;
use crate::telemetry::{JobStatus, Metric, TaskSample, set_gauge};

/// How often rates are worked out.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Compares the figures of all subtasks with those of the last time.
#[derive(Debug, Default)]
pub(super) struct TaskSampler {
    last: BTreeMap<SubtaskId, TaskSample>,
}

impl TaskSampler {
    /// Works out the rates since the last time, keeps them for those who ask, and reports them as metrics.
    pub(super) fn sample(&mut self, status: &JobStatus, now: Duration) {
        for (subtask, meter) in status.tasks() {
            let last = self.last.get(&subtask).copied();
            let (sample, rates) = meter.sample(last, now);
            for (metric, value) in [
                (Metric::BusyTime, rates.busy_millis_per_second),
                (Metric::IdleTime, rates.idle_millis_per_second),
                (
                    Metric::BackPressuredTime,
                    rates.back_pressured_millis_per_second,
                ),
                (Metric::RecordsInRate, rates.records_in_per_second),
                (Metric::RecordsOutRate, rates.records_out_per_second),
            ] {
                set_gauge(metric, &subtask.operator, subtask.index, value);
            }
            self.last.insert(subtask, sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OperatorId;
    use crate::telemetry::Activity;

    #[test]
    fn each_subtask_is_compared_with_itself() {
        let status = JobStatus::shared();
        let id = |index| SubtaskId::new(OperatorId::new("sum"), index);
        let meters = [0, 1].map(|index| status.add_task(id(index), Duration::ZERO));
        let mut sampler = TaskSampler::default();
        sampler.sample(&status, Duration::ZERO);
        let second = Duration::from_secs(1);
        meters[1].switch(Activity::BackPressured, second / 4, 10, 0);
        sampler.sample(&status, second);
        let rates = meters.each_ref().map(|meter| meter.figures().rates);
        assert_eq!(rates[0].busy_millis_per_second, 1000.0);
        assert_eq!(rates[1].back_pressured_millis_per_second, 750.0);
        assert_eq!(rates[1].records_in_per_second, 10.0);
        // A subtask that was made anew after a restart takes the place of the former one.
        let anew = status.add_task(id(1), second);
        sampler.sample(&status, second * 2);
        assert_eq!(anew.figures().rates.records_in_per_second, 0.0);
        assert_eq!(status.tasks().len(), 2);
    }
}
