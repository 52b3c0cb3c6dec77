//! Text to columns and columns to text: what file, console and later systems share.

mod cell;
mod column_builder;
mod columns;
mod row_builder;
mod row_format;
mod row_writer;

pub use columns::Columns;
pub(super) use row_builder::RowBuilder;
pub use row_format::RowFormat;
pub(super) use row_writer::RowWriter;
