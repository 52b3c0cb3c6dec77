//! The projection operator of TOML jobs: which columns go on, in which order, under which names.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use serde::Deserialize;

use super::columns::find_column;
use super::contract::{Operator, Output};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Batch;

/// The settings of a projection operator, as they stand in a job's TOML file.
///
/// ```
/// use floodmark::operator::ProjectConfig;
///
/// let config: ProjectConfig =
///     toml::from_str(r#"columns = ["origin", { column = "dep_delay", as = "delay" }]"#)?;
/// assert_eq!(config.columns[1].column(), "dep_delay");
/// assert_eq!(config.columns[1].output_name(), "delay");
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectConfig {
    /// The columns of the output, in order: at least one.
    pub columns: Vec<ProjectColumn>,
}

/// One column of a projection's output.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a column such as \"origin\" or { column = \"dep_delay\", as = \"delay\" }"
)]
pub enum ProjectColumn {
    /// A column that keeps its name.
    Kept(String),
    /// A column with another name.
    Renamed(RenamedColumn),
}

/// A column that a projection gives another name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenamedColumn {
    /// Its name in the input.
    pub column: String,
    /// Its name in the output.
    #[serde(rename = "as")]
    pub output_name: String,
}

impl ProjectColumn {
    /// The column's name in the input.
    pub fn column(&self) -> &str {
        match self {
            Self::Kept(name) => name,
            Self::Renamed(renamed) => &renamed.column,
        }
    }

    /// The column's name in the output.
    pub fn output_name(&self) -> &str {
        match self {
            Self::Kept(name) => name,
            Self::Renamed(renamed) => &renamed.output_name,
        }
    }
}

impl ProjectConfig {
    /// The columns that the operator emits for input of this schema.
    ///
    /// # Errors
    /// Those of [`ProjectOperator::new`].
    pub fn output_schema(&self, input: &Schema) -> Result<SchemaRef> {
        ProjectOperator::new(self, input).map(|operator| operator.output_schema)
    }
}

/// Selects, orders and renames columns as [`ProjectConfig`] says; the rows stay as they are.
#[derive(Clone, Debug)]
pub struct ProjectOperator {
    /// Where each column of the output stands in the input.
    indices: Vec<usize>,
    output_schema: SchemaRef,
}

impl ProjectOperator {
    /// A projection of input with this schema.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], with the setting at fault before the message, when there is no column, when one
    /// does not exist, or when two have the same name in the output.
    pub fn new(config: &ProjectConfig, input: &Schema) -> Result<Self> {
        if config.columns.is_empty() {
            return Err(invalid("columns: at least one is needed"));
        }
        let mut indices = Vec::with_capacity(config.columns.len());
        let mut fields: Vec<Field> = Vec::with_capacity(config.columns.len());
        for column in &config.columns {
            let found =
                find_column(input, column.column()).map_err(|error| error.context("columns"))?;
            let name = column.output_name();
            if fields.iter().any(|field| field.name() == name) {
                return Err(invalid(format!(
                    "columns: two columns of the output are called \"{name}\""
                )));
            }
            indices.push(found.index);
            fields.push(input.field(found.index).clone().with_name(name));
        }
        Ok(Self {
            indices,
            output_schema: Arc::new(Schema::new(fields)),
        })
    }

    /// The columns that it emits.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.output_schema
    }

    fn project(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self
            .indices
            .iter()
            .map(|index| batch.column(*index).clone())
            .collect();
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.output_schema.clone(), columns, &rows)
            .map_err(|error| Error::new(ErrorKind::Bug, "cannot select columns").with_source(error))
    }
}

impl Operator for ProjectOperator {
    fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
        output.emit(Batch::Columns(self.project(&batch.into_columns()?)?));
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, StringArray};

    fn batch() -> RecordBatch {
        let columns: [(&str, ArrayRef); 2] = [
            (
                "origin",
                Arc::new(StringArray::from(vec![Some("JFK"), None])),
            ),
            ("dep_delay", Arc::new(Int64Array::from(vec![None, Some(4)]))),
        ];
        RecordBatch::try_from_iter_with_nullable(
            columns
                .into_iter()
                .map(|(name, column)| (name, column, true)),
        )
        .unwrap()
    }

    /// `columns` are the input's columns that come out, with their names in the output.
    fn check(settings: &str, columns: &[(&str, &str)]) {
        let config: ProjectConfig = toml::from_str(settings).unwrap();
        let operator = ProjectOperator::new(&config, &batch().schema()).unwrap();
        let projected = operator.project(&batch()).unwrap();
        let names: Vec<_> = projected
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let expected: Vec<_> = columns.iter().map(|(_, name)| (*name).to_owned()).collect();
        assert_eq!(names, expected, "{settings}");
        for (index, (column, _)) in columns.iter().enumerate() {
            assert_eq!(
                projected.column(index),
                batch().column_by_name(column).unwrap(),
                "{settings}"
            );
        }
        assert_eq!(
            config.output_schema(&batch().schema()).unwrap(),
            projected.schema()
        );
    }

    #[track_caller]
    fn check_error(settings: &str, message: &str) {
        let config: ProjectConfig = toml::from_str(settings).unwrap();
        let error = ProjectOperator::new(&config, &batch().schema()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn columns_are_selected_ordered_and_renamed() {
        check("columns = ['dep_delay']", &[("dep_delay", "dep_delay")]);
        check(
            "columns = ['dep_delay', { column = 'origin', as = 'airport' }]",
            &[("dep_delay", "dep_delay"), ("origin", "airport")],
        );
        check(
            "columns = ['origin', { column = 'origin', as = 'again' }]",
            &[("origin", "origin"), ("origin", "again")],
        );
    }

    #[test]
    fn settings_that_do_not_fit_the_input_are_refused() {
        check_error("columns = []", "columns: at least one is needed");
        check_error(
            "columns = ['orign']",
            "columns: unknown column \"orign\"; did you mean \"origin\"? (the input has origin, dep_delay)",
        );
        check_error(
            "columns = ['origin', { column = 'dep_delay', as = 'origin' }]",
            "columns: two columns of the output are called \"origin\"",
        );
    }

    #[test]
    fn an_unknown_key_beside_a_column_is_refused_with_an_example() {
        let error = toml::from_str::<ProjectConfig>("columns = [{ column = 'a', name = 'b' }]")
            .unwrap_err();
        assert!(error.to_string().contains("as = \"delay\""), "{error}");
    }
}
