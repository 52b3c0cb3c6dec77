//! Columns by name and by type: what all operators of TOML jobs share.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{Field, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::model::ColumnType;

/// A column of a batch as the array that its type says.
#[derive(Clone, Copy, Debug)]
pub(super) enum TypedColumn<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a Int64Array),
    Float64(&'a Float64Array),
    String(&'a StringArray),
    Timestamp(&'a TimestampMillisecondArray),
}

impl<'a> TypedColumn<'a> {
    /// The typed view of `column`, which must be of type `expected`.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when it is not: the batch does not have the schema that the operator was made for.
    pub(super) fn new(column: &'a dyn Array, expected: ColumnType) -> Result<Self> {
        if *column.data_type() != expected.to_arrow() {
            return Err(Error::new(
                ErrorKind::Bug,
                format!(
                    "expected a column of {expected}, found {}",
                    column.data_type()
                ),
            ));
        }
        Ok(match expected {
            ColumnType::Boolean => Self::Boolean(column.as_boolean()),
            ColumnType::Int64 => Self::Int64(column.as_primitive::<Int64Type>()),
            ColumnType::Float64 => Self::Float64(column.as_primitive::<Float64Type>()),
            ColumnType::String => Self::String(column.as_string::<i32>()),
            ColumnType::Timestamp => {
                Self::Timestamp(column.as_primitive::<TimestampMillisecondType>())
            }
        })
    }

    /// Which rows are not null; nothing when all are not.
    pub(super) fn nulls(self) -> Option<&'a NullBuffer> {
        match self {
            Self::Boolean(column) => column.nulls(),
            Self::Int64(column) => column.nulls(),
            Self::Float64(column) => column.nulls(),
            Self::String(column) => column.nulls(),
            Self::Timestamp(column) => column.nulls(),
        }
    }
}

/// A column that was looked up by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColumnRef {
    /// Where it stands in the batch.
    pub(super) index: usize,
    /// Its type.
    pub(super) column_type: ColumnType,
}

/// Finds the column called `name`.
///
/// # Errors
/// [`ErrorKind::Configuration`] when there is none, with the nearest name and all names there are, or when it has a
/// type that jobs do not know.
pub(super) fn find_column(schema: &Schema, name: &str) -> Result<ColumnRef> {
    let Some((index, field)) = schema.column_with_name(name) else {
        return Err(unknown_column(schema, name));
    };
    Ok(ColumnRef {
        index,
        column_type: column_type(field)?,
    })
}

/// The number that stands for `value` in keys and comparisons: -0.0 is 0.0, and all NaNs are one.
///
/// By [`f64::total_cmp`] that NaN is greater than every other number.
#[inline]
pub(super) fn canonical_float(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else {
        value + 0.0
    }
}

fn column_type(field: &Field) -> Result<ColumnType> {
    ColumnType::from_arrow(field.data_type()).ok_or_else(|| {
        Error::new(
            ErrorKind::Configuration,
            format!(
                "column \"{}\" has the type {}, which jobs do not know",
                field.name(),
                field.data_type()
            ),
        )
    })
}

fn unknown_column(schema: &Schema, name: &str) -> Error {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let hint = nearest(name, &names)
        .map(|nearest| format!("; did you mean \"{nearest}\"?"))
        .unwrap_or_default();
    Error::new(
        ErrorKind::Configuration,
        format!(
            "unknown column \"{name}\"{hint} (the input has {})",
            names.join(", ")
        ),
    )
}

/// The one of `candidates` that `name` was probably meant to be.
pub(super) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    // Below this, the two words have little in common and the hint would mislead.
    const SIMILARITY_MIN: f64 = 0.75;
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(names: &[&str]) -> Schema {
        let fields: Vec<Field> = names
            .iter()
            .map(|name| Field::new(*name, ColumnType::Int64.to_arrow(), true))
            .collect();
        Schema::new(fields)
    }

    #[test]
    fn an_unknown_column_is_named_with_the_nearest_and_all_there_are() {
        let error = find_column(&schema(&["origin", "dep_delay"]), "dep_dely").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(
            error.to_string(),
            "unknown column \"dep_dely\"; did you mean \"dep_delay\"? (the input has origin, dep_delay)"
        );
    }

    #[test]
    fn nothing_is_suggested_when_no_name_is_near() {
        let error = find_column(&schema(&["origin"]), "zzz").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown column \"zzz\" (the input has origin)"
        );
    }

    #[test]
    fn floats_that_compare_equal_have_one_form() {
        let bits = |value: f64| canonical_float(value).to_bits();
        assert_eq!(bits(-0.0), 0.0_f64.to_bits());
        assert_eq!(bits(-f64::NAN), f64::NAN.to_bits());
        assert_eq!(
            bits(f64::from_bits(0x7ff8_0000_0000_0001)),
            f64::NAN.to_bits()
        );
        assert_eq!(bits(-1.5), (-1.5_f64).to_bits());
    }
}
