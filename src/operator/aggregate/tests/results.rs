//! What the aggregate operator computes and when it emits it.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use serde_json::json;

use super::harness::{config, finals, join, operator, restored, snapshot, updates};
use super::naive::{self, Row, Value};
use crate::error::ErrorKind;
use crate::model::Batch;
use crate::operator::aggregate::{AggregateConfig, AggregateOperator};
use crate::operator::test_support::{finish, open, process, random_batch, random_schema};

/// Every function over every type that it takes: the function, and the column of `random_batch`.
const ALL: [(&str, &str); 27] = [
    ("rows", "b"),
    ("rows", "*"),
    ("count", "b"),
    ("count", "s"),
    ("sum", "i"),
    ("sum", "f"),
    ("avg", "i"),
    ("avg", "f"),
    ("min", "i"),
    ("min", "f"),
    ("min", "s"),
    ("min", "t"),
    ("max", "i"),
    ("max", "f"),
    ("max", "s"),
    ("max", "t"),
    ("first", "b"),
    ("first", "i"),
    ("first", "f"),
    ("first", "s"),
    ("first", "t"),
    ("last", "b"),
    ("last", "i"),
    ("last", "f"),
    ("last", "s"),
    ("last", "t"),
    ("count", "t"),
];

const COLUMNS: [&str; 5] = ["b", "i", "f", "s", "t"];

/// Settings with these aggregates by these keys.
fn settings(
    keys: &[&str],
    map_key: Option<&str>,
    aggregates: &[(&str, &str)],
    emit: &str,
) -> AggregateConfig {
    let call = |(function, column): &(&str, &str)| match *function {
        "rows" if *column == "*" => "count(*)".to_owned(),
        "rows" => "count()".to_owned(),
        function => format!("{function}({column})"),
    };
    AggregateConfig {
        aggregates: aggregates
            .iter()
            .enumerate()
            .map(|(index, aggregate)| (format!("a{index}"), call(aggregate)))
            .collect(),
        ..config(&format!(
            "key = {keys:?}\nemit = '{emit}'\n{}\n[aggregates]\n",
            map_key
                .map(|name| format!("map_key = '{name}'"))
                .unwrap_or_default()
        ))
    }
}

/// Where a column stands; `*` stands for no column, so that any place will do.
fn position(name: &str) -> usize {
    let name = if name == "*" { "b" } else { name };
    COLUMNS.iter().position(|column| *column == name).unwrap()
}

/// What has to come out for each row: its keys, then the aggregates over the rows of the same keys up to it.
fn expected_updates(input: &RecordBatch, keys: &[&str], aggregates: &[(&str, &str)]) -> Vec<Row> {
    let rows = naive::rows(input);
    let key = |row: &Row| -> Row {
        keys.iter()
            .map(|name| row[position(name)].clone())
            .collect()
    };
    let expected = |(index, row): (usize, &Row)| {
        let same: Vec<&Row> = rows[..=index]
            .iter()
            .filter(|other| key(other) == key(row))
            .collect();
        let values = aggregates
            .iter()
            .map(|(function, column)| naive::aggregate(function, &same, position(column)));
        key(row).into_iter().chain(values).collect()
    };
    rows.iter().enumerate().map(expected).collect()
}

/// The last of the rows of each key, in the order of their texts.
fn last_of_each_key(rows: &[Row], keys: usize) -> Vec<String> {
    let is_last = |index: usize| {
        !rows[index + 1..]
            .iter()
            .any(|later| later[..keys] == rows[index][..keys])
    };
    let last = rows.iter().enumerate().filter(|(index, _)| is_last(*index));
    sorted(last.map(|(_, row)| row))
}

fn sorted<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<String> {
    let mut texts: Vec<String> = rows.map(|row| format!("{row:?}")).collect();
    texts.sort();
    texts
}

/// Where batches end that cut `rows` rows at random.
fn random_ends(random: &mut fastrand::Rng, rows: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = (0..random.usize(..8))
        .map(|_| random.usize(..=rows))
        .collect();
    ends.push(rows);
    ends.sort();
    ends
}

/// Compares both ways of emitting with the naive computation, for random input cut into batches in several ways.
fn check(seed: u64, keys: &[&str], map_key: Option<&str>, aggregates: &[(&str, &str)]) {
    let mut random = fastrand::Rng::with_seed(seed);
    let input = random_batch(&mut random, 120);
    let all_keys: Vec<&str> = keys.iter().copied().chain(map_key).collect();
    let expected = expected_updates(&input, &all_keys, aggregates);
    for _ in 0..3 {
        let ends = random_ends(&mut random, input.num_rows());
        let what = format!("seed {seed}, batches end at {ends:?}");

        let update = settings(keys, map_key, aggregates, "update");
        let mut running = operator(&update, &input);
        let found = naive::rows(&updates(&mut running, &input, &ends).unwrap());
        assert_eq!(found, expected, "{what}");
        assert_eq!(finals(&mut running).num_rows(), 0, "{what}");

        let mut last = operator(&settings(keys, map_key, aggregates, "final"), &input);
        assert_eq!(
            updates(&mut last, &input, &ends).unwrap().num_rows(),
            0,
            "{what}"
        );
        let found = naive::rows(&finals(&mut last));
        assert_eq!(
            sorted(found.iter()),
            last_of_each_key(&expected, all_keys.len()),
            "{what}"
        );
    }
}

#[test]
fn all_aggregates_equal_a_naive_computation() {
    for seed in 0..6 {
        check(seed, &["i"], None, &ALL);
        check(seed, &["s", "b"], None, &ALL);
    }
}

#[test]
fn aggregates_by_map_key_equal_a_naive_computation() {
    for seed in 10..16 {
        check(seed, &["t"], Some("s"), &ALL);
        check(seed, &["b", "f"], Some("i"), &ALL);
    }
}

#[test]
fn numbers_alone_and_texts_alone_equal_a_naive_computation() {
    for seed in 20..24 {
        check(
            seed,
            &["s"],
            None,
            &[("rows", "b"), ("sum", "i"), ("avg", "f")],
        );
        check(seed, &["b"], None, &[("max", "s"), ("first", "s")]);
        check(seed, &["b"], Some("t"), &[("last", "s")]);
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[test]
fn nan_is_greater_than_every_number_and_the_zeros_are_one_key() {
    let input = batch(vec![
        (
            "k",
            Arc::new(Float64Array::from(vec![0.0, -0.0, 0.0, -0.0])),
        ),
        (
            "x",
            Arc::new(Float64Array::from(vec![
                f64::NAN,
                1.0,
                f64::INFINITY,
                -f64::NAN,
            ])),
        ),
    ]);
    let config = config("key = ['k']\n[aggregates]\nleast = 'min(x)'\nmost = 'max(x)'");
    let found = updates(&mut operator(&config, &input), &input, &[4]).unwrap();
    let expected = batch(vec![
        ("k", input.column(0).clone()),
        (
            "least",
            Arc::new(Float64Array::from(vec![f64::NAN, 1.0, 1.0, 1.0])),
        ),
        ("most", Arc::new(Float64Array::from(vec![f64::NAN; 4]))),
    ]);
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn a_sum_that_overflows_fails_and_names_operator_and_aggregate() {
    let input = batch(vec![
        ("k", Arc::new(Int64Array::from(vec![1, 1]))),
        ("x", Arc::new(Int64Array::from(vec![i64::MAX, 1]))),
    ]);
    for function in ["sum", "avg"] {
        let config = config(&format!(
            "key = ['k']\n[aggregates]\ntotal = '{function}(x)'"
        ));
        let error = updates(&mut operator(&config, &input), &input, &[2]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert_eq!(
            error.to_string(),
            "aggregates.total: the sum does not fit into int64"
        );
    }
}

#[test]
fn many_keys_are_emitted_in_portions() {
    let rows = 10_000;
    let keys: Vec<String> = (0..rows).map(|key| format!("key {key:05}")).collect();
    let input = batch(vec![
        ("k", Arc::new(StringArray::from(keys.clone()))),
        ("x", Arc::new(Int64Array::from_iter_values(0..rows))),
    ]);
    let config =
        config("key = ['k']\nemit = 'final'\n[aggregates]\nx = 'sum(x)'\nname = 'last(k)'");
    let mut operator = operator(&config, &input);
    updates(&mut operator, &input, &[3_000, 10_000]).unwrap();
    let calls = finish(&mut operator).unwrap();
    assert!(calls.len() >= 2, "{} calls", calls.len());
    for batch in calls.iter().flatten() {
        assert!(batch.len() <= 8192, "{} rows", batch.len());
    }
    let found = naive::rows(&join(&operator, calls.into_iter().flatten().collect()));
    let row = |key: &String| {
        let text = Some(Value::Text(key.clone()));
        let number = key["key ".len()..].parse().unwrap();
        vec![text.clone(), Some(Value::Int64(number)), text]
    };
    let expected: Vec<Row> = keys.iter().map(row).collect();
    assert_eq!(sorted(found.iter()), sorted(expected.iter()));
}

/// A crash between the last checkpoint and the end of the process must not emit the results twice.
#[test]
fn final_results_that_a_checkpoint_covers_are_not_emitted_again() {
    let input = random_batch(&mut fastrand::Rng::with_seed(1), 20);
    let config = config("key = ['s']\nemit = 'final'\n[aggregates]\nrows = 'count()'");
    let mut first = operator(&config, &input);
    updates(&mut first, &input, &[20]).unwrap();
    assert_eq!(snapshot(&mut first)["emitted"], false);
    let keys = finals(&mut first).num_rows();
    assert_eq!(snapshot(&mut first)["emitted"], true);
    assert_eq!(finals(&mut first).num_rows(), 0);

    let restored = restored(vec![snapshot(&mut first), snapshot(&mut first)]);
    let mut second = AggregateOperator::new(&config, &random_schema()).unwrap();
    open(&mut second, Some(&restored)).unwrap();
    assert_eq!(snapshot(&mut second)["emitted"], true);

    process(&mut first, Batch::Columns(input.slice(0, 1))).unwrap();
    assert_eq!(
        finals(&mut first).num_rows(),
        keys,
        "all, because a row has arrived"
    );
}

#[test]
fn final_results_that_only_some_subtasks_had_emitted_are_emitted() {
    let config = config("key = ['s']\nemit = 'final'\n[aggregates]\nrows = 'count()'");
    let mut operator = AggregateOperator::new(&config, &random_schema()).unwrap();
    let mut item = snapshot(&mut operator);
    let unfinished = item.clone();
    item["emitted"] = json!(true);
    open(&mut operator, Some(&restored(vec![item, unfinished]))).unwrap();
    assert_eq!(snapshot(&mut operator)["emitted"], false);

    // An operator that was not in the job when the checkpoint was taken is given no items at all.
    let mut operator = AggregateOperator::new(&config, &random_schema()).unwrap();
    open(&mut operator, Some(&restored(Vec::new()))).unwrap();
    assert_eq!(snapshot(&mut operator)["emitted"], false);
}
