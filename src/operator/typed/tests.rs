use std::collections::BTreeMap;

use super::KeyedReduce;
use crate::error::ErrorKind;
use crate::model::Batch;
use crate::operator::Operator;
use crate::operator::test_support::{open, process};

/// The running sum of the second field for each first field.
fn running_sum() -> impl Operator {
    KeyedReduce::new(
        "sums",
        |row: &(u64, i64)| row.0,
        |_| 0_i64,
        |row, mut sum| {
            *sum = (sum.to_native() + row.1).into();
            (row.0, sum.to_native())
        },
    )
}

#[test]
fn a_keyed_reduce_gives_the_running_value_of_every_row_in_order() {
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut operator = running_sum();
        open(&mut operator, None).unwrap();
        let mut expected_sums = BTreeMap::<u64, i64>::new();
        for _ in 0..10 {
            let rows: Vec<(u64, i64)> = (0..random.usize(..50))
                .map(|_| (random.u64(..20), random.i64(-9..9)))
                .collect();
            let expected: Vec<(u64, i64)> = rows
                .iter()
                .map(|(key, value)| {
                    let sum = expected_sums.entry(*key).or_default();
                    *sum += value;
                    (*key, *sum)
                })
                .collect();
            let found: Vec<(u64, i64)> = process(&mut operator, Batch::from_rows(rows))
                .unwrap()
                .into_iter()
                .flat_map(|batch| batch.into_rows::<(u64, i64)>().unwrap())
                .collect();
            assert_eq!(found, expected, "seed {seed}");
        }
    }
}

#[test]
fn the_first_row_of_a_key_makes_its_value_and_then_changes_it() {
    let mut operator = KeyedReduce::new(
        "largest",
        |row: &(String, i64)| row.0.clone(),
        |row| (row.1, 0_u64),
        |row, value| {
            // A pair is sealed as a whole, so this closure reads only.
            (row.0.clone(), value.0.to_native(), value.1.to_native())
        },
    );
    open(&mut operator, None).unwrap();
    let rows = vec![
        ("a".to_owned(), 5_i64),
        ("b".to_owned(), 7),
        ("a".to_owned(), 6),
    ];
    let emitted = process(&mut operator, Batch::from_rows(rows)).unwrap();
    let [batch] = <[Batch; 1]>::try_from(emitted).unwrap();
    assert_eq!(
        batch.into_rows::<(String, i64, u64)>().unwrap(),
        [
            ("a".to_owned(), 5, 0),
            ("b".to_owned(), 7, 0),
            ("a".to_owned(), 5, 0)
        ]
    );
}

#[test]
fn rows_of_another_type_are_refused() {
    let mut operator = running_sum();
    open(&mut operator, None).unwrap();
    let error = process(&mut operator, Batch::from_rows(vec![1_u8])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug);
    assert_eq!(
        error.to_string(),
        "expected a batch of (u64, i64), found u8"
    );
}

#[test]
fn a_keyed_reduce_that_was_not_opened_says_so() {
    let error = process(&mut running_sum(), Batch::from_rows(vec![(1_u64, 1_i64)])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "state sums was used before it was opened"
    );
}
