use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};

use super::*;
use crate::channel::InFlight;
use crate::error::ErrorKind;
use crate::model::{Batch, EventTime};

fn schema() -> Arc<Schema> {
    let fields = vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("value", DataType::Int64, true),
    ];
    Arc::new(Schema::new(fields))
}

fn codec() -> ColumnCodec {
    ColumnCodec::new(schema())
}

fn columns(keys: &[Option<&str>], values: &[Option<i64>]) -> RecordBatch {
    let key = Arc::new(StringArray::from(keys.to_vec()));
    let value = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_new(schema(), vec![key, value]).unwrap()
}

#[test]
fn what_was_in_flight_comes_back_in_its_order() {
    let first = columns(&[Some("a"), None], &[Some(1), Some(-2)]);
    // A part of a larger batch is stored without the rest.
    let second = columns(
        &[Some("x"), Some("y"), Some("z")],
        &[Some(7), None, Some(9)],
    )
    .slice(1, 2);
    let elements = vec![
        InFlight::Batch(Batch::Columns(first.clone())),
        InFlight::Watermark(EventTime(-5)),
        InFlight::Batch(Batch::Columns(second.clone())),
        InFlight::Watermark(EventTime::MAX),
    ];
    let section = encode_section(elements, &codec()).unwrap();
    let mut found = decode_section(&section, &codec()).unwrap().into_iter();
    let mut next_columns = || match found.next() {
        Some(InFlight::Batch(batch)) => Ok(batch.into_columns().unwrap()),
        Some(InFlight::Watermark(time)) => Err(Some(time)),
        None => Err(None),
    };
    assert_eq!(next_columns(), Ok(first));
    assert_eq!(next_columns(), Err(Some(EventTime(-5))));
    assert_eq!(next_columns(), Ok(second));
    assert_eq!(next_columns(), Err(Some(EventTime::MAX)));
    assert_eq!(next_columns(), Err(None));
}

#[test]
fn the_schema_of_columns_names_them_and_their_types() {
    assert_eq!(codec().schema(), "arrow ipc: key Utf8, value Int64");
}

#[test]
fn bytes_that_are_no_section_are_refused() {
    let batch = columns(&[Some("a")], &[Some(1)]);
    let whole = encode_section(vec![InFlight::Batch(Batch::Columns(batch))], &codec()).unwrap();
    let check = |section: Vec<u8>, expected: &str| {
        let error = decode_section(&section, &codec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{expected}");
        assert!(error.full_message().contains(expected), "{error}");
    };
    let changed = |index: usize, byte: u8| {
        let mut section = whole.to_vec();
        section[index] = byte;
        section
    };
    check(whole[..15].to_vec(), "shorter than its header");
    check(changed(0, b'X'), "it is something else");
    check(changed(4, 9), "version 9 of its format");
    check(changed(8, 2), "it ends before its last element");
    check(changed(8, 0), "bytes follow the last element");
    check(changed(16, 7), "an element of kind 7");
    check(changed(24, 255), "it ends before its last element");
    // The bytes of the batch itself are guarded by the checksum of the piece; what is no stream is refused all the same.
    check(changed(25, 1), "not what the exchange carries");
}
