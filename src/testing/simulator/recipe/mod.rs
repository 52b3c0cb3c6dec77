//! A random job: what its graph is, and what must come out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

use super::operators::{Delay, Record, Windows, mix, window_end};
use super::outside::{Outside, OutsideSink, SinkHabits};
use crate::connectors::GeneratorSource;
use crate::error::Result;
use crate::graph::{JobGraph, Stream, StreamBuilder};
use crate::model::{EventTime, OperatorId};

/// How many records one source has at most.
const ROWS_MAX: u64 = 60;

/// What a job does, apart from how it is run.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    sources: Vec<SourceRecipe>,
    steps: Vec<Step>,
    sinks: Vec<SinkHabits>,
    max_parallelism: u16,
}

#[derive(Clone, Copy, Debug)]
struct SourceRecipe {
    rows: u64,
    splits: u32,
    batch_rows: usize,
    keys: u64,
    salt: u64,
    /// From one record's event time to the next.
    time_step: i64,
    /// Rows per second; as fast as may be without.
    rate: Option<u64>,
}

/// Makes one stream of one or two others, which are named by their places: the sources come first.
#[derive(Clone, Copy, Debug)]
enum Step {
    Map {
        input: usize,
        salt: u64,
        keys: u64,
    },
    Filter {
        input: usize,
        salt: u64,
    },
    Repeat {
        input: usize,
        times: u64,
    },
    Union {
        inputs: [usize; 2],
    },
    /// By key: numbers the records of each key.
    Count {
        input: usize,
    },
    /// By key: sums in windows.
    Windows {
        input: usize,
        length: i64,
    },
    Delay {
        input: usize,
    },
}

impl Step {
    fn inputs(&self) -> Vec<usize> {
        match *self {
            Self::Union { inputs } => inputs.to_vec(),
            Self::Map { input, .. }
            | Self::Filter { input, .. }
            | Self::Repeat { input, .. }
            | Self::Count { input }
            | Self::Windows { input, .. }
            | Self::Delay { input } => vec![input],
        }
    }
}

impl SourceRecipe {
    fn draw(random: &mut Rng) -> Self {
        Self {
            rows: random.u64(0..ROWS_MAX),
            splits: random.u32(1..6),
            batch_rows: random.usize(1..12),
            keys: random.u64(1..12),
            salt: random.u64(..),
            time_step: random.i64(0..20),
            rate: random.bool().then(|| random.u64(300..5_000)),
        }
    }

    fn record(&self, index: u64) -> Record {
        let number = mix(index, self.salt);
        (number % self.keys, self.time(index), number >> 40)
    }

    fn time(&self, index: u64) -> i64 {
        index as i64 * self.time_step
    }
}

impl Recipe {
    /// A job without state, whose records may come twice without any other effect, or any job.
    pub(super) fn draw(random: &mut Rng, is_stateless: bool) -> Self {
        let sources: Vec<_> = (0..random.usize(1..=3))
            .map(|_| SourceRecipe::draw(random))
            .collect();
        // Whether the records of a stream come in time, so that windows can be made of them.
        let mut timed = vec![true; sources.len()];
        let mut steps = Vec::new();
        for _ in 0..random.usize(1..=6) {
            let step = draw_step(random, &timed, is_stateless);
            timed.push(match step {
                Step::Count { .. } | Step::Delay { .. } => false,
                _ => step.inputs().iter().all(|input| timed[*input]),
            });
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

    /// The graph, with sinks that write to `outside`.
    pub(super) fn graph(&self, parallelism: usize, outside: &Arc<Outside>) -> Result<JobGraph> {
        let job = StreamBuilder::new("job")
            .parallelism(parallelism)
            .max_parallelism(self.max_parallelism);
        let mut streams: Vec<Stream<Record>> = Vec::new();
        for (place, recipe) in self.sources.iter().copied().enumerate() {
            streams.push(
                job.source(OperatorId::new(format!("source-{place}")), move || {
                    let make = move |_, index| recipe.record(index);
                    let source = GeneratorSource::from_fn(Some(recipe.rows), recipe.splits, make)?
                        .with_batch_rows(recipe.batch_rows)
                        .with_event_time(move |index| EventTime(recipe.time(index)));
                    Ok(match recipe.rate {
                        Some(rate) => source.with_rate(rate),
                        None => source,
                    })
                }),
            );
        }
        for (place, step) in self.steps.iter().copied().enumerate() {
            let id = OperatorId::new(format!("step-{place}"));
            let stream = match step {
                Step::Map { input, salt, keys } => {
                    streams[input].map(id, move |record| mapped(record, salt, keys))
                }
                Step::Filter { input, salt } => {
                    streams[input].filter(id, move |record| passes(record, salt))
                }
                Step::Repeat { input, times } => {
                    streams[input].flat_map(id, move |record| repeated(record, times))
                }
                Step::Union {
                    inputs: [first, second],
                } => streams[first].clone().union(streams[second].clone()),
                Step::Count { input } => streams[input].clone().key_by(|(key, ..)| *key).reduce(
                    id,
                    |_| 0_u64,
                    |(key, ..), mut count| {
                        *count = (count.to_native() + 1).into();
                        (*key, 0, count.to_native())
                    },
                ),
                Step::Windows { input, length } => streams[input]
                    .clone()
                    .key_by(|(key, ..)| *key)
                    .process(id, move || Ok(Windows::of(length))),
                Step::Delay { input } => streams[input].operator(id, || Ok(Delay::default())),
            };
            streams.push(stream);
        }
        for (sink, (end, habits)) in self.ends().into_iter().zip(&self.sinks).enumerate() {
            let (outside, habits) = (Arc::clone(outside), *habits);
            streams[end].sink(OperatorId::new(format!("sink-{sink}")), move || {
                Ok(OutsideSink::new(sink, habits, Arc::clone(&outside)))
            });
        }
        job.build()
    }

    /// The largest parallelism that the job can have.
    pub(super) fn max_parallelism(&self) -> usize {
        usize::from(self.max_parallelism)
    }

    /// What each sink must have been given in the end, and how often.
    pub(super) fn expected(&self) -> BTreeMap<(usize, Record), u64> {
        let records = |source: &SourceRecipe| (0..source.rows).map(|i| source.record(i)).collect();
        let mut streams: Vec<Vec<Record>> = self.sources.iter().map(records).collect();
        for step in &self.steps {
            streams.push(evaluate(step, &streams));
        }
        let mut expected = BTreeMap::new();
        for (sink, end) in self.ends().into_iter().enumerate() {
            for record in &streams[end] {
                *expected.entry((sink, *record)).or_default() += 1;
            }
        }
        expected
    }
}

fn draw_step(random: &mut Rng, timed: &[bool], is_stateless: bool) -> Step {
    let input = random.usize(0..timed.len());
    let kinds = if is_stateless { 4 } else { 7 };
    match random.u8(0..kinds) {
        0 => Step::Map {
            input,
            salt: random.u64(..),
            keys: random.u64(1..20),
        },
        1 => Step::Filter {
            input,
            salt: random.u64(..),
        },
        2 => Step::Repeat {
            input,
            times: random.u64(0..3),
        },
        3 => Step::Union {
            inputs: [input, random.usize(0..timed.len())],
        },
        4 if timed[input] => Step::Windows {
            input,
            length: random.i64(1..200),
        },
        5 => Step::Delay { input },
        _ => Step::Count { input },
    }
}

fn mapped((key, time, value): Record, salt: u64, keys: u64) -> Record {
    let number = mix(key ^ value.rotate_left(17), salt);
    (number % keys, time, number >> 44)
}

fn passes((key, _, value): &Record, salt: u64) -> bool {
    !mix(key ^ value.rotate_left(9), salt).is_multiple_of(3)
}

fn repeated((key, time, value): Record, times: u64) -> Vec<Record> {
    (0..times)
        .map(|copy| (key, time, mix(value, copy) >> 40))
        .collect()
}

fn evaluate(step: &Step, streams: &[Vec<Record>]) -> Vec<Record> {
    match *step {
        Step::Map { input, salt, keys } => streams[input]
            .iter()
            .map(|record| mapped(*record, salt, keys))
            .collect(),
        Step::Filter { input, salt } => streams[input]
            .iter()
            .filter(|record| passes(record, salt))
            .copied()
            .collect(),
        Step::Repeat { input, times } => streams[input]
            .iter()
            .flat_map(|record| repeated(*record, times))
            .collect(),
        Step::Union { inputs } => inputs
            .iter()
            .flat_map(|input| streams[*input].iter().copied())
            .collect(),
        Step::Count { input } => {
            let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
            let number = |(key, ..): &Record| {
                let count = counts.entry(*key).or_default();
                *count += 1;
                (*key, 0, *count)
            };
            streams[input].iter().map(number).collect()
        }
        Step::Windows { input, length } => {
            let mut sums: BTreeMap<(u64, i64), u64> = BTreeMap::new();
            for (key, time, value) in &streams[input] {
                let sum = sums.entry((*key, window_end(*time, length))).or_default();
                *sum = sum.wrapping_add(*value);
            }
            let emitted = sums.into_iter();
            emitted
                .map(|((key, end), sum)| (key, end - 1, sum))
                .collect()
        }
        Step::Delay { input } => streams[input].clone(),
    }
}
