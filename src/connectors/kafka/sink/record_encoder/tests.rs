use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};

use super::*;

fn batch() -> RecordBatch {
    let user: ArrayRef = Arc::new(StringArray::from(vec![Some("ann"), None]));
    let count: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
    let at = TimestampMillisecondArray::from(vec![Some(5), None]).with_timezone("UTC");
    let at: ArrayRef = Arc::new(at);
    let topic: ArrayRef = Arc::new(StringArray::from(vec!["one", "two"]));
    RecordBatch::try_from_iter_with_nullable([
        ("user", user, true),
        ("count", count, true),
        ("at", at, true),
        ("topic", topic, true),
    ])
    .unwrap()
}

/// Each record of the batch as text: topic, partition, timestamp, key, value, headers.
fn encode(rest: &str) -> Result<Vec<String>> {
    let text = format!("brokers = 'a:9092'\n{rest}");
    let config: KafkaSinkConfig = toml::from_str(&text).unwrap();
    let mut encoder = RecordEncoder::new(config);
    let mut records = Vec::new();
    // Twice, since it is used for many batches.
    for _ in 0..2 {
        records.clear();
        encoder.encode(&batch(), |record| {
            let text = |bytes: Option<&[u8]>| {
                bytes.map_or("-".to_owned(), |bytes| {
                    String::from_utf8(bytes.to_vec()).unwrap()
                })
            };
            let headers = record.headers.iter();
            let headers = headers.map(|(name, value)| format!(" {name}={}", text(*value)));
            records.push(format!(
                "{} {:?} {:?} {} {}{}",
                record.topic,
                record.partition,
                record.timestamp,
                text(record.key),
                text(record.value),
                headers.collect::<String>()
            ));
            Ok(())
        })?;
    }
    Ok(records)
}

fn check(rest: &str, expected: [&str; 2]) {
    assert_eq!(encode(rest).unwrap(), expected, "{rest}");
}

#[test]
fn each_part_of_a_record_comes_from_its_columns() {
    let first =
        "{\"user\":\"ann\",\"count\":3,\"at\":\"1970-01-01T00:00:00.005Z\",\"topic\":\"one\"}";
    let second = "{\"user\":null,\"count\":null,\"at\":null,\"topic\":\"two\"}";
    check(
        "topic = 't'",
        [
            &format!("t None None - {first}"),
            &format!("t None None - {second}"),
        ],
    );
    check(
        "topic_column = 'topic'\nformat = 'csv'\nkey_fields = ['user']\nvalue_fields_include = 'except-key'
         timestamp_column = 'at'\npartition_column = 'count'\nheaders = { who = 'user', n = 'count' }",
        [
            "one Some(3) Some(5) ann 3,1970-01-01T00:00:00.005Z,one n=3 who=ann",
            "two None None - ,,two n=- who=-",
        ],
    );
    check(
        "topic = 't'\nformat = 'csv'\nkey_fields = ['user', 'count']",
        [
            "t None None {\"user\":\"ann\",\"count\":3} ann,3,1970-01-01T00:00:00.005Z,one",
            "t None None {\"user\":null,\"count\":null} ,,,two",
        ],
    );
    check(
        "topic = 't'\nformat = 'csv'\nkey_fields = ['topic']\nkey_format = 'csv'\ntombstones = true",
        [
            "t None None one ann,3,1970-01-01T00:00:00.005Z,one",
            "t None None two -",
        ],
    );
}

#[test]
fn what_a_row_cannot_be_written_with_is_named_by_its_key() {
    let check = |rest: &str, problem: &str| {
        let error = encode(&format!("topic = 't'\n{rest}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{rest}");
        assert!(error.to_string().starts_with(problem), "{rest}: {error}");
    };
    check(
        "key_fields = ['usr']",
        "key_fields: there is no column \"usr\"; there are user, count, at, topic",
    );
    check("headers = { a = 'b' }", "headers.a: there is no column");
    check(
        "timestamp_column = 'count'",
        "timestamp_column: the column \"count\" must be of type timestamp, and is of type int64",
    );
    check("partition_column = 'user'", "partition_column:");
}

#[test]
fn a_partition_that_there_cannot_be_is_refused() {
    for partition in [-1, i64::from(i32::MAX) + 1] {
        let error = partition_of(partition).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
    }
    assert_eq!(partition_of(7).unwrap(), 7);
}
