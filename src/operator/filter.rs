//! The filter operator of TOML jobs: rows whose column compares with a value as asked.

use std::str::FromStr;
use std::sync::Arc;

use arrow_array::types::Float64Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Datum, Float64Array, Int64Array, RecordBatch, Scalar,
    StringArray, TimestampMillisecondArray, cast::AsArray,
};
use arrow_buffer::BooleanBuffer;
use arrow_ord::cmp;
use arrow_schema::{ArrowError, Schema};
use arrow_select::filter::filter_record_batch;
use serde::Deserialize;

use super::columns::{ColumnRef, canonical_float, find_column};
use super::contract::{Operator, Output};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Batch, ColumnType};

/// The settings of a filter operator, as they stand in a job's TOML file.
///
/// ```
/// use floodmark::operator::{FilterConfig, FilterOp};
///
/// let config: FilterConfig = toml::from_str("column = 'dep_delay'\nop = '>='\nvalue = 15")?;
/// assert_eq!(config.op, FilterOp::GreaterOrEqual);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// The column that is looked at.
    pub column: String,
    /// How it is compared.
    pub op: FilterOp,
    /// What it is compared with; none for `is null` and `is not null`.
    ///
    /// Of the column's type: a boolean, an integer, a float (or an integer), a text, or for a timestamp a text such as
    /// `"2024-01-31T12:00:00Z"`. Null compares with nothing and never passes; -0.0 equals 0.0; NaN equals itself and is
    /// greater than every number.
    pub value: Option<toml::Value>,
}

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FilterOp {
    /// `=`
    #[serde(rename = "=")]
    Equal,
    /// `!=`
    #[serde(rename = "!=")]
    NotEqual,
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`
    #[serde(rename = ">")]
    Greater,
    /// `>=`
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// `is null`
    #[serde(rename = "is null")]
    IsNull,
    /// `is not null`
    #[serde(rename = "is not null")]
    IsNotNull,
}

/// Passes on the rows that [`FilterConfig`] asks for; the columns stay as they are.
#[derive(Clone, Debug)]
pub struct FilterOperator {
    column: ColumnRef,
    condition: Condition,
}

impl FilterOperator {
    /// A filter of input with this schema.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], with a message that begins with the setting at fault, when the column does not
    /// exist or the value does not have its type.
    pub fn new(config: &FilterConfig, input: &Schema) -> Result<Self> {
        let column = find_column(input, &config.column).map_err(|error| error.context("column"))?;
        Ok(Self {
            column,
            condition: Condition::new(config, column.column_type)?,
        })
    }

    fn filter(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = batch.column(self.column.index);
        let mask = match &self.condition {
            Condition::IsNull => validity(column, |valid| !valid),
            Condition::IsNotNull => validity(column, |valid| valid),
            Condition::Compare(compare, value) => {
                compare(&comparable(column, self.column.column_type), value).map_err(failed)?
            }
        };
        filter_record_batch(batch, &mask).map_err(failed)
    }
}

impl Operator for FilterOperator {
    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        output.emit(Batch::Columns(self.filter(&batch.into_columns()?)?));
        Ok(())
    }
}

type Compare = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

#[derive(Clone, Debug)]
enum Condition {
    IsNull,
    IsNotNull,
    Compare(Compare, Scalar<ArrayRef>),
}

impl Condition {
    fn new(config: &FilterConfig, column_type: ColumnType) -> Result<Self> {
        let compare: Compare = match (config.op, &config.value) {
            (FilterOp::IsNull, None) => return Ok(Self::IsNull),
            (FilterOp::IsNotNull, None) => return Ok(Self::IsNotNull),
            (FilterOp::IsNull | FilterOp::IsNotNull, Some(_)) => {
                return Err(invalid("value: \"is null\" and \"is not null\" take none"));
            }
            (FilterOp::Equal, _) => cmp::eq,
            (FilterOp::NotEqual, _) => cmp::neq,
            (FilterOp::Less, _) => cmp::lt,
            (FilterOp::LessOrEqual, _) => cmp::lt_eq,
            (FilterOp::Greater, _) => cmp::gt,
            (FilterOp::GreaterOrEqual, _) => cmp::gt_eq,
        };
        let Some(value) = &config.value else {
            return Err(invalid(
                "value: missing, the column is to be compared with it",
            ));
        };
        let value =
            scalar(value, &config.column, column_type).map_err(|error| error.context("value"))?;
        Ok(Self::Compare(compare, Scalar::new(value)))
    }
}

/// `value` as an array of one row that has the column's type.
fn scalar(value: &toml::Value, column: &str, column_type: ColumnType) -> Result<ArrayRef> {
    Ok(match (column_type, value) {
        (ColumnType::Boolean, toml::Value::Boolean(value)) => {
            Arc::new(BooleanArray::from(vec![*value]))
        }
        (ColumnType::Int64, toml::Value::Integer(value)) => {
            Arc::new(Int64Array::from(vec![*value]))
        }
        (ColumnType::Float64, toml::Value::Integer(value)) => {
            Arc::new(Float64Array::from(vec![*value as f64]))
        }
        (ColumnType::Float64, toml::Value::Float(value)) => {
            Arc::new(Float64Array::from(vec![canonical_float(*value)]))
        }
        (ColumnType::String, toml::Value::String(value)) => {
            Arc::new(StringArray::from(vec![value.as_str()]))
        }
        (ColumnType::Timestamp, toml::Value::String(value)) => timestamp(value)?,
        (ColumnType::Timestamp, toml::Value::Datetime(value)) => timestamp(&value.to_string())?,
        _ => {
            return Err(invalid(format!(
                "column \"{column}\" is {column_type}, it cannot be compared with the {} {value}",
                value.type_str()
            )));
        }
    })
}

fn timestamp(text: &str) -> Result<ArrayRef> {
    let timestamp = jiff::Timestamp::from_str(text).map_err(|error| {
        invalid(format!(
            "\"{text}\" is not a timestamp such as \"2024-01-31T12:00:00Z\""
        ))
        .with_source(error)
    })?;
    let array = TimestampMillisecondArray::from(vec![timestamp.as_millisecond()]);
    Ok(Arc::new(
        array.with_data_type(ColumnType::Timestamp.to_arrow()),
    ))
}

/// The column in the form in which the kernels, which order floats by their bits, give what the settings promise.
fn comparable(column: &ArrayRef, column_type: ColumnType) -> ArrayRef {
    match column_type {
        ColumnType::Float64 => {
            let floats = column.as_primitive::<Float64Type>();
            Arc::new(floats.unary::<_, Float64Type>(canonical_float))
        }
        ColumnType::Boolean | ColumnType::Int64 | ColumnType::String | ColumnType::Timestamp => {
            column.clone()
        }
    }
}

fn validity(column: &ArrayRef, passes: impl Fn(bool) -> bool) -> BooleanArray {
    let mask = BooleanBuffer::collect_bool(column.len(), |row| passes(column.is_valid(row)));
    BooleanArray::new(mask, None)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

/// The schema was checked, so that the kernels have no reason to refuse.
fn failed(error: ArrowError) -> Error {
    Error::new(ErrorKind::Bug, "cannot filter a batch").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows 0, 1 and 2 hold a small, a middle and a large value; row 3 is null everywhere.
    fn batch() -> RecordBatch {
        let timestamps =
            TimestampMillisecondArray::from(vec![Some(0), Some(1_000), Some(2_000), None])
                .with_data_type(ColumnType::Timestamp.to_arrow());
        let columns: [(&str, ArrayRef); 6] = [
            (
                "b",
                Arc::new(BooleanArray::from(vec![
                    Some(false),
                    Some(true),
                    Some(true),
                    None,
                ])),
            ),
            (
                "i",
                Arc::new(Int64Array::from(vec![Some(-1), Some(0), Some(7), None])),
            ),
            (
                "f",
                Arc::new(Float64Array::from(vec![
                    Some(-1.5),
                    Some(-0.0),
                    Some(2.5),
                    None,
                ])),
            ),
            (
                "n",
                Arc::new(Float64Array::from(vec![
                    Some(1.0),
                    Some(2.0),
                    Some(-f64::NAN),
                    None,
                ])),
            ),
            (
                "s",
                Arc::new(StringArray::from(vec![
                    Some(""),
                    Some("JFK"),
                    Some("LGA"),
                    None,
                ])),
            ),
            ("t", Arc::new(timestamps)),
        ];
        RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )
        .unwrap()
    }

    fn operator(settings: &str) -> Result<FilterOperator> {
        let config: FilterConfig = toml::from_str(settings).unwrap();
        FilterOperator::new(&config, &batch().schema())
    }

    /// `rows` are the rows that pass.
    fn check(settings: &str, rows: &[u32]) {
        let passed = operator(settings).unwrap().filter(&batch()).unwrap();
        let indices = arrow_array::UInt32Array::from(rows.to_vec());
        let expected = arrow_select::take::take_record_batch(&batch(), &indices).unwrap();
        assert_eq!(format!("{passed:?}"), format!("{expected:?}"), "{settings}");
    }

    #[track_caller]
    fn check_error(settings: &str, message: &str) {
        let error = operator(settings).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn rows_pass_that_compare_as_asked() {
        check("column = 'i'\nop = '='\nvalue = 0", &[1]);
        check("column = 'i'\nop = '!='\nvalue = 0", &[0, 2]);
        check("column = 'i'\nop = '<'\nvalue = 0", &[0]);
        check("column = 'i'\nop = '<='\nvalue = 0", &[0, 1]);
        check("column = 'i'\nop = '>'\nvalue = 0", &[2]);
        check("column = 'i'\nop = '>='\nvalue = 0", &[1, 2]);
        check("column = 'b'\nop = '='\nvalue = true", &[1, 2]);
        check("column = 'f'\nop = '>'\nvalue = -1.5", &[1, 2]);
        check("column = 's'\nop = '>='\nvalue = 'JFK'", &[1, 2]);
        check(
            "column = 't'\nop = '<'\nvalue = '1970-01-01T00:00:01Z'",
            &[0],
        );
        check(
            "column = 't'\nop = '='\nvalue = 1970-01-01T01:00:01+01:00",
            &[1],
        );
    }

    #[test]
    fn null_compares_with_nothing_and_is_asked_for_by_name() {
        check("column = 's'\nop = 'is null'", &[3]);
        check("column = 's'\nop = 'is not null'", &[0, 1, 2]);
    }

    #[test]
    fn floats_compare_as_numbers_and_not_by_their_bits() {
        check("column = 'f'\nop = '='\nvalue = 0", &[1]);
        check("column = 'f'\nop = '>='\nvalue = 0.0", &[1, 2]);
        check("column = 'f'\nop = '='\nvalue = -0.0", &[1]);
        check("column = 'n'\nop = '='\nvalue = nan", &[2]);
        check("column = 'n'\nop = '<'\nvalue = nan", &[0, 1]);
        check("column = 'n'\nop = '>'\nvalue = inf", &[2]);
    }

    #[test]
    fn settings_that_do_not_fit_the_input_are_refused() {
        check_error(
            "column = 'z'\nop = 'is null'",
            "column: unknown column \"z\" (the input has b, i, f, n, s, t)",
        );
        check_error(
            "column = 'i'\nop = '='",
            "value: missing, the column is to be compared with it",
        );
        check_error(
            "column = 'i'\nop = 'is null'\nvalue = 1",
            "value: \"is null\" and \"is not null\" take none",
        );
        check_error(
            "column = 'i'\nop = '='\nvalue = 1.5",
            "value: column \"i\" is int64, it cannot be compared with the float 1.5",
        );
        check_error(
            "column = 's'\nop = '='\nvalue = 1",
            "value: column \"s\" is string, it cannot be compared with the integer 1",
        );
        check_error(
            "column = 't'\nop = '='\nvalue = 'noon'",
            "value: \"noon\" is not a timestamp such as \"2024-01-31T12:00:00Z\"",
        );
    }

    #[test]
    fn a_batch_without_a_passing_row_is_not_emitted() {
        let mut output = Output::default();
        let mut operator = operator("column = 'i'\nop = '>'\nvalue = 100").unwrap();
        operator
            .process(Batch::Columns(batch()), &mut output)
            .unwrap();
        assert!(output.is_empty());
    }
}
