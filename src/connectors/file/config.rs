//! The configuration of file sources and file sinks, as a job's TOML file holds it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::config::{HumanDuration, HumanSize};
use crate::connectors::dead_letters::OnError;
use crate::connectors::event_time::{EventTimeConfig, WatermarkTracker};
use crate::connectors::format::{Columns, RowFormat};
use crate::error::{Error, ErrorKind, Result};

/// A file source: all files that match a glob pattern, each read once from its start to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSourceConfig {
    /// A glob pattern, relative to the working directory.
    pub path: String,
    /// How rows are written; the extension of `path` says it when this is absent.
    pub format: Option<RowFormat>,
    /// The columns to read, in order. A file may have more.
    pub columns: Columns,
    /// Values that mean null: `[""]` for CSV and none for JSON unless set.
    pub null: Option<Vec<String>>,
    /// What stands between the fields of CSV: one ASCII character, a comma unless set.
    pub delimiter: Option<String>,
    /// What becomes of a row that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
    /// Where rows that cannot be read go, with `on_error = "dead-letter"`. Each subtask puts its index into the name.
    pub dead_letter: Option<PathBuf>,
    /// Where watermarks come from. Without it there are none.
    pub event_time: Option<EventTimeConfig>,
    /// How many rows a batch holds at most.
    #[serde(default = "batch_rows_default")]
    pub batch_rows: usize,
    /// How large a row can be, with its line end. A larger one fails the job, whatever `on_error` says: where it ends is not
    /// known.
    #[serde(default = "max_row_size_default")]
    pub max_row_size: HumanSize,
}

/// A file sink: a folder of part files, each visible once the checkpoint that covers it is complete.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSinkConfig {
    /// The folder, relative to the working directory. It is made if need be, and belongs to this sink alone.
    pub path: PathBuf,
    /// How rows are written.
    pub format: RowFormat,
    /// A part file is closed when it has grown to this size.
    #[serde(default = "roll_size_default")]
    pub roll_size: HumanSize,
    /// A part file is closed at the first checkpoint after this time; `"0s"` closes it at every checkpoint.
    #[serde(default = "roll_interval_default")]
    pub roll_interval: HumanDuration,
    /// What becomes of an earlier run's files when a job starts afresh.
    #[serde(default)]
    pub existing: ExistingFiles,
}

/// What a sink that starts afresh does about the finished files of an earlier run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExistingFiles {
    /// Fail, so that the outputs of two runs are never mixed by accident.
    #[default]
    Fail,
    /// Leave them, and number new files after them.
    Keep,
    /// Remove them; other files in the folder stay.
    Replace,
}

impl FileSourceConfig {
    /// The schema of the source's batches.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], naming the key that is wrong.
    pub fn schema(&self) -> Result<SchemaRef> {
        self.check()?;
        Ok(self.columns.schema())
    }

    /// Checks what the types cannot: the keys against each other.
    pub(super) fn check(&self) -> Result<()> {
        self.row_format()?;
        self.delimiter_byte()?;
        self.watermarks()?;
        if self.columns.0.is_empty() {
            return invalid("columns: at least one column must be named");
        }
        if self.batch_rows == 0 {
            return invalid("batch_rows: must be at least 1");
        }
        if self.max_row_size.bytes() == 0 {
            return invalid("max_row_size: must be at least 1B");
        }
        self.on_error.check(self.dead_letter.as_deref())
    }

    pub(super) fn row_format(&self) -> Result<RowFormat> {
        let of_extension = || RowFormat::of_extension(Path::new(&self.path));
        match self.format.or_else(of_extension) {
            Some(format) => Ok(format),
            None => invalid(format!(
                "format: the name \"{}\" does not tell it; set \"csv\" or \"json\"",
                self.path
            )),
        }
    }

    pub(super) fn delimiter_byte(&self) -> Result<u8> {
        let Some(delimiter) = &self.delimiter else {
            return Ok(b',');
        };
        if self.row_format()? != RowFormat::Csv {
            return invalid("delimiter: only goes with format = \"csv\"");
        }
        match delimiter.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
            _ => invalid(format!(
                "delimiter: must be one ASCII character other than a quote or a line end, found {delimiter:?}"
            )),
        }
    }

    pub(super) fn null_markers(&self) -> Result<Vec<String>> {
        Ok(match (&self.null, self.row_format()?) {
            (Some(markers), _) => markers.clone(),
            (None, RowFormat::Csv) => vec![String::new()],
            (None, RowFormat::Json) => Vec::new(),
        })
    }

    pub(super) fn watermarks(&self) -> Result<Option<WatermarkTracker>> {
        let tracker = |config| WatermarkTracker::new(config, &self.columns);
        self.event_time.as_ref().map(tracker).transpose()
    }
}

fn batch_rows_default() -> usize {
    1024
}

fn max_row_size_default() -> HumanSize {
    HumanSize(bytesize::ByteSize::mb(16))
}

fn roll_size_default() -> HumanSize {
    HumanSize(bytesize::ByteSize::mb(128))
}

fn roll_interval_default() -> HumanDuration {
    HumanDuration(Duration::from_secs(60))
}

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Configuration, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_source(text: &str, problem: Option<&str>) {
        let config: FileSourceConfig = toml::from_str(text).unwrap();
        match (config.schema(), problem) {
            (Ok(_), None) => {}
            (Err(error), Some(problem)) => {
                assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
                assert!(error.to_string().starts_with(problem), "{text}: {error}");
            }
            (result, _) => panic!("{text}: {result:?}"),
        }
    }

    #[test]
    fn a_source_whose_keys_contradict_each_other_is_refused() {
        let columns = "columns = { a = 'int64', t = 'timestamp' }\n";
        let check = |rest: &str, problem| check_source(&format!("{columns}{rest}"), problem);
        check("path = 'in/*.csv'", None);
        check(
            "path = 'in/*.csv'\ndelimiter = \"\\t\"\nnull = ['NA', '']",
            None,
        );
        check("path = 'in/*.csv'\nevent_time = { column = 't' }", None);
        check("path = 'in/*'", Some("format:"));
        check("path = 'in/*.csv'\ndelimiter = ';;'", Some("delimiter:"));
        check("path = 'in/*.json'\ndelimiter = ';'", Some("delimiter:"));
        check("path = 'in/*.csv'\nbatch_rows = 0", Some("batch_rows:"));
        check(
            "path = 'in/*.csv'\nmax_row_size = '0B'",
            Some("max_row_size:"),
        );
        check(
            "path = 'in/*.csv'\non_error = 'dead-letter'",
            Some("dead_letter:"),
        );
        check("path = 'in/*.csv'\ndead_letter = 'x'", Some("dead_letter:"));
        check(
            "path = 'in/*.csv'\nevent_time = { column = 'a' }",
            Some("event_time.column:"),
        );
        check_source("path = 'a.csv'\ncolumns = {}", Some("columns:"));
    }

    #[test]
    fn a_sink_has_defaults_and_refuses_unknown_keys() {
        let config: FileSinkConfig = toml::from_str("path = 'out'\nformat = 'csv'").unwrap();
        assert_eq!(config.roll_size.bytes(), 128_000_000);
        assert_eq!(config.roll_interval.0, Duration::from_secs(60));
        assert_eq!(config.existing, ExistingFiles::Fail);
        let error = toml::from_str::<FileSinkConfig>("path = 'out'\nformat = 'csv'\nroll = 1");
        assert!(error.unwrap_err().to_string().contains("roll"));
    }
}
