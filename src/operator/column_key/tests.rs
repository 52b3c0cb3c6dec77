use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};

use super::{EncodedKeys, KeyEncoder};
use crate::error::ErrorKind;
use crate::operator::test_support::{random_batch, random_schema};

const ALL_COLUMNS: [&str; 5] = ["b", "i", "f", "s", "t"];

fn encode(batch: &RecordBatch, names: &[&str]) -> (KeyEncoder, EncodedKeys) {
    let encoder = KeyEncoder::new(&batch.schema(), names).unwrap();
    let mut keys = EncodedKeys::default();
    encoder.encode_batch(batch, &mut keys).unwrap();
    (encoder, keys)
}

fn keys_of(column: ArrayRef) -> Vec<Vec<u8>> {
    let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
    let (_, keys) = encode(&batch, &["x"]);
    (0..keys.len()).map(|row| keys.key(row).to_vec()).collect()
}

#[test]
fn keys_are_read_back_as_the_columns_they_were_made_of() {
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let batch = random_batch(&mut random, 200);
        let (encoder, keys) = encode(&batch, &["t", "s", "b", "f", "i"]);
        let mut decoder = encoder.decoder();
        for row in 0..keys.len() {
            decoder.push(keys.key(row)).unwrap();
        }
        let columns = decoder.finish();
        for (column, name) in columns.iter().zip(["t", "s", "b", "f", "i"]) {
            assert_eq!(
                column,
                batch.column_by_name(name).unwrap(),
                "seed {seed}, column {name}"
            );
        }
    }
}

#[test]
fn equal_rows_have_equal_keys_and_different_rows_different_ones() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let batch = random_batch(&mut random, 150);
        // Few columns, so that many rows are equal.
        let (_, keys) = encode(&batch, &["s", "i"]);
        let text_of = |row: usize| {
            let row = batch.project(&[1, 3]).unwrap().slice(row, 1);
            format!("{row:?}")
        };
        let texts: Vec<String> = (0..150).map(text_of).collect();
        for left in 0..150 {
            for right in 0..150 {
                assert_eq!(
                    keys.key(left) == keys.key(right),
                    texts[left] == texts[right],
                    "seed {seed}, rows {left} and {right}"
                );
            }
        }
    }
}

#[test]
fn neighbouring_texts_do_not_run_into_each_other() {
    let columns: [(&str, ArrayRef, bool); 2] = [
        ("a", Arc::new(StringArray::from(vec!["ab", "a"])), true),
        ("b", Arc::new(StringArray::from(vec!["c", "bc"])), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let (_, keys) = encode(&batch, &["a", "b"]);
    assert_ne!(keys.key(0), keys.key(1));
}

#[test]
fn zeros_and_nans_are_one_key_each() {
    let other_nan = f64::from_bits(0xfff8_0000_0000_0007);
    let keys = keys_of(Arc::new(Float64Array::from(vec![
        0.0,
        -0.0,
        f64::NAN,
        other_nan,
    ])));
    assert_eq!(keys[0], keys[1]);
    assert_eq!(keys[2], keys[3]);
    assert_ne!(keys[0], keys[2]);
}

/// These bytes lie in snapshots: they may never change.
#[test]
fn the_bytes_of_a_key_are_fixed_for_all_time() {
    let keys = keys_of(Arc::new(Int64Array::from(vec![Some(-2), None])));
    assert_eq!(keys[0], [1, 255, 255, 255, 255, 255, 255, 255, 254]);
    assert_eq!(keys[1], [0]);
    let keys = keys_of(Arc::new(Float64Array::from(vec![1.5, f64::NAN])));
    assert_eq!(keys[0], [1, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]);
    assert_eq!(keys[1], [1, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]);
    let keys = keys_of(Arc::new(StringArray::from(vec!["JFK", ""])));
    assert_eq!(keys[0], [1, 0, 0, 0, 3, b'J', b'F', b'K']);
    assert_eq!(keys[1], [1, 0, 0, 0, 0]);
    let keys = keys_of(Arc::new(BooleanArray::from(vec![true, false])));
    assert_eq!(keys, [[1, 1], [1, 0]]);
    let time = TimestampMillisecondArray::from(vec![258]).with_timezone("UTC");
    assert_eq!(keys_of(Arc::new(time)), [[1, 0, 0, 0, 0, 0, 0, 1, 2]]);
}

#[test]
fn the_length_of_a_prefix_is_that_of_its_columns() {
    let mut random = fastrand::Rng::with_seed(3);
    let batch = random_batch(&mut random, 100);
    let (encoder, keys) = encode(&batch, &ALL_COLUMNS);
    for columns in 0..=ALL_COLUMNS.len() {
        let (_, prefixes) = encode(&batch, &ALL_COLUMNS[..columns]);
        for row in 0..keys.len() {
            let len = encoder.prefix_len(keys.key(row), columns).unwrap();
            assert_eq!(
                &keys.key(row)[..len],
                prefixes.key(row),
                "seed 3, {columns} columns"
            );
        }
    }
}

#[test]
fn damaged_keys_are_reported_and_never_read() {
    let batch = random_batch(&mut fastrand::Rng::with_seed(0), 1);
    let check = |name: &str, key: &[u8], message: &str| {
        let (encoder, _) = encode(&batch, &[name]);
        let error = encoder.decoder().push(key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(
            error.to_string(),
            format!("a stored key is damaged: {message}")
        );
    };
    check("i", &[], "it ends early");
    check("i", &[1, 0, 0], "it ends early");
    check("i", &[7], "a field begins with the byte 7");
    check("i", &[0, 0], "bytes are left behind its last column");
    check("b", &[1, 2], "a boolean is neither 0 nor 1");
    check("s", &[1, 0, 0, 0, 9, b'a'], "it ends early");
    check("s", &[1, 0, 0, 0, 1, 0xff], "its text is not UTF-8");
}

#[test]
fn a_batch_of_another_schema_is_refused() {
    let encoder = KeyEncoder::new(&random_schema(), &["b"]).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("b", column)]).unwrap();
    let error = encoder
        .encode_batch(&batch, &mut EncodedKeys::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a column of boolean, found Int64"
    );
}
