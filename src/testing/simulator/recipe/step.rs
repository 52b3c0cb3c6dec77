//! The steps of a random job between its sources and its sinks.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

use super::super::operators::{Delay, Gather, Lease, ListKind, Record, Windows, mix, window_end};
use super::super::witness::ProcessView;
use crate::graph::{KeyedStream, Stream};
use crate::model::OperatorId;

/// Makes one stream of one or two others, which are named by their places: the sources come first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
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
        /// Whether barriers can overtake what is in flight to it.
        overtaken: bool,
    },
    /// By key: sums in windows.
    Windows {
        input: usize,
        overtaken: bool,
        length: i64,
    },
    /// By key: holds records for a time by the clock.
    Lease {
        input: usize,
        overtaken: bool,
        millis: i64,
    },
    Delay {
        input: usize,
        kind: ListKind,
    },
    /// Tells every subtask all records.
    Gather {
        input: usize,
    },
}

impl Step {
    /// Draws a step that reads some of the streams of which `timed` says whether their records come in time. A stateless
    /// one has no other effect when a record comes twice.
    pub(super) fn draw(random: &mut Rng, timed: &[bool], is_stateless: bool) -> Self {
        let input = random.usize(0..timed.len());
        let kinds = if is_stateless { 4 } else { 11 };
        let overtaken = |random: &mut Rng| random.u8(0..4) > 0;
        match random.u8(0..kinds) {
            0 => Self::Map {
                input,
                salt: random.u64(..),
                keys: random.u64(1..20),
            },
            1 => Self::Filter {
                input,
                salt: random.u64(..),
            },
            2 => Self::Repeat {
                input,
                times: random.u64(0..3),
            },
            3 => Self::Union {
                inputs: [input, random.usize(0..timed.len())],
            },
            4 | 5 if timed[input] => Self::Windows {
                input,
                overtaken: overtaken(random),
                length: random.i64(1..200),
            },
            6 => Self::Delay {
                input,
                kind: [ListKind::List, ListKind::Union][random.usize(0..2)],
            },
            7 => Self::Gather { input },
            8 => Self::Lease {
                input,
                overtaken: overtaken(random),
                millis: random.i64(1..60),
            },
            _ => Self::Count {
                input,
                overtaken: overtaken(random),
            },
        }
    }

    /// The streams that it reads.
    pub(super) fn inputs(&self) -> Vec<usize> {
        match *self {
            Self::Union { inputs } => inputs.to_vec(),
            Self::Map { input, .. }
            | Self::Filter { input, .. }
            | Self::Repeat { input, .. }
            | Self::Count { input, .. }
            | Self::Windows { input, .. }
            | Self::Lease { input, .. }
            | Self::Delay { input, .. }
            | Self::Gather { input } => vec![input],
        }
    }

    /// Whether what it emits comes in time when what it reads does, so that windows can be made of it.
    pub(super) fn keeps_time(&self) -> bool {
        !matches!(
            self,
            Self::Count { .. } | Self::Delay { .. } | Self::Lease { .. }
        )
    }

    /// Adds the step to a graph.
    pub(super) fn add(
        self,
        id: OperatorId,
        streams: &[Stream<Record>],
        view: &Arc<ProcessView>,
    ) -> Stream<Record> {
        let view = Arc::clone(view);
        match self {
            Self::Map { input, salt, keys } => {
                streams[input].map(id, move |record| mapped(record, salt, keys))
            }
            Self::Filter { input, salt } => {
                streams[input].filter(id, move |record| passes(record, salt))
            }
            Self::Repeat { input, times } => {
                streams[input].flat_map(id, move |record| repeated(record, times))
            }
            Self::Union {
                inputs: [first, second],
            } => streams[first].clone().union(streams[second].clone()),
            Self::Count { input, overtaken } => keyed(&streams[input], overtaken).reduce(
                id,
                |_| 0_u64,
                |(key, ..), mut count| {
                    *count = (count.to_native() + 1).into();
                    (*key, 0, count.to_native())
                },
            ),
            Self::Windows {
                input,
                overtaken,
                length,
            } => keyed(&streams[input], overtaken).process(id, move || Ok(Windows::of(length))),
            Self::Lease {
                input,
                overtaken,
                millis,
            } => keyed(&streams[input], overtaken)
                .process(id, move || Ok(Lease::of(millis, view.testimony()))),
            Self::Delay { input, kind } => {
                streams[input].operator(id, move || Ok(Delay::new(kind, view.testimony())))
            }
            Self::Gather { input } => {
                let told = streams[input].clone().broadcast();
                told.operator(id, move || Ok(Gather::new(view.testimony())))
            }
        }
    }

    /// What it makes of these streams, in whatever order.
    pub(super) fn evaluate(&self, streams: &[Vec<Record>]) -> Vec<Record> {
        match *self {
            Self::Map { input, salt, keys } => streams[input]
                .iter()
                .map(|record| mapped(*record, salt, keys))
                .collect(),
            Self::Filter { input, salt } => streams[input]
                .iter()
                .filter(|record| passes(record, salt))
                .copied()
                .collect(),
            Self::Repeat { input, times } => streams[input]
                .iter()
                .flat_map(|record| repeated(*record, times))
                .collect(),
            Self::Union { inputs } => inputs
                .iter()
                .flat_map(|input| streams[*input].iter().copied())
                .collect(),
            Self::Count { input, .. } => {
                let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
                let number = |(key, ..): &Record| {
                    let count = counts.entry(*key).or_default();
                    *count += 1;
                    (*key, 0, *count)
                };
                streams[input].iter().map(number).collect()
            }
            Self::Windows { input, length, .. } => {
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
            Self::Lease { input, .. } | Self::Delay { input, .. } | Self::Gather { input } => {
                streams[input].clone()
            }
        }
    }
}

type Keyed = KeyedStream<Record, u64, fn(&Record) -> u64>;

fn keyed(stream: &Stream<Record>, overtaken: bool) -> Keyed {
    let keyed = stream
        .clone()
        .key_by((|(key, ..)| *key) as fn(&Record) -> u64);
    match overtaken {
        true => keyed.unaligned(),
        false => keyed,
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
