//! An independent computation of the aggregates: from scratch for every row, from all rows of its key before it.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

/// One value that is not null.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Value {
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    Text(String),
    Time(i64),
}

pub(super) type Row = Vec<Option<Value>>;

/// The rows of a batch.
pub(super) fn rows(batch: &RecordBatch) -> Vec<Row> {
    let cell = |column: &dyn Array, row: usize| {
        column.is_valid(row).then(|| match column.data_type() {
            DataType::Boolean => Value::Boolean(column.as_boolean().value(row)),
            DataType::Int64 => Value::Int64(column.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Value::Float64(column.as_primitive::<Float64Type>().value(row)),
            DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).to_owned()),
            _ => Value::Time(column.as_primitive::<TimestampMillisecondType>().value(row)),
        })
    };
    (0..batch.num_rows())
        .map(|row| {
            batch
                .columns()
                .iter()
                .map(|column| cell(column, row))
                .collect()
        })
        .collect()
}

/// The aggregate `function` over the column `column` of `rows`.
pub(super) fn aggregate(function: &str, rows: &[&Row], column: usize) -> Option<Value> {
    let values: Vec<&Value> = rows.iter().filter_map(|row| row[column].as_ref()).collect();
    let by_size = |left: &&&Value, right: &&&Value| left.partial_cmp(right).unwrap();
    match function {
        "rows" => Some(Value::Int64(rows.len() as i64)),
        "count" => Some(Value::Int64(values.len() as i64)),
        "first" => values.first().copied().cloned(),
        "last" => values.last().copied().cloned(),
        "min" => values.iter().min_by(by_size).copied().cloned(),
        "max" => values.iter().max_by(by_size).copied().cloned(),
        "sum" => values
            .iter()
            .copied()
            .cloned()
            .reduce(|sum, value| match (sum, value) {
                (Value::Int64(sum), Value::Int64(value)) => Value::Int64(sum + value),
                (Value::Float64(sum), Value::Float64(value)) => Value::Float64(sum + value),
                other => panic!("no sum of {other:?}"),
            }),
        "avg" => {
            let sum = match aggregate("sum", rows, column)? {
                Value::Int64(sum) => sum as f64,
                Value::Float64(sum) => sum,
                other => panic!("no mean of {other:?}"),
            };
            Some(Value::Float64(sum / values.len() as f64))
        }
        other => panic!("no function {other}"),
    }
}
