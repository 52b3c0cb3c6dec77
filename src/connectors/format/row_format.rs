//! The text formats of rows.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// How rows are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowFormat {
    /// Comma-separated values (RFC 4180) with a header.
    Csv,
    /// JSON lines: one object a line.
    Json,
}

impl RowFormat {
    /// The format that the extension of `path` speaks of, if it is known: `csv`, `json`, `jsonl` or `ndjson`.
    pub fn of_extension(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            _ => None,
        }
    }

    /// The extension of files in this format, without its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_says_the_format() {
        let check = |path: &str, expected| {
            assert_eq!(RowFormat::of_extension(Path::new(path)), expected, "{path}");
        };
        check("data/*.csv", Some(RowFormat::Csv));
        check("data/a.jsonl", Some(RowFormat::Json));
        check("data/a.txt", None);
        check("data/*", None);
    }
}
