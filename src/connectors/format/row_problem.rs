//! Why a row cannot be used.

use std::fmt;

/// What is wrong with a row.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::connectors) struct RowProblem {
    /// The column whose value is wrong, unless the row as a whole is.
    pub(in crate::connectors) column: Option<String>,
    /// What is wrong.
    pub(in crate::connectors) reason: String,
}

impl RowProblem {
    /// The row as a whole is wrong.
    pub(in crate::connectors) fn of_row(reason: impl Into<String>) -> Self {
        Self {
            column: None,
            reason: reason.into(),
        }
    }

    /// The value of one column is wrong.
    pub(in crate::connectors) fn of_column(column: &str, reason: impl fmt::Display) -> Self {
        Self {
            column: Some(column.to_owned()),
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for RowProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(formatter, "column \"{column}\": {}", self.reason),
            None => formatter.write_str(&self.reason),
        }
    }
}
