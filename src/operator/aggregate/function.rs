//! The aggregate functions: how they are written, what they take, what they give.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::model::ColumnType;
use crate::operator::columns::nearest;

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    First,
    Last,
}

impl Function {
    const ALL: [Self; 7] = [
        Self::Count,
        Self::Sum,
        Self::Min,
        Self::Max,
        Self::Avg,
        Self::First,
        Self::Last,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Avg => "avg",
            Self::First => "first",
            Self::Last => "last",
        }
    }

    /// The type of the result over a column of type `input`, or nothing when the function does not take that type.
    pub(super) fn output_type(self, input: ColumnType) -> Option<ColumnType> {
        use ColumnType::{Boolean, Float64, Int64};
        match (self, input) {
            (Self::Count, _) => Some(Int64),
            (Self::Sum, Int64 | Float64) => Some(input),
            (Self::Avg, Int64 | Float64) => Some(Float64),
            (Self::Sum | Self::Avg, _) | (Self::Min | Self::Max, Boolean) => None,
            (Self::Min | Self::Max | Self::First | Self::Last, _) => Some(input),
        }
    }

    /// The types that the function takes, for error messages.
    pub(super) fn input_types(self) -> String {
        let taken: Vec<String> = ColumnType::ALL
            .into_iter()
            .filter(|input| self.output_type(*input).is_some())
            .map(|input| input.to_string())
            .collect();
        taken.join(", ")
    }
}

impl fmt::Display for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Reads a call such as `sum(x)`: the function, and the column's name if there is one.
///
/// # Errors
/// [`ErrorKind::Configuration`] when the text is not such a call.
pub(super) fn parse_call(text: &str) -> Result<(Function, Option<&str>)> {
    let invalid = |message: String| Error::new(ErrorKind::Configuration, message);
    // The name ends at the last parenthesis, so that a column's name may have parentheses in it.
    let Some((name, column)) = text
        .trim()
        .strip_suffix(')')
        .and_then(|call| call.split_once('('))
    else {
        return Err(invalid(format!(
            "\"{text}\" is not an aggregate such as \"count()\" or \"sum(x)\""
        )));
    };
    let (name, column) = (name.trim(), column.trim());
    let names = Function::ALL.map(Function::name);
    let Some(function) = Function::ALL
        .into_iter()
        .find(|function| function.name() == name)
    else {
        let hint = nearest(name, &names)
            .map(|nearest| format!("; did you mean \"{nearest}\"?"))
            .unwrap_or_default();
        return Err(invalid(format!(
            "unknown function \"{name}\"{hint} (there are {})",
            names.join(", ")
        )));
    };
    match (function, column) {
        (Function::Count, "" | "*") => Ok((function, None)),
        (_, "") => Err(invalid(format!(
            "{function} needs a column, as in \"{function}(x)\""
        ))),
        _ => Ok((function, Some(column))),
    }
}
