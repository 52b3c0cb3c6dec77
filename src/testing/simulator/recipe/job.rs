//! The whole of a random job.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use serde::Deserialize;

use super::super::operators::Record;
use super::super::outside::{Expected, Outside, OutsideSink, SinkHabits};
use super::super::witness::ProcessView;
use super::source::{Positions, SourceRecipe};
use super::step::Step;
use crate::error::Result;
use crate::graph::{JobGraph, Stream, StreamBuilder};
use crate::model::OperatorId;
use crate::snapshot::Manifest;

/// What a job does, apart from how it is run.
#[derive(Clone, Debug)]
pub(in super::super) struct Recipe {
    sources: Vec<SourceRecipe>,
    steps: Vec<Step>,
    sinks: Vec<SinkHabits>,
    max_parallelism: u16,
}

/// One item of a source's state, as its checkpoint shows it.
#[derive(Deserialize)]
struct SplitPosition {
    split: usize,
    next: u64,
}

impl Recipe {
    /// A job without state, whose records may come twice without any other effect, or any job.
    pub(in super::super) fn draw(random: &mut Rng, is_stateless: bool) -> Self {
        let sources: Vec<_> = (0..random.usize(1..=3))
            .map(|_| SourceRecipe::draw(random))
            .collect();
        let mut timed = vec![true; sources.len()];
        let mut steps = Vec::new();
        for _ in 0..random.usize(1..=6) {
            let step = Step::draw(random, &timed, is_stateless);
            timed.push(step.keeps_time() && step.inputs().iter().all(|input| timed[*input]));
            steps.push(step);
        }
        let mut recipe = Self {
            sources,
            steps,
            sinks: Vec::new(),
            max_parallelism: [3, 8, 128][random.usize(0..3)],
        };
        let ends = recipe.ends().len();
        recipe.sinks = (0..ends).map(|_| SinkHabits::draw(random)).collect();
        recipe
    }

    /// The streams that no step reads: each has a sink.
    fn ends(&self) -> Vec<usize> {
        let streams = 0..self.sources.len() + self.steps.len();
        let is_read = |stream: &usize| self.steps.iter().any(|step| step.inputs().contains(stream));
        streams.filter(|stream| !is_read(stream)).collect()
    }

    /// The graph of one process, with sinks that write to `outside`.
    pub(in super::super) fn graph(
        &self,
        parallelism: usize,
        outside: &Arc<Outside>,
        view: &Arc<ProcessView>,
    ) -> Result<JobGraph> {
        let job = StreamBuilder::new("job")
            .parallelism(parallelism)
            .max_parallelism(self.max_parallelism);
        let mut streams: Vec<Stream<Record>> = Vec::new();
        for (place, source) in self.sources.iter().copied().enumerate() {
            streams.push(job.source(source_id(place), move || source.make()));
        }
        for (place, step) in self.steps.iter().copied().enumerate() {
            let id = OperatorId::new(format!("step-{place}"));
            streams.push(step.add(id, &streams, view));
        }
        for (sink, (end, habits)) in self.ends().into_iter().zip(&self.sinks).enumerate() {
            let (outside, view, habits) = (Arc::clone(outside), Arc::clone(view), *habits);
            streams[end].sink(OperatorId::new(format!("sink-{sink}")), move || {
                let (outside, view) = (Arc::clone(&outside), Arc::clone(&view));
                Ok(OutsideSink::new(sink, habits, outside, view))
            });
        }
        job.build()
    }

    /// The largest parallelism that the job can have.
    pub(in super::super) fn max_parallelism(&self) -> usize {
        usize::from(self.max_parallelism)
    }

    /// What each sink must have been given in the end, and how often, when all input was read.
    pub(in super::super) fn expected(&self) -> Expected {
        self.expected_up_to(&vec![None; self.sources.len()])
    }

    /// The same when the input ends at these positions of each source.
    pub(in super::super) fn expected_up_to(&self, positions: &[Positions]) -> Expected {
        let sources = self.sources.iter().zip(positions);
        let mut streams: Vec<Vec<Record>> = sources
            .map(|(source, positions)| source.records(positions))
            .collect();
        for step in &self.steps {
            streams.push(step.evaluate(&streams));
        }
        let mut expected = BTreeMap::new();
        for (sink, end) in self.ends().into_iter().enumerate() {
            for record in &streams[end] {
                *expected.entry((sink, *record)).or_default() += 1;
            }
        }
        expected
    }

    /// How far each source was read in a checkpoint, as far as that still knows it.
    ///
    /// # Errors
    /// When it does not say so.
    pub(in super::super) fn positions(
        &self,
        manifest: &Manifest,
    ) -> Result<Vec<Positions>, String> {
        let of_source = |place: usize| {
            let entry = manifest.operators.get(&source_id(place));
            let entry = entry.ok_or_else(|| format!("nothing is known of source {place}"))?;
            let mut positions = Vec::new();
            for item in entry.subtasks.iter().flat_map(|subtask| &subtask.items) {
                let item = SplitPosition::deserialize(item)
                    .map_err(|error| format!("the position of source {place}: {error}"))?;
                if positions.len() <= item.split {
                    positions.resize(item.split + 1, 0);
                }
                positions[item.split] = item.next;
            }
            Ok((!positions.is_empty()).then_some(positions))
        };
        (0..self.sources.len()).map(of_source).collect()
    }
}

fn source_id(place: usize) -> OperatorId {
    OperatorId::new(format!("source-{place}"))
}
