//! The configuration of a console sink, as a job's TOML file holds it.

use serde::{Deserialize, Serialize};

use crate::connectors::format::RowFormat;

/// A console sink: every row on standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// How rows are written; JSON lines unless set.
    #[serde(default = "format_default")]
    pub format: RowFormat,
}

fn format_default() -> RowFormat {
    RowFormat::Json
}
