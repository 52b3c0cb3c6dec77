//! Aggregates whose state is a number: the cell they are kept in, and the loops over rows.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};

use super::function::Function;
use super::plan::Aggregate;
use crate::error::{Error, ErrorKind, Result};
use crate::model::ColumnType;
use crate::operator::columns::{TypedColumn, canonical_float};

/// The state of one aggregate of one key: 16 bytes whatever the function, so that it is changed where it lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// The sum, or the value kept: the bits of an int64, a float64 or a timestamp, or 0 and 1 for a boolean.
    pub(super) bits: u64,
    /// How many values that are not null it has seen (for `count()`, how many rows).
    pub(super) count: u64,
}

impl Cell {
    /// The aggregate's value, as bits of its output type, or nothing when it is null.
    #[inline]
    pub(super) fn result(self, aggregate: &Aggregate) -> Option<u64> {
        match aggregate.function {
            Function::Count => Some(self.count),
            _ if self.count == 0 => None,
            Function::Avg => {
                let sum = match aggregate.input.map(|input| input.column_type) {
                    Some(ColumnType::Float64) => f64::from_bits(self.bits),
                    _ => self.bits as i64 as f64,
                };
                Some((sum / self.count as f64).to_bits())
            }
            _ => Some(self.bits),
        }
    }
}

/// Takes the rows `rows` of `column` into `cell`, in order; `column` is nothing for `count()` alone.
///
/// The value after each row is put into `output` at that row, if there is an output.
///
/// # Errors
/// [`ErrorKind::Data`] when a sum of int64 overflows.
pub(super) fn advance(
    aggregate: &Aggregate,
    column: Option<TypedColumn<'_>>,
    rows: &[u32],
    cell: &mut Cell,
    output: Option<&mut NumberOutput>,
) -> Result<()> {
    use Function::{Avg, Count, First, Last, Max, Min, Sum};
    let run = Run {
        aggregate,
        rows,
        nulls: column.and_then(TypedColumn::nulls),
        output,
    };
    let Some(column) = column.filter(|_| aggregate.function != Count) else {
        return run.fold(cell, |_, _| Ok(()));
    };
    match (aggregate.function, Numbers::new(column)?) {
        (Sum | Avg, Numbers::Int64(values)) => run.fold(cell, |cell, row| {
            let sum = (cell.bits as i64).checked_add(values[row]);
            cell.bits = sum.ok_or_else(|| overflow(aggregate))? as u64;
            Ok(())
        }),
        (Sum | Avg, Numbers::Float64(values)) => run.fold(cell, |cell, row| {
            cell.bits = (f64::from_bits(cell.bits) + values[row]).to_bits();
            Ok(())
        }),
        (Min, Numbers::Int64(values)) => run.fold(cell, |cell, row| {
            cell.keep_if(values[row] as u64, values[row] < cell.bits as i64)
        }),
        (Max, Numbers::Int64(values)) => run.fold(cell, |cell, row| {
            cell.keep_if(values[row] as u64, values[row] > cell.bits as i64)
        }),
        (Min, Numbers::Float64(values)) => run.fold(cell, |cell, row| {
            let value = canonical_float(values[row]);
            let less = value.total_cmp(&f64::from_bits(cell.bits)).is_lt();
            cell.keep_if(value.to_bits(), less)
        }),
        (Max, Numbers::Float64(values)) => run.fold(cell, |cell, row| {
            let value = canonical_float(values[row]);
            let greater = value.total_cmp(&f64::from_bits(cell.bits)).is_gt();
            cell.keep_if(value.to_bits(), greater)
        }),
        (First, values) => run.fold(cell, |cell, row| cell.keep_if(values.bits(row), false)),
        (Last, values) => run.fold(cell, |cell, row| cell.keep_if(values.bits(row), true)),
        (Count, _) | (_, Numbers::Boolean(_)) => Err(unexpected_input(aggregate)),
    }
}

impl Cell {
    /// Keeps `bits` if it is better than what is kept, or if nothing is kept yet.
    #[inline]
    fn keep_if(&mut self, bits: u64, better: bool) -> Result<()> {
        if self.count == 0 || better {
            self.bits = bits;
        }
        Ok(())
    }
}

/// The values of a column by how they lie in memory; those of null rows mean nothing.
#[derive(Clone, Copy)]
enum Numbers<'a> {
    Boolean(&'a BooleanBuffer),
    /// Timestamps too.
    Int64(&'a [i64]),
    Float64(&'a [f64]),
}

impl<'a> Numbers<'a> {
    fn new(column: TypedColumn<'a>) -> Result<Self> {
        Ok(match column {
            TypedColumn::Boolean(column) => Self::Boolean(column.values()),
            TypedColumn::Int64(column) => Self::Int64(column.values()),
            TypedColumn::Float64(column) => Self::Float64(column.values()),
            TypedColumn::Timestamp(column) => Self::Int64(column.values()),
            TypedColumn::String(_) => {
                return Err(Error::new(ErrorKind::Bug, "a text has no cell"));
            }
        })
    }

    #[inline]
    fn bits(self, row: usize) -> u64 {
        match self {
            Self::Boolean(values) => u64::from(values.value(row)),
            Self::Int64(values) => values[row] as u64,
            Self::Float64(values) => values[row].to_bits(),
        }
    }
}

/// One pass of an aggregate over the rows of one key.
struct Run<'a> {
    aggregate: &'a Aggregate,
    rows: &'a [u32],
    nulls: Option<&'a NullBuffer>,
    output: Option<&'a mut NumberOutput>,
}

impl Run<'_> {
    /// Calls `step` for each row that is not null; `cell.count` is how many there were before it.
    #[inline]
    fn fold(
        mut self,
        cell: &mut Cell,
        mut step: impl FnMut(&mut Cell, usize) -> Result<()>,
    ) -> Result<()> {
        for row in self.rows {
            let row = *row as usize;
            if self.nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                step(cell, row)?;
                cell.count += 1;
            }
            if let Some(output) = &mut self.output {
                output.set(row, cell.result(self.aggregate));
            }
        }
        Ok(())
    }
}

/// An output column in the making: bits of any type but string.
#[derive(Default)]
pub(super) struct NumberOutput {
    bits: Vec<u64>,
    valid: Vec<bool>,
}

impl NumberOutput {
    /// A column of `rows` rows, all of them null.
    pub(super) fn with_rows(rows: usize) -> Self {
        Self {
            bits: vec![0; rows],
            valid: vec![false; rows],
        }
    }

    /// Adds one row at the end.
    pub(super) fn push(&mut self, value: Option<u64>) {
        self.bits.push(value.unwrap_or(0));
        self.valid.push(value.is_some());
    }

    /// The finished column.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] for strings, which are not numbers.
    pub(super) fn into_array(self, column_type: ColumnType) -> Result<ArrayRef> {
        let nulls = Some(NullBuffer::from(self.valid)).filter(|nulls| nulls.null_count() > 0);
        Ok(match column_type {
            ColumnType::Boolean => {
                let values =
                    BooleanBuffer::collect_bool(self.bits.len(), |row| self.bits[row] != 0);
                Arc::new(BooleanArray::new(values, nulls))
            }
            ColumnType::Int64 => Arc::new(primitive::<Int64Type>(self.bits, nulls)),
            ColumnType::Float64 => Arc::new(primitive::<Float64Type>(self.bits, nulls)),
            ColumnType::Timestamp => Arc::new(
                primitive::<TimestampMillisecondType>(self.bits, nulls)
                    .with_data_type(column_type.to_arrow()),
            ),
            ColumnType::String => {
                return Err(Error::new(ErrorKind::Bug, "a text is not a number"));
            }
        })
    }

    #[inline]
    fn set(&mut self, row: usize, value: Option<u64>) {
        self.bits[row] = value.unwrap_or(0);
        self.valid[row] = value.is_some();
    }
}

/// Takes the bits as they lie: the types asked for are all 64 bits wide.
fn primitive<T: ArrowPrimitiveType>(
    bits: Vec<u64>,
    nulls: Option<NullBuffer>,
) -> PrimitiveArray<T> {
    let len = bits.len();
    PrimitiveArray::new(ScalarBuffer::new(Buffer::from_vec(bits), 0, len), nulls)
}

#[cold]
fn overflow(aggregate: &Aggregate) -> Error {
    Error::new(
        ErrorKind::Data,
        format!(
            "aggregates.{}: the sum does not fit into int64",
            aggregate.name
        ),
    )
}

#[cold]
fn unexpected_input(aggregate: &Aggregate) -> Error {
    Error::new(
        ErrorKind::Bug,
        format!(
            "aggregates.{}: {} has no state of numbers",
            aggregate.name, aggregate.call
        ),
    )
}
