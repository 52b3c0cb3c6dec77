//! The configuration of file sources and file sinks, as a job's TOML file holds it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

use super::s3_access::S3Access;
use crate::config::{HumanDuration, HumanSize};
use crate::connectors::dead_letters::OnError;
use crate::connectors::event_time::{EventTimeConfig, WatermarkTracker};
use crate::connectors::format::{Columns, RowFormat};
use crate::connectors::invalid::invalid;
use crate::error::Result;
use crate::storage::StoreLocation;

/// A file source: all files that match a glob pattern, each read once from its start to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSourceConfig {
    /// A glob pattern, relative to the working directory, or with the address of a bucket before it:
    /// `s3://bucket/flights/*.csv`.
    pub path: String,
    /// How S3 is reached, if the files lie there.
    #[serde(default)]
    pub s3: S3Access,
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
    /// The folder, relative to the working directory, or a place in a bucket: `s3://bucket/results`. A folder is made if
    /// need be; either belongs to this sink alone.
    pub path: PathBuf,
    /// How S3 is reached, if that is where the files go.
    #[serde(default)]
    pub s3: S3Access,
    /// How rows are written.
    pub format: RowFormat,
    /// A part file is closed when it has grown to this size. In a bucket a part is closed at every checkpoint as well, and
    /// up to four of this size are in memory.
    #[serde(default = "roll_size_default")]
    pub roll_size: HumanSize,
    /// A part file is closed at the first checkpoint after this time; `"0s"` closes it at every checkpoint, as in a bucket.
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

impl FileSinkConfig {
    /// The place in a bucket that the files go to; nothing when it is a folder.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Configuration`] when the path is an address that leads nowhere.
    pub fn location(&self) -> Result<Option<StoreLocation>> {
        let path = self.path.to_string_lossy();
        self.s3.location(&path, &path)
    }
}

impl FileSourceConfig {
    /// The schema of the source's batches.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Configuration`], naming the key that is wrong.
    pub fn schema(&self) -> Result<SchemaRef> {
        self.check()?;
        Ok(self.columns.schema())
    }

    /// The bucket that the files lie in, up to where the path begins to be a pattern; nothing when they lie in folders.
    pub(super) fn location(&self) -> Result<Option<StoreLocation>> {
        let pattern = self.path.find(['*', '?', '[']).unwrap_or(self.path.len());
        let fixed = &self.path[..pattern];
        let folder = fixed.rfind('/').map_or("", |end| &fixed[..end]);
        self.s3.location(&self.path, folder)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

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

    #[cfg(feature = "s3")]
    #[test]
    fn the_address_of_a_bucket_is_told_from_a_folder() {
        let check = |path: &str, expected: Option<&str>| {
            let text = format!("path = '{path}'\ncolumns = {{ a = 'int64' }}");
            let config: FileSourceConfig = toml::from_str(&text).unwrap();
            let location = config.location().unwrap();
            let found = location.map(|location| location.to_string());
            assert_eq!(found.as_deref(), expected, "{path}");
        };
        check("in/*.csv", None);
        check("s3://bucket/*.csv", Some("s3://bucket"));
        check("s3://bucket/a/b.csv", Some("s3://bucket/a"));
        check("s3://bucket/a/2013-*/b.csv", Some("s3://bucket/a"));
        let refuse = |rest: &str, problem: &str| {
            let text = format!("{rest}\nformat = 'csv'");
            let config: FileSinkConfig = toml::from_str(&text).unwrap();
            let error = config.location().unwrap_err().to_string();
            assert!(error.starts_with(problem), "{rest}: {error}");
        };
        refuse("path = 's3://'", "path:");
        refuse("path = 'hdfs://bucket/a'", "path:");
        refuse(
            "path = 'file:///a'",
            "path: write the folder without file://",
        );
        refuse("path = 'out'\ns3.region = 'r'", "s3: only goes with");
        let with_password = "path = 's3://bucket/a'\ns3.endpoint = 'http://user:secret@host'";
        refuse(with_password, "s3.endpoint: must not hold credentials");
    }
}
