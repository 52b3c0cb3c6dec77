//! The batch: the one concrete type that travels on links. Columns for TOML jobs, rows for typed Rust jobs.

use std::any::Any;
use std::fmt;

use arrow_array::RecordBatch;

use crate::error::{Error, ErrorKind};

/// A few hundred to a few thousand records that travel together.
pub enum Batch {
    /// Arrow columns: what a TOML job works on.
    Columns(RecordBatch),
    /// Values of one Rust type: what a typed job works on.
    Rows(Box<dyn Rows>),
}

/// What a row of a typed job can be: any type that can be copied and sent to another thread.
pub trait Row: Clone + Send + 'static {}

impl<T: Clone + Send + 'static> Row for T {}

/// A `Vec<T>` whose type is known only to the operators on both ends.
pub trait Rows: Send {
    /// How many rows there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The rows' Rust type, for error messages.
    fn type_name(&self) -> &'static str;
    /// Gives the `Vec<T>` back as [`Any`].
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    /// A copy, for a stream that has more than one reader.
    fn copy(&self) -> Box<dyn Rows>;
    /// Takes the first `count` rows out, or all if there are fewer.
    fn take_first(&mut self, count: usize) -> Box<dyn Rows>;
}

impl<T: Row> Rows for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn type_name(&self) -> &'static str {
        std::any::type_name::<T>()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn copy(&self) -> Box<dyn Rows> {
        Box::new(self.clone())
    }

    fn take_first(&mut self, count: usize) -> Box<dyn Rows> {
        let rest = self.split_off(count.min(Vec::len(self)));
        Box::new(std::mem::replace(self, rest))
    }
}

impl Batch {
    /// A batch of typed rows.
    pub fn from_rows<T: Row>(rows: Vec<T>) -> Self {
        Self::Rows(Box::new(rows))
    }

    /// How many records the batch holds.
    pub fn len(&self) -> usize {
        match self {
            Self::Columns(columns) => columns.num_rows(),
            Self::Rows(rows) => rows.len(),
        }
    }

    /// Whether the batch holds no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the first `count` records out, or all if there are fewer.
    #[must_use]
    pub fn take_first(&mut self, count: usize) -> Self {
        match self {
            Self::Columns(columns) => {
                let count = count.min(columns.num_rows());
                let first = columns.slice(0, count);
                *columns = columns.slice(count, columns.num_rows() - count);
                Self::Columns(first)
            }
            Self::Rows(rows) => Self::Rows(rows.take_first(count)),
        }
    }

    /// The rows as `Vec<T>`.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the batch holds columns, or rows of another type: the graph was put together wrongly.
    pub fn into_rows<T: Row>(self) -> Result<Vec<T>, Error> {
        let found = match self {
            Self::Columns(_) => "columns",
            Self::Rows(rows) => {
                let found = rows.type_name();
                match rows.into_any().downcast::<Vec<T>>() {
                    Ok(rows) => return Ok(*rows),
                    Err(_) => found,
                }
            }
        };
        let expected = std::any::type_name::<T>();
        Err(Error::new(
            ErrorKind::Bug,
            format!("expected a batch of {expected}, found {found}"),
        ))
    }

    /// The columns.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when the batch holds typed rows.
    pub fn into_columns(self) -> Result<RecordBatch, Error> {
        match self {
            Self::Columns(columns) => Ok(columns),
            Self::Rows(rows) => Err(Error::new(
                ErrorKind::Bug,
                format!(
                    "expected a batch of columns, found rows of {}",
                    rows.type_name()
                ),
            )),
        }
    }
}

impl Clone for Batch {
    fn clone(&self) -> Self {
        match self {
            Self::Columns(columns) => Self::Columns(columns.clone()),
            Self::Rows(rows) => Self::Rows(rows.copy()),
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns(columns) => write!(formatter, "Columns({} rows)", columns.num_rows()),
            Self::Rows(rows) => write!(formatter, "Rows({} of {})", rows.len(), rows.type_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_the_type_they_went_in() {
        let batch = Batch::from_rows(vec![1_u64, 2, 3]);
        assert_eq!(batch.len(), 3);
        assert_eq!(batch.into_rows::<u64>().unwrap(), vec![1, 2, 3]);
    }

    #[test]
    fn the_first_records_are_taken_out_of_rows_and_of_columns() {
        let numbers = arrow_array::Int64Array::from(vec![1, 2, 3, 4, 5]);
        let columns = RecordBatch::try_from_iter([("n", std::sync::Arc::new(numbers) as _)]);
        let mut columns = Batch::Columns(columns.unwrap());
        let mut rows = Batch::from_rows(vec![1_i64, 2, 3, 4, 5]);
        for (count, expected) in [(2, 2), (0, 0), (9, 3), (1, 0)] {
            let before = rows.len();
            let first = [rows.take_first(count), columns.take_first(count)];
            let [of_rows, of_columns] = first;
            assert_eq!((of_rows.len(), of_columns.len()), (expected, expected));
            assert_eq!(
                (rows.len(), columns.len()),
                (before - expected, before - expected)
            );
            let of_rows = of_rows.into_rows::<i64>().unwrap();
            let of_columns = of_columns.into_columns().unwrap();
            let values = arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(
                of_columns.column(0),
            );
            assert_eq!(&of_rows, values.values());
        }
    }

    #[test]
    fn rows_of_another_type_are_an_error_that_names_both() {
        let error = Batch::from_rows(vec![1_u64])
            .into_rows::<i32>()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Bug);
        assert_eq!(error.to_string(), "expected a batch of i32, found u64");
    }
}
