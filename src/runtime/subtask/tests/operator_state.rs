//! The same with operator state, and with a broadcast edge beside a forward edge.

use super::{MAX_PARALLELISM, OperatorPart, ROWS, SealedSubtask, Sum, check, check_modes, record};
use crate::connectors::{GeneratorSource, MemoryOutput, MemorySink, MemorySource};
use crate::error::Result;
use crate::graph::{JobGraph, StreamBuilder};
use crate::model::{Batch, OperatorId, SubtaskId};
use crate::operator::{FinishStatus, Operator, OperatorContext, Output};
use crate::state::{BroadcastState, OperatorListState, RestoredSections, SealedOperatorState};

/// Rules have keys from this one on, which no record has.
const RULE: u64 = 1_000;

/// The rules, as they come.
const RULES: [Sum; 3] = [(RULE, 1), (RULE + 1, 2), (RULE, 3)];

/// What is known when all of them have come: the later one of a key has replaced the earlier.
const KNOWN: [Sum; 2] = [(RULE, 3), (RULE + 1, 2)];

#[test]
fn every_order_of_steps_and_every_crash_keeps_operator_state() {
    let mut expected: Vec<Sum> = (0..ROWS).map(record).collect();
    expected.sort_unstable();
    check(60, graph, &expected);
}

/// Barriers overtake the numbers, and not the rules.
#[test]
fn barriers_overtake_on_some_inputs_and_keep_their_place_on_others() {
    let mut expected: Vec<Sum> = (0..ROWS).map(record).collect();
    expected.sort_unstable();
    let in_flight = check_modes(60, keyed_graph, &expected);
    assert!(in_flight > 1_000, "only {in_flight} rows were replayed");
}

fn keyed_graph(parallelism: usize, output: &MemoryOutput<Sum>) -> JobGraph {
    let job = StreamBuilder::new("job")
        .parallelism(parallelism)
        .max_parallelism(MAX_PARALLELISM);
    let output = output.clone();
    let rules = job.source::<Sum, _>("rules", || MemorySource::of_rows(RULES, 1));
    job.source::<Sum, _>("numbers", || {
        let source = GeneratorSource::from_fn(Some(ROWS), 8, |_, index| record(index))?;
        Ok(source.with_batch_rows(16))
    })
    .union(rules.broadcast())
    .key_by(|(key, _): &Sum| *key)
    .unaligned()
    .operator::<Sum, _>("delay", || Ok(Delay::default()))
    .sink("out", move || Ok(MemorySink::of_rows(&output)));
    job.build().unwrap()
}

fn graph(parallelism: usize, output: &MemoryOutput<Sum>) -> JobGraph {
    let job = StreamBuilder::new("job")
        .parallelism(parallelism)
        .max_parallelism(MAX_PARALLELISM);
    let output = output.clone();
    let rules = job.source::<Sum, _>("rules", || MemorySource::of_rows(RULES, 1));
    job.source::<Sum, _>("numbers", || {
        let source = GeneratorSource::from_fn(Some(ROWS), 8, |_, index| record(index))?;
        Ok(source.with_batch_rows(16))
    })
    .union(rules.broadcast())
    .operator::<Sum, _>("delay", || Ok(Delay::default()))
    .sink("out", move || Ok(MemorySink::of_rows(&output)));
    job.build().unwrap()
}

/// Keeps the records of a batch in list state until the next one comes, and rules in broadcast state. In the end it
/// emits what it knows of rules, if that is not all.
#[derive(Default)]
struct Delay {
    waiting: Option<OperatorListState<Sum>>,
    rules: Option<BroadcastState<u64, u64>>,
}

impl Operator for Delay {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.waiting = Some(context.operator_state.list_state("waiting")?);
        self.rules = Some(context.operator_state.broadcast_state("rules")?);
        Ok(())
    }

    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        let (waiting, rules) = (self.waiting.as_ref().unwrap(), self.rules.as_ref().unwrap());
        let rows = batch.into_rows::<Sum>()?;
        let (rule_rows, records): (Vec<Sum>, Vec<Sum>) =
            rows.into_iter().partition(|(key, _)| *key >= RULE);
        for (key, value) in rule_rows {
            rules.put(key, value)?;
        }
        if !records.is_empty() {
            output.emit(Batch::from_rows(waiting.get().to_vec()));
            waiting.update(records)?;
        }
        Ok(())
    }

    fn finish(&mut self, output: &mut Output) -> Result<FinishStatus> {
        let waiting = self.waiting.as_ref().unwrap();
        output.emit(Batch::from_rows(waiting.get().to_vec()));
        waiting.clear()?;
        let rules = self.rules.as_ref().unwrap().entries();
        let known: Vec<Sum> = rules.iter().map(|(key, value)| (*key, *value)).collect();
        if known != KNOWN {
            output.emit(Batch::from_rows(known));
            output.emit(Batch::from_rows(vec![(u64::MAX, 0)]));
        }
        Ok(FinishStatus::Done)
    }
}

/// The operator state of an operator as its subtasks had sealed it last; all have registered the same states.
pub(super) fn restored(
    subtasks: &[(&SubtaskId, &Vec<SealedSubtask>)],
    operator: &OperatorId,
) -> Vec<RestoredSections> {
    let last_part = |sealed: &Vec<SealedSubtask>| -> Vec<_> {
        let operators = &sealed.last().unwrap().operators;
        let is_own = |part: &&OperatorPart| part.operator == *operator;
        operators
            .iter()
            .find(is_own)
            .unwrap()
            .operator_state
            .clone()
    };
    let parts: Vec<_> = subtasks
        .iter()
        .map(|(_, sealed)| last_part(sealed))
        .collect();
    let states = parts[0].iter().enumerate();
    let sections = |place: usize| {
        let section = |part: &Vec<SealedOperatorState>| part[place].section.clone();
        parts.iter().map(|part| Some(section(part))).collect()
    };
    states
        .map(|(place, state)| RestoredSections {
            name: state.name.clone(),
            descriptor: state.descriptor.clone(),
            sections: sections(place),
        })
        .collect()
}
