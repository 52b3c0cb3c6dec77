//! What a job keeps before its first record: what a savepoint is made of that no run of the job has taken.

use super::job_graph::{Component, Factory, JobGraph, Node};
use crate::channel::NoWake;
use crate::error::{Error, Result};
use crate::model::{CheckpointId, KeyGroupRange, SharedClock};
use crate::operator::{JobContext, Operator, OperatorContext};
use crate::snapshot::SealedOperator;
use crate::snapshot::offline::NewJob;
use crate::state::{KeyedStateBackend, OperatorStateBackend, StateSettings};
use crate::telemetry::JobStatus;

impl JobGraph {
    /// The states that the operators of the job register, found out by opening them. Sources and sinks are not opened, since
    /// that would touch what they read and write.
    ///
    /// # Errors
    /// Those of an operator that cannot be made or opened.
    pub fn new_job(&self, clock: &SharedClock) -> Result<NewJob> {
        let mut operators = Vec::new();
        for node in self.nodes() {
            let Component::Operator(make) = &node.component else {
                continue;
            };
            for index in 0..self.parallelism {
                let sealed = self.sealed(node, make, index, clock);
                let sealed = sealed.map_err(|error: Error| error.context(&node.id))?;
                if !sealed.states.is_empty() || !sealed.operator_state.is_empty() {
                    operators.push((index, sealed));
                }
            }
        }
        Ok(NewJob {
            name: self.name.clone(),
            max_parallelism: self.max_parallelism,
            graph: self.snapshot_operators(),
            operators,
        })
    }

    /// What one subtask of an operator gives to a checkpoint before the first record.
    fn sealed(
        &self,
        node: &Node,
        make: &Factory<dyn Operator>,
        subtask: usize,
        clock: &SharedClock,
    ) -> Result<SealedOperator> {
        let (parallelism, max_parallelism) = (self.parallelism, self.max_parallelism);
        let settings = StateSettings {
            directory: None,
            max_parallelism,
            key_groups: KeyGroupRange::of_subtask(subtask, parallelism, max_parallelism),
            incremental: true,
            local_recovery: None,
            clock: clock.clone(),
        };
        let mut keyed_state = KeyedStateBackend::new(settings, Vec::new());
        let mut operator_state = OperatorStateBackend::new(subtask, parallelism, Vec::new());
        let mut operator = make()?;
        operator.open(&mut OperatorContext {
            job: &JobContext::alone(&self.name),
            recovery: &mut Vec::new(),
            operator: &node.id,
            subtask,
            parallelism,
            clock,
            status: &JobStatus::shared(),
            wake: &NoWake::shared(),
            restored: None,
            keyed_state: &mut keyed_state,
            operator_state: &mut operator_state,
        })?;
        // Nothing was processed, so there is nothing to be done in the background either.
        let items = operator.snapshot(CheckpointId(0))?.items;
        Ok(SealedOperator {
            operator: node.id.clone(),
            finished: false,
            items,
            operator_state: operator_state.seal()?,
            in_flight: Vec::new(),
            local: None,
            states: keyed_state.seal()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::JobFile;
    use crate::graph::build;
    use crate::model::SystemClock;

    const JOB: &str = "[job]\nname = 'j'\nparallelism = 2\n\
        [[source]]\nid = 'in'\ntype = 'file'\npath = 'not/there/*.csv'\nformat = 'csv'\n\
        [source.columns]\nkey = 'int64'\n\
        [[operator]]\nid = 'some'\ntype = 'filter'\ninput = 'in'\ncolumn = 'key'\nop = 'is not null'\n\
        [[operator]]\nid = 'sums'\ntype = 'aggregate'\ninput = 'some'\nkey = ['key']\nemit = 'update'\n\
        [operator.aggregates]\ncount = 'count()'\n\
        [[sink]]\nid = 'out'\ntype = 'blackhole'\ninput = 'sums'\n";

    #[test]
    fn only_operators_with_state_are_in_a_new_job() {
        let file = JobFile::parse("job.toml", JOB).unwrap();
        let graph = build(&file).unwrap();
        let job = graph.new_job(&SystemClock::shared()).unwrap();
        let subtasks: Vec<_> = job
            .operators
            .iter()
            .map(|(index, sealed)| (*index, sealed.operator.as_str(), sealed.states.len()))
            .collect();
        assert_eq!(subtasks, [(0, "sums", 1), (1, "sums", 1)]);
        let (_, sealed) = &job.operators[0];
        assert_eq!(&*sealed.states[0].name, "aggregate");
        assert_eq!(sealed.items[0]["schema"]["key"][0], "key int64");
        let ids: Vec<&str> = job
            .graph
            .iter()
            .map(|operator| operator.id.as_str())
            .collect();
        assert_eq!(ids, ["in", "some", "sums", "out"]);
        assert_eq!((job.name.as_str(), job.max_parallelism), ("j", 128));
    }
}
