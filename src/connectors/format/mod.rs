//! Text to columns and columns to text: what file, console and later systems share.

mod cell;
mod column_builder;
mod columns;
mod json_object;
mod row_builder;
mod row_format;
mod row_problem;
#[cfg(feature = "kafka")]
mod row_texts;
mod row_writer;

#[cfg(feature = "kafka")]
pub(super) use cell::Cell;
pub use columns::Columns;
pub(super) use json_object::JsonObjects;
pub(super) use row_builder::RowBuilder;
pub use row_format::RowFormat;
pub(super) use row_problem::RowProblem;
#[cfg(feature = "kafka")]
pub(super) use row_texts::RowTexts;
pub(super) use row_writer::RowWriter;
