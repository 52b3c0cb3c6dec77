//! A small job, stepped without actors in an order that a seed decides, crashed and restored.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{Progress, Subtask, SubtaskEvent};
use crate::channel::{Barrier, LinkLimits};
use crate::config::CheckpointMode;
use crate::connectors::{GeneratorSource, MemoryOutput, MemorySink};
use crate::graph::{ExchangeTargets, JobGraph, PhysicalPlan, StreamBuilder};
use crate::model::{CheckpointId, KeyGroupRange, ManualClock, OperatorId, SharedClock, SubtaskId};
use crate::operator::JobContext;
use crate::runtime::past::Past;
use crate::runtime::seed::{OperatorSeed, SubtaskParts};
use crate::runtime::setting::Setting;
use crate::runtime::slot::OperatorPart;
use crate::runtime::subtask_event::SealedSubtask;
use crate::runtime::wiring::lay_links;
use crate::snapshot::RestorePlan;
use crate::state::{Epoch, RestoredPart, RestoredState, SealedBytes, SealedState};
use crate::telemetry::JobStatus;

mod operator_state;
mod overtaking;
mod timers;

const ROWS: u64 = 3000;
const KEYS: u64 = 40;
const MAX_PARALLELISM: u16 = 128;

/// The key, and the sum of its values so far.
type Sum = (u64, u64);

#[test]
fn every_order_of_steps_and_every_crash_gives_each_record_its_effect_once() {
    check(60, graph, &reference());
}

type MakeGraph = fn(usize, &MemoryOutput<Sum>) -> JobGraph;

/// Runs a job for each seed, at some parallelism and with some crashes; its output must be what is expected, in any
/// order.
fn check(seeds: u64, graph: MakeGraph, expected: &[Sum]) {
    for seed in 0..seeds {
        check_seed(seed, graph, expected, None);
    }
}

/// The same with barriers that overtake, at once with half of the seeds and later with the others. Gives how many rows
/// that were in flight were restored.
fn check_modes(seeds: u64, graph: MakeGraph, expected: &[Sum]) -> u64 {
    let run = |seed: u64| {
        let after = Duration::from_millis((seed % 2) * (seed % 70));
        check_seed(seed, graph, expected, Some(after))
    };
    (0..seeds).map(run).sum()
}

fn check_seed(
    seed: u64,
    graph: MakeGraph,
    expected: &[Sum],
    overtaking_after: Option<Duration>,
) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let parallelism = random.usize(1..=3);
    let output = MemoryOutput::default();
    let graph = graph(parallelism, &output);
    let mut restored: Option<Checkpoint> = None;
    let mut crashes = random.usize(0..4);
    let mut in_flight = 0;
    loop {
        let last = restored.iter().flat_map(BTreeMap::values);
        let last = last.filter_map(|sealed| sealed.last());
        in_flight += last.map(overtaking::rows_in_flight).sum::<u64>();
        let mut run = Run::start(&graph, restored.take(), overtaking_after, &mut random);
        let steps_max = (crashes > 0).then(|| random.usize(0..400));
        let ended = run.play(&mut random, steps_max, seed);
        restored = run.last_completed.or(run.restored_from);
        if ended {
            break;
        }
        crashes -= 1;
    }
    let mut found = output.rows();
    found.sort_unstable();
    assert_eq!(
        found, expected,
        "seed {seed}, parallelism {parallelism}, overtaking after {overtaking_after:?}"
    );
    in_flight
}

#[test]
fn a_stopped_source_emits_nothing_after_its_barrier() {
    let output = MemoryOutput::default();
    let mut random = fastrand::Rng::with_seed(1);
    let mut run = Run::start(&graph(1, &output), None, None, &mut random);
    let source = &mut run.subtasks[0].0;
    source
        .trigger(Barrier::aligned(CheckpointId(1)), true)
        .unwrap();
    assert_eq!(source.step(10_000).unwrap(), Progress::Waiting);
    assert_eq!(source.take_figures().records_in, 0);
}

#[test]
fn a_source_that_had_finished_sends_no_barrier_when_it_is_restored() {
    let output = MemoryOutput::default();
    let graph = graph(1, &output);
    let mut random = fastrand::Rng::with_seed(2);
    let mut first = Run::start(&graph, None, None, &mut random);
    assert!(first.play(&mut random, None, 2));

    let mut second = Run::start(&graph, first.last_completed, None, &mut random);
    second.trigger();
    let (source, control) = &mut second.subtasks[0];
    let Some(Control::Trigger(barrier)) = control.pop_front() else {
        panic!("the trigger is on its way");
    };
    source.trigger(barrier, false).unwrap();
    assert_eq!(source.take_events().count(), 0);
    source.step(10_000).unwrap();
    let events: Vec<_> = source.take_events().collect();
    let [SubtaskEvent::Finished, SubtaskEvent::Snapshot(sealed)] = &events[..] else {
        panic!("first the end, then the snapshot");
    };
    assert!(sealed.finished);
}

fn record(index: u64) -> Sum {
    (index * 7 % KEYS, index % 10)
}

/// All running sums, sorted.
fn reference() -> Vec<Sum> {
    let mut sums = BTreeMap::new();
    let mut emitted = Vec::new();
    // Each key's records come in one split, in the order of their indexes.
    for (key, value) in (0..ROWS).map(record) {
        let sum: &mut u64 = sums.entry(key).or_default();
        *sum += value;
        emitted.push((key, *sum));
    }
    emitted.sort_unstable();
    emitted
}

/// Two kinds of edges: a key exchange, and a sum that is chained to its sink.
fn graph(parallelism: usize, output: &MemoryOutput<Sum>) -> JobGraph {
    let job = StreamBuilder::new("job")
        .parallelism(parallelism)
        .max_parallelism(MAX_PARALLELISM);
    let output = output.clone();
    job.source("numbers", || {
        // Keys have the remainders of the splits, so a split has keys of its own.
        let source = GeneratorSource::from_fn(Some(ROWS), 8, |_, index| record(index))?;
        Ok(source.with_batch_rows(16))
    })
    .key_by(|(key, _): &Sum| *key)
    .reduce(
        "sums",
        |_| 0_u64,
        |(key, value), mut sum| {
            *sum = (sum.to_native() + value).into();
            (*key, sum.to_native())
        },
    )
    .sink("out", move || Ok(MemorySink::of_rows(&output)));
    job.build().unwrap()
}

/// A message of the control lane.
#[derive(Clone, Copy)]
enum Control {
    Trigger(Barrier),
    Complete(CheckpointId),
    Abort(CheckpointId),
}

/// A complete checkpoint: what every subtask had sealed by then.
type Checkpoint = BTreeMap<SubtaskId, Vec<SealedSubtask>>;

/// One run of the job, from its start or a checkpoint to its end or a crash.
struct Run {
    /// Each with the messages that are on their way to it.
    subtasks: Vec<(Subtask, VecDeque<Control>)>,
    restored_from: Option<Checkpoint>,
    last_completed: Option<Checkpoint>,
    /// Everything that was sealed since the start, by subtask.
    sealed: Checkpoint,
    next_id: CheckpointId,
    /// The checkpoint in progress, and how many subtasks have sealed it.
    pending: Option<(CheckpointId, usize)>,
    finished: usize,
    /// Whether the last checkpoint was triggered after all had finished, so that it covers everything.
    is_final: bool,
    /// How long after its trigger a barrier overtakes.
    overtaking_after: Option<Duration>,
    clock: SharedClock,
    /// The same clock, if it goes on with each step.
    ticking: Option<Arc<ManualClock>>,
    _folder: TempDir,
}

impl Run {
    fn start(
        graph: &JobGraph,
        restored: Option<Checkpoint>,
        overtaking_after: Option<Duration>,
        random: &mut fastrand::Rng,
    ) -> Self {
        let limits = LinkLimits {
            rows_max: random.usize(1..100),
            elements_max: random.usize(1..10),
        };
        let clock = Arc::new(ManualClock::default());
        Self {
            ticking: Some(Arc::clone(&clock)),
            ..Self::start_with(graph, restored, limits, overtaking_after, clock)
        }
    }

    fn start_with(
        graph: &JobGraph,
        restored: Option<Checkpoint>,
        limits: LinkLimits,
        overtaking_after: Option<Duration>,
        clock: SharedClock,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = PhysicalPlan::of(graph);
        let setting = Setting {
            job: JobContext::alone("tested"),
            targets: ExchangeTargets {
                parallelism: graph.parallelism,
                max_parallelism: MAX_PARALLELISM,
            },
            mode: CheckpointMode::ExactlyOnce,
            unaligned: overtaking_after.is_some(),
            incremental: true,
            local_recovery: None,
            clock: Arc::clone(&clock),
            status: JobStatus::shared(),
        };
        let mut subtasks = Vec::new();
        for (chain, wiring) in plan.chains.iter().zip(lay_links(graph, &plan, limits)) {
            for (index, wiring) in wiring.into_iter().enumerate() {
                let id = SubtaskId::new(chain.id.clone(), index);
                let operators = chain.nodes.iter().map(|node| {
                    let node = &graph.nodes()[*node];
                    OperatorSeed {
                        id: node.id.clone(),
                        component: node.component.clone(),
                        restored: restored
                            .as_ref()
                            .map(|checkpoint| plan_of(checkpoint, &chain.id, &node.id, index)),
                    }
                });
                let last = restored
                    .as_ref()
                    .and_then(|checkpoint| checkpoint[&id].last());
                let parts = SubtaskParts {
                    past: match last.is_some_and(|sealed| sealed.finished) {
                        true => Past::Finished,
                        false => Past::AtWork,
                    },
                    operators: operators.collect(),
                    wiring,
                    directory: Some(folder.path().join(id.to_string())),
                    id,
                };
                let mut subtask = parts
                    .assemble(&setting, None)
                    .map_err(|(_, error)| error)
                    .unwrap();
                subtask.open().unwrap();
                subtasks.push((subtask, VecDeque::new()));
            }
        }
        let before = restored.iter().flat_map(BTreeMap::values).flatten();
        let last = before.map(|sealed| sealed.checkpoint).max();
        Self {
            subtasks,
            // The chains go on from what was restored.
            sealed: BTreeMap::new(),
            next_id: last.unwrap_or_default().next(),
            restored_from: restored,
            last_completed: None,
            pending: None,
            finished: 0,
            is_final: false,
            overtaking_after,
            clock,
            ticking: None,
            _folder: folder,
        }
    }

    /// Steps until the job has ended, or has crashed after `steps_max` steps. Gives whether it has ended.
    fn play(&mut self, random: &mut fastrand::Rng, steps_max: Option<usize>, seed: u64) -> bool {
        let mut steps = 0;
        loop {
            steps += 1;
            if let Some(clock) = &self.ticking {
                clock.advance(Duration::from_millis(1));
            }
            assert!(steps < 1_000_000, "seed {seed}: the job does not end");
            if steps_max.is_some_and(|steps_max| steps > steps_max) {
                return false;
            }
            let all_finished = self.finished == self.subtasks.len();
            if self.pending.is_none() && (all_finished || random.u8(0..50) == 0) {
                self.is_final = all_finished;
                self.trigger();
            } else if self.pending.is_some() && !all_finished && random.u8(0..200) == 0 {
                self.abort();
            }
            let index = random.usize(0..self.subtasks.len());
            let (subtask, control) = &mut self.subtasks[index];
            match control.pop_front() {
                Some(Control::Trigger(barrier)) => subtask.trigger(barrier, false).unwrap(),
                Some(Control::Complete(id)) => subtask.complete(id).unwrap(),
                Some(Control::Abort(id)) => subtask.abort(id).unwrap(),
                None => drop(subtask.step(random.usize(1..200)).unwrap()),
            }
            if self.take_events(index) && self.is_final {
                // The final checkpoint is complete: the rest is only to be told.
                for (subtask, control) in &mut self.subtasks {
                    for message in control.drain(..) {
                        if let Control::Complete(id) = message {
                            subtask.complete(id).unwrap();
                        }
                    }
                }
                return true;
            }
        }
    }

    fn trigger(&mut self) {
        let id = self.next_id;
        self.next_id = id.next();
        self.pending = Some((id, 0));
        let barrier = match self.overtaking_after {
            None => Barrier::aligned(id),
            Some(after) => Barrier::overtaking(id, self.clock.elapsed() + after),
        };
        self.tell_all(Control::Trigger(barrier));
    }

    fn abort(&mut self) {
        if let Some((id, _)) = self.pending.take() {
            self.tell_all(Control::Abort(id));
        }
    }

    fn tell_all(&mut self, message: Control) {
        for (_, control) in &mut self.subtasks {
            control.push_back(message);
        }
    }

    /// Takes note of what a subtask tells. Gives whether that has completed a checkpoint.
    fn take_events(&mut self, index: usize) -> bool {
        let subtask = &mut self.subtasks[index].0;
        let id = subtask.id().clone();
        let events: Vec<_> = subtask.take_events().collect();
        let mut completed = false;
        for event in events {
            match event {
                SubtaskEvent::Snapshot(sealed) => {
                    let checkpoint = sealed.checkpoint;
                    // What an aborted checkpoint has sealed is part of the next one.
                    self.sealed.entry(id.clone()).or_default().push(sealed);
                    if let Some((pending, count)) = &mut self.pending
                        && *pending == checkpoint
                    {
                        *count += 1;
                        if *count == self.subtasks.len() {
                            self.pending = None;
                            self.complete(checkpoint);
                            completed = true;
                        }
                    }
                }
                SubtaskEvent::Finished => self.finished += 1,
                SubtaskEvent::CheckpointWanted => {}
                SubtaskEvent::Commit(_, work) | SubtaskEvent::Recovery(work) => {
                    for work in work.into_iter().flat_map(|(_, work)| work) {
                        work().unwrap();
                    }
                }
                SubtaskEvent::Declined(..) => self.abort(),
            }
        }
        completed
    }

    fn complete(&mut self, checkpoint: CheckpointId) {
        let before = self.restored_from.as_ref();
        let parts = self.sealed.iter().map(|(id, sealed)| {
            let inherited = before
                .and_then(|before| before.get(id))
                .into_iter()
                .flatten();
            let sealed = sealed.iter().filter(|part| part.checkpoint <= checkpoint);
            (id.clone(), inherited.chain(sealed).map(copy).collect())
        });
        self.last_completed = Some(parts.collect());
        self.tell_all(Control::Complete(checkpoint));
    }
}

/// Sealed bytes are shared; the background work of a part belongs to its first life.
fn copy(sealed: &SealedSubtask) -> SealedSubtask {
    let operators = sealed.operators.iter().map(|part| OperatorPart {
        local: None,
        operator: part.operator.clone(),
        snapshot: crate::operator::OperatorSnapshot {
            items: part.snapshot.items.clone(),
            background: Vec::new(),
        },
        operator_state: part.operator_state.clone(),
        keyed: part.keyed.clone(),
    });
    SealedSubtask {
        operators: operators.collect(),
        in_flight: overtaking::copied(&sealed.in_flight),
        ..*sealed
    }
}

/// What an operator subtask is given back of a checkpoint.
fn plan_of(
    checkpoint: &Checkpoint,
    chain: &OperatorId,
    operator: &OperatorId,
    index: usize,
) -> RestorePlan {
    let subtasks = checkpoint.range(SubtaskId::new(chain.clone(), 0)..);
    let subtasks: Vec<_> = subtasks
        .take_while(|(id, _)| id.operator == *chain)
        .collect();
    let is_own = |part: &&OperatorPart| part.operator == *operator;
    let last_items = |sealed: &Vec<SealedSubtask>| {
        let last = sealed.last().unwrap();
        let part = last.operators.iter().find(is_own).unwrap();
        part.snapshot.items.clone()
    };
    let mut keyed: BTreeMap<&str, Vec<&SealedState>> = BTreeMap::new();
    let own = subtasks[index].1.iter();
    for sealed in own.flat_map(|sealed| sealed.operators.iter().filter(is_own)) {
        for state in &sealed.keyed {
            keyed.entry(&state.name).or_default().push(state);
        }
    }
    let in_flight = match chain == operator {
        true => overtaking::restored(subtasks[index].1.last().unwrap(), index),
        false => Vec::new(),
    };
    RestorePlan {
        in_flight,
        parallelism: subtasks.len(),
        local: None,
        items: subtasks
            .iter()
            .map(|(_, sealed)| last_items(sealed))
            .collect(),
        operator_state: operator_state::restored(&subtasks, operator),
        states: keyed
            .values()
            .map(|state| restored_state(state, index, subtasks.len()))
            .collect(),
        inherited: Vec::new(),
    }
}

/// Each process begins its epochs at 1: there a new part begins, which goes on from the one before.
fn restored_state(keyed: &[&SealedState], index: usize, parallelism: usize) -> RestoredState {
    let bytes = |sealed: &SealedBytes| bytes::Bytes::from(sealed.chunks.concat());
    let key_groups = KeyGroupRange::of_subtask(index, parallelism, MAX_PARALLELISM);
    let mut parts: Vec<RestoredPart> = Vec::new();
    let mut last_epoch = Epoch(u64::MAX);
    for sealed in keyed {
        if sealed.epoch <= last_epoch {
            parts.push(RestoredPart {
                key_groups,
                base: None,
                deltas: Vec::new(),
            });
        }
        last_epoch = sealed.epoch;
        if let Some(part) = parts.last_mut()
            && !sealed.delta.is_empty()
        {
            part.deltas.push(bytes(&sealed.delta));
        }
    }
    RestoredState {
        name: keyed[0].name.clone(),
        descriptor: keyed[0].descriptor.clone(),
        parts: parts.into(),
    }
}
