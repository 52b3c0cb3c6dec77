use std::collections::BTreeMap;

use super::*;
use crate::channel::{Element, LinkLimits};
use crate::connectors::{BlackholeSink, MemorySource, RowCount};
use crate::graph::{JobGraph, PhysicalPlan, Stream, StreamBuilder};
use crate::model::{Batch, EventTime};
use crate::runtime::wiring::lay_links;
use crate::snapshot::encode_section;

type Pair = (u64, u64);

const KEYS: u64 = 50;

/// A key, its value, and the subtask that has it.
fn graph(parallelism: usize, exchange: impl Fn(Stream<Pair>) -> Stream<Pair>) -> JobGraph {
    let job = StreamBuilder::new("job").parallelism(parallelism);
    let numbers = job.source::<Pair, _>("in", || MemorySource::of_rows(vec![(1_u64, 1_u64)], 1));
    exchange(numbers).sink("out", || Ok(BlackholeSink::new(RowCount::default())));
    job.build().unwrap()
}

fn by_key(numbers: Stream<Pair>) -> Stream<Pair> {
    let keyed = numbers.key_by(|(key, _): &Pair| *key).unaligned();
    keyed.reduce("sums", |_| 0_u64, |pair, _| *pair)
}

fn exchange(graph: &JobGraph) -> crate::graph::KeyExchange {
    match &graph.nodes()[1].inputs[0].partitioning {
        crate::graph::Partitioning::KeyExchange(exchange) => exchange.clone(),
        _ => panic!("an exchange by key"),
    }
}

fn targets(parallelism: usize) -> ExchangeTargets {
    ExchangeTargets {
        parallelism,
        max_parallelism: 128,
    }
}

/// What was in flight at some parallelism: from each subtask the rows of all keys, with the subtask as value, and a
/// watermark behind them.
fn in_flight(parallelism: usize) -> Vec<RestoredInFlight> {
    let graph = graph(parallelism, by_key);
    let exchange = exchange(&graph);
    let codec = exchange.codec.unwrap();
    let mut sections = Vec::new();
    for upstream in 0..parallelism {
        let rows: Vec<Pair> = (0..KEYS).map(|key| (key, upstream as u64)).collect();
        let mut partitioner = (exchange.partitioner)(targets(parallelism));
        let parts = partitioner.partition(Batch::from_rows(rows)).unwrap();
        for (reader, part) in parts.into_iter().enumerate() {
            let watermark = InFlight::Watermark(EventTime(upstream as i64));
            let elements = vec![InFlight::Batch(part.unwrap()), watermark];
            sections.push(RestoredInFlight {
                reader,
                input: "in".into(),
                edge: 0,
                upstream,
                schema: codec.schema(),
                section: encode_section(elements, &*codec).unwrap(),
            });
        }
    }
    sections
}

/// The links of each subtask of the second chain.
fn inputs(graph: &JobGraph) -> Vec<Vec<InputWiring>> {
    let limits = LinkLimits {
        rows_max: 10,
        elements_max: 10,
    };
    let wiring = lay_links(graph, &PhysicalPlan::of(graph), limits);
    let second = wiring.into_iter().nth(1).unwrap();
    second.into_iter().map(|wiring| wiring.inputs).collect()
}

#[test]
fn at_the_same_parallelism_each_link_begins_with_what_was_in_flight_on_it() {
    let graph = graph(3, by_key);
    for (index, mut inputs) in inputs(&graph).into_iter().enumerate() {
        let own = in_flight(3).into_iter().filter(|part| part.reader == index);
        replay(own.collect(), false, &mut inputs, index, targets(3)).unwrap();
        for (upstream, input) in inputs.iter_mut().enumerate() {
            let Some(Element::Batch(batch)) = input.receiver.try_recv().unwrap() else {
                panic!("first the records");
            };
            let rows = batch.into_rows::<Pair>().unwrap();
            assert!(!rows.is_empty());
            assert!(rows.iter().all(|(_, value)| *value == upstream as u64));
            assert!(matches!(
                input.receiver.try_recv(),
                Ok(Some(Element::Watermark(EventTime(time)))) if time == upstream as i64
            ));
        }
    }
}

#[test]
fn at_another_parallelism_each_record_comes_once_and_to_the_owner_of_its_key() {
    for (before, now) in [(3, 2), (1, 4), (4, 1), (2, 3)] {
        let graph = graph(now, by_key);
        let mut found = BTreeMap::<Pair, usize>::new();
        for (index, mut inputs) in inputs(&graph).into_iter().enumerate() {
            replay(in_flight(before), true, &mut inputs, index, targets(now)).unwrap();
            let mut own = Vec::new();
            for input in &mut inputs {
                // The senders are gone, and what is replayed is there all the same.
                while let Ok(Some(element)) = input.receiver.try_recv() {
                    let Element::Batch(batch) = element else {
                        panic!("{before} to {now}: only records are distributed anew");
                    };
                    own.extend(batch.into_rows::<Pair>().unwrap());
                }
            }
            for row in &own {
                *found.entry(*row).or_default() += 1;
            }
            let partitioned = (exchange(&graph).partitioner)(targets(now))
                .partition(Batch::from_rows(own))
                .unwrap();
            let elsewhere = partitioned
                .iter()
                .enumerate()
                .filter(|(part, rows)| *part != index && rows.is_some());
            assert_eq!(elsewhere.count(), 0, "{before} to {now}");
        }
        let rows = KEYS as usize * before;
        assert_eq!(found.len(), rows, "{before} to {now}");
        assert!(found.values().all(|times| *times == 1), "{before} to {now}");
    }
}

#[test]
fn records_in_flight_are_refused_by_an_exchange_that_is_not_theirs() {
    let check = |changed: JobGraph, expected: &str| {
        let mut inputs = inputs(&changed).remove(0);
        let own = in_flight(2).into_iter().filter(|part| part.reader == 0);
        let error = replay(own.collect(), false, &mut inputs, 0, targets(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{expected}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains("take a savepoint"), "{error}");
    };
    let by_value = graph(2, |numbers| {
        let keyed = numbers.key_by(|(key, _): &Pair| key / 7).unaligned();
        keyed.reduce("sums", |_| 0_u64, |pair, _| *pair)
    });
    check(by_value, "whose key is another one now");
    let aligned = graph(2, |numbers| {
        let keyed = numbers.key_by(|(key, _): &Pair| *key);
        keyed.reduce("sums", |_| 0_u64, |pair, _| *pair)
    });
    check(aligned, "which is no unaligned exchange any more");
    let other_rows = graph(2, |numbers| {
        let triples = numbers.map("triple", |(key, value): Pair| (key, value, key));
        let keyed = triples
            .key_by(|(key, ..): &(u64, u64, u64)| *key)
            .unaligned();
        keyed.reduce("sums", |_| 0_u64, |(key, value, _), _| (*key, *value))
    });
    check(other_rows, "which the operator no longer reads");
    let other_type = {
        let job = StreamBuilder::new("job").parallelism(2);
        let source = || MemorySource::of_rows(vec![(1_u64, "one".to_owned())], 1);
        job.source::<(u64, String), _>("in", source)
            .key_by(|(key, _): &(u64, String)| *key)
            .unaligned()
            .reduce("sums", |_| 0_u64, |(key, _), _| *key)
            .sink("out", || Ok(BlackholeSink::new(RowCount::default())));
        job.build().unwrap()
    };
    check(other_type, "whose records were");
}
