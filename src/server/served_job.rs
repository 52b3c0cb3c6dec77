//! The job that is served, as far as the server knows it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::CheckpointSection;
use crate::engine::{JobControl, JobHandle};
use crate::graph::{JobOutline, VertexOutline};
use crate::model::SharedClock;
use crate::telemetry::{JobPhase, JobStatus, TaskFigures, TaskStatus};

/// The job that is served: what it consists of, how it gets on, and how it is told what to do.
#[derive(Clone)]
pub struct ServedJob {
    pub(super) outline: JobOutline,
    pub(super) checkpoint: CheckpointSection,
    pub(super) status: Arc<JobStatus>,
    pub(super) control: JobControl,
    pub(super) clock: SharedClock,
    pub(super) started_unix_millis: i64,
}

/// The figures of one subtask, by its index.
pub(super) type IndexedTask = (usize, TaskFigures);

impl ServedJob {
    /// A job that was started just now.
    pub fn new(handle: &JobHandle, checkpoint: CheckpointSection, clock: SharedClock) -> Self {
        Self {
            outline: handle.outline().clone(),
            checkpoint,
            status: handle.status(),
            control: handle.control(),
            started_unix_millis: clock.unix_millis(),
            clock,
        }
    }

    /// Its name, by which it is asked for.
    pub(super) fn name(&self) -> &str {
        &self.outline.name
    }

    /// The chain whose first operator has this id.
    pub(super) fn vertex(&self, id: &str) -> Option<&VertexOutline> {
        let mut vertices = self.outline.vertices.iter();
        vertices.find(|vertex| vertex.id.as_str() == id)
    }

    /// The figures of a chain's subtasks, in their order. There are none before they are made.
    pub(super) fn tasks(&self, vertex: &VertexOutline) -> Vec<IndexedTask> {
        let tasks = self.status.tasks().into_iter();
        tasks
            .filter(|(subtask, _)| subtask.operator == vertex.id)
            .map(|(subtask, meter)| (subtask.index, meter.figures()))
            .collect()
    }

    /// How long it has been running.
    pub(super) fn duration(&self) -> Duration {
        let millis = self.clock.unix_millis() - self.started_unix_millis;
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }
}

/// Flink's name for what a job is about.
pub(super) fn state_name(phase: JobPhase) -> &'static str {
    match phase {
        JobPhase::Starting => "CREATED",
        JobPhase::Restoring => "INITIALIZING",
        // Flink has no name of its own for a job that takes its last checkpoint.
        JobPhase::Running | JobPhase::Stopping => "RUNNING",
        JobPhase::Ended => "FINISHED",
    }
}

/// What a chain is about, by what its subtasks are: the worst of them, and finished only when all are.
pub(super) fn vertex_status(tasks: &[IndexedTask]) -> &'static str {
    let is = |status| tasks.iter().any(|(_, task)| task.status == status);
    let worst = [
        TaskStatus::Failed,
        TaskStatus::Canceled,
        TaskStatus::Initializing,
        TaskStatus::Running,
        TaskStatus::Finished,
    ];
    let found = worst.into_iter().find(|status| is(*status));
    found.map_or("CREATED", TaskStatus::name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::TaskMeter;

    #[test]
    fn a_chain_is_what_the_worst_of_its_subtasks_is() {
        let check = |statuses: &[TaskStatus], expected: &str| {
            let tasks: Vec<IndexedTask> = statuses
                .iter()
                .map(|status| {
                    let meter = TaskMeter::new(Duration::ZERO);
                    meter.set_status(*status);
                    (0, meter.figures())
                })
                .collect();
            assert_eq!(vertex_status(&tasks), expected, "{statuses:?}");
        };
        check(&[], "CREATED");
        check(
            &[TaskStatus::Running, TaskStatus::Initializing],
            "INITIALIZING",
        );
        check(&[TaskStatus::Finished, TaskStatus::Running], "RUNNING");
        check(&[TaskStatus::Finished, TaskStatus::Finished], "FINISHED");
        check(&[TaskStatus::Canceled, TaskStatus::Failed], "FAILED");
    }
}
