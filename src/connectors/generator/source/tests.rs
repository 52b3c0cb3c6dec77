use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};

use super::*;
use crate::connectors::generator::GeneratorConfig;
use crate::connectors::test_support::{Subtask, poll_to_end, state_of};
use crate::model::ManualClock;
use crate::operator::Emission;

fn config(text: &str) -> GeneratorConfig {
    toml::from_str(text).unwrap()
}

/// What all subtasks emit, subtask after subtask.
fn run(config: &GeneratorConfig, parallelism: usize) -> Vec<RecordBatch> {
    let mut all = Vec::new();
    for subtask in 0..parallelism {
        let mut source = config.source().unwrap();
        Subtask::of(subtask, parallelism)
            .open_source(&mut source)
            .unwrap();
        all.extend(poll_to_end(&mut source, 100));
    }
    let columns = all.into_iter().map(|batch| batch.into_columns().unwrap());
    columns.collect()
}

/// For each key the values in the order in which they come.
fn values_by_key(batches: &[RecordBatch]) -> BTreeMap<i64, Vec<(i64, i64)>> {
    let mut by_key: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for batch in batches {
        let keys = batch.column(0).as_primitive::<Int64Type>().values();
        let values = batch.column(1).as_primitive::<Int64Type>().values();
        let times = batch.column(2).as_primitive::<TimestampMillisecondType>();
        for row in 0..batch.num_rows() {
            let entry = (values[row], times.value(row));
            by_key.entry(keys[row]).or_default().push(entry);
        }
    }
    by_key
}

#[test]
fn every_key_has_the_same_records_in_the_same_order_at_any_parallelism() {
    for text in [
        "schema = 'key-value'\nrows = 5000\nkeys = 30\nseed = 4",
        "schema = 'key-value'\nrows = 777\nkeys = 3",
        "schema = 'key-value'\nrows = 5\nkeys = 100\nsplits = 1",
    ] {
        let config = config(text);
        let expected = values_by_key(&run(&config, 1));
        let rows: usize = expected.values().map(Vec::len).sum();
        assert_eq!(rows as u64, config.rows.unwrap(), "{text}");
        for parallelism in [2, 3, 9] {
            let found = values_by_key(&run(&config, parallelism));
            assert_eq!(found, expected, "{text} at parallelism {parallelism}");
        }
    }
}

#[test]
fn keys_are_even_and_all_used() {
    let config = config("schema = 'key-value'\nrows = 40000\nkeys = 20\nsplits = 4");
    let by_key = values_by_key(&run(&config, 2));
    assert!(by_key.keys().copied().eq(0..20), "{:?}", by_key.keys());
    for (key, values) in by_key {
        assert!(
            (1700..2300).contains(&values.len()),
            "{key}: {}",
            values.len()
        );
        assert!(values.iter().all(|(value, _)| (0..100).contains(value)));
    }
}

#[test]
fn another_seed_makes_other_records() {
    let first = run(&config("schema = 'key-value'\nrows = 100\nseed = 1"), 1);
    let second = run(&config("schema = 'key-value'\nrows = 100\nseed = 2"), 1);
    assert_ne!(values_by_key(&first), values_by_key(&second));
}

#[test]
fn the_delta_of_a_signal_is_the_difference_to_its_value_before() {
    for markets in [1, 3, 20] {
        let text = format!("schema = 'market-signals'\nrows = 4000\nmarkets = {markets}");
        let mut values: BTreeMap<(String, String), f64> = BTreeMap::new();
        for batch in run(&config(&text), 2) {
            for row in 0..batch.num_rows() {
                let text = |column: usize| {
                    batch
                        .column(column)
                        .as_string::<i32>()
                        .value(row)
                        .to_owned()
                };
                let number = |column: usize| {
                    batch
                        .column(column)
                        .as_primitive::<Float64Type>()
                        .value(row)
                };
                let before = values.insert((text(0), text(1)), number(2));
                let expected = before.map_or(0.0, |before| number(2) - before);
                assert!((number(3) - expected).abs() < 1e-9, "{}: {row}", text(0));
            }
        }
        assert_eq!(values.len(), markets * 8, "{markets} markets");
        assert!(values.keys().any(|(market, _)| market == "market-000"));
    }
}

#[test]
fn a_source_goes_on_where_it_was_at_another_parallelism() {
    let config = config("schema = 'key-value'\nrows = 3000\nkeys = 12");
    let expected = values_by_key(&run(&config, 1));
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut emitted = Vec::new();
        let mut restored = None;
        for parallelism in [2, 1, 3, 5] {
            let mut snapshots = Vec::new();
            for subtask in 0..parallelism {
                let mut source = config.source().unwrap();
                let subtask = Subtask::of(subtask, parallelism).restored(restored.clone());
                subtask.open_source(&mut source).unwrap();
                let mut output = Output::default();
                for _ in 0..random.usize(0..4) {
                    source.poll(random.usize(1..200), &mut output).unwrap();
                }
                snapshots.push(source.snapshot(CheckpointId(1)).unwrap());
                let batches = crate::connectors::test_support::batches(&mut output);
                emitted.extend(
                    batches
                        .into_iter()
                        .map(|batch| batch.into_columns().unwrap()),
                );
            }
            restored = Some(state_of(&snapshots));
        }
        let mut source = config.source().unwrap();
        let last = Subtask::of(0, 1).restored(restored);
        last.open_source(&mut source).unwrap();
        let rest = poll_to_end(&mut source, 1000).into_iter();
        emitted.extend(rest.map(|batch| batch.into_columns().unwrap()));
        assert_eq!(values_by_key(&emitted), expected, "seed {seed}");
    }
}

#[test]
fn no_record_is_earlier_than_the_watermark_before_it() {
    let config = config(
        "schema = 'key-value'\nrows = 2000\nsplits = 5\nstart = '2024-01-01T00:00:00Z'\nstep = '250us'",
    );
    let mut source = config.source().unwrap();
    Subtask::of(1, 2).open_source(&mut source).unwrap();
    let mut output = Output::default();
    let mut watermark = EventTime::MIN;
    let mut watermarks = 0;
    while source.poll(64, &mut output).unwrap() != SourceStatus::Finished {
        for emission in output.take() {
            match emission {
                Emission::Watermark(next) => {
                    assert!(next >= watermark);
                    watermark = next;
                    watermarks += 1;
                }
                Emission::Batch(batch) => {
                    let batch = batch.into_columns().unwrap();
                    let times = batch.column(2).as_primitive::<TimestampMillisecondType>();
                    assert!(times.values().iter().all(|&time| time >= watermark.0));
                }
            }
        }
    }
    let start = 1_704_067_200_000;
    assert!(watermarks > 5, "{watermarks}");
    assert!((start..start + 500).contains(&watermark.0), "{watermark}");
}

#[test]
fn the_rate_is_shared_by_all_subtasks() {
    let config = config("schema = 'key-value'\nrate = 8000");
    let clock = Arc::new(ManualClock::default());
    let mut rows = 0;
    for subtask in 0..3 {
        let mut source = config.source().unwrap();
        let opened = Subtask::of(subtask, 3).with_clock(&clock);
        opened.open_source(&mut source).unwrap();
        let mut output = Output::default();
        let mut waited = Duration::ZERO;
        while waited < Duration::from_secs(1) {
            if let SourceStatus::Wait(wait) = source.poll(1024, &mut output).unwrap() {
                clock.advance(wait);
                waited += wait;
            }
        }
        rows += output
            .take()
            .map(|emission| match emission {
                Emission::Batch(batch) => batch.len(),
                Emission::Watermark(_) => 0,
            })
            .sum::<usize>();
    }
    assert!((7900..=8000).contains(&rows), "{rows}");
}

#[test]
fn a_closure_makes_typed_rows_from_split_and_index() {
    let mut source = GeneratorSource::from_fn(Some(10), 3, |split, index| (split, index)).unwrap();
    Subtask::of(1, 2).open_source(&mut source).unwrap();
    let rows: Vec<(u32, u64)> = poll_to_end(&mut source, 100)
        .into_iter()
        .flat_map(|batch| batch.into_rows::<(u32, u64)>().unwrap())
        .collect();
    assert_eq!(rows, [(1, 1), (1, 4), (1, 7)]);
}

#[test]
fn a_subtask_without_a_split_has_finished_at_once() {
    let mut source = GeneratorSource::from_fn(None, 2, |_, index| index).unwrap();
    Subtask::of(2, 3).open_source(&mut source).unwrap();
    let mut output = Output::default();
    assert_eq!(
        source.poll(10, &mut output).unwrap(),
        SourceStatus::Finished
    );
    assert!(output.is_empty());
}
