//! The configuration of a Kafka source, as a job's TOML file holds it.

use std::path::PathBuf;
use std::time::Duration;

use arrow_schema::SchemaRef;
use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use super::metadata_columns::MetadataColumns;
use super::offsets::{AutoOffsetReset, BoundedMode, StartupMode, TopicOffsets, UnixMillis};
use super::topic_selection::TopicSelection;
use crate::config::{HumanDuration, HumanSize};
use crate::connectors::dead_letters::OnError;
use crate::connectors::event_time::{EventTimeColumn, EventTimeConfig};
use crate::connectors::format::Columns;
use crate::connectors::invalid::invalid;
use crate::connectors::kafka::client_settings::{OwnedProperty, client_config};
use crate::connectors::kafka::properties::KafkaProperties;
use crate::connectors::kafka::variables::process_environment;
use crate::error::Result;
use crate::model::ColumnType;

/// A Kafka source: the records of topics, each partition in its order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSourceConfig {
    /// The first brokers to ask, as `host:port` with commas between. `${NAME}` stands for an environment variable.
    pub brokers: String,
    /// The topics to read.
    #[serde(default)]
    pub topics: Vec<String>,
    /// A regular expression for the names of the topics to read, instead of `topics`.
    pub topic_pattern: Option<String>,
    /// The consumer group whose offsets are set after each checkpoint, for whoever watches them; there is none unless
    /// set. The job itself goes on from its checkpoint.
    pub group_id: Option<String>,
    /// How the values of records are written.
    pub format: ValueFormat,
    /// The columns to read from a value, in order.
    pub columns: Columns,
    /// Columns behind them that hold what is beside the value: `{ seen = "timestamp", id = "key" }`.
    #[serde(default)]
    pub metadata: MetadataColumns,
    /// Values that mean null: `[""]` for CSV and none for JSON unless set.
    pub null: Option<Vec<String>>,
    /// What stands between the fields of CSV: one ASCII character, a comma unless set.
    pub delimiter: Option<String>,
    /// What becomes of records without a value.
    #[serde(default)]
    pub tombstones: Tombstones,
    /// What becomes of a record that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
    /// Where records that cannot be read go, with `on_error = "dead-letter"`. Each subtask puts its index into the name.
    pub dead_letter: Option<PathBuf>,
    /// Where partitions start when there is no checkpoint.
    #[serde(default)]
    pub startup_mode: StartupMode,
    /// The time to start at, with `startup_mode = "timestamp"`.
    pub startup_timestamp: Option<UnixMillis>,
    /// The offsets to start at, with `startup_mode = "specific-offsets"`. A partition that is not named starts at its
    /// first record.
    pub startup_offsets: Option<TopicOffsets>,
    /// Where the source ends.
    #[serde(default)]
    pub bounded_mode: BoundedMode,
    /// The time to end at, with `bounded_mode = "timestamp"`.
    pub bounded_timestamp: Option<UnixMillis>,
    /// The offsets to end before, with `bounded_mode = "specific-offsets"`.
    pub bounded_offsets: Option<TopicOffsets>,
    /// What to do when an offset that is to be read is gone, or the group has none.
    #[serde(default)]
    pub auto_offset_reset: AutoOffsetReset,
    /// Whether records of transactions are seen that are open or were aborted.
    #[serde(default)]
    pub isolation_level: IsolationLevel,
    /// How often to look for new partitions, and new topics of a pattern; `"0s"` for never.
    #[serde(default = "partition_discovery_interval_default")]
    pub partition_discovery_interval: HumanDuration,
    /// Where watermarks come from: the smallest of all partitions goes on. Without it there are none.
    pub event_time: Option<EventTimeConfig>,
    /// How long a partition without records holds the watermark back; without it for ever.
    pub idle_timeout: Option<HumanDuration>,
    /// How many rows a batch holds at most.
    #[serde(default = "batch_rows_default")]
    pub batch_rows: usize,
    /// About how many records a subtask has fetched and not worked off, before it pauses its partitions.
    #[serde(default = "buffer_rows_default")]
    pub buffer_rows: usize,
    /// The same in bytes of keys, values and headers. librdkafka fetches ahead of it, up to its own limits.
    #[serde(default = "buffer_size_default")]
    pub buffer_size: HumanSize,
    /// Settings of librdkafka.
    #[serde(default)]
    pub kafka: KafkaProperties,
}

/// How the values of records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueFormat {
    /// One JSON object a record.
    Json,
    /// One row of comma-separated values a record, without a header: the fields stand in the order of the columns.
    Csv,
    /// Text, which becomes the one column.
    Raw,
}

/// What becomes of records without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tombstones {
    /// They are passed over.
    #[default]
    Skip,
    /// They become rows whose columns are null, but for those of `metadata`.
    Keep,
}

/// Which records of transactions are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IsolationLevel {
    /// Those of committed ones.
    #[default]
    ReadCommitted,
    /// All.
    ReadUncommitted,
}

/// What the source sets by itself, and what to do instead.
const OWNED_PROPERTIES: [OwnedProperty; 15] = [
    ("group.id", "set group_id beside the kafka table"),
    (
        "auto.offset.reset",
        "set auto_offset_reset beside the kafka table",
    ),
    (
        "isolation.level",
        "set isolation_level beside the kafka table",
    ),
    ("enable.auto.commit", OFFSETS_IN_CHECKPOINTS),
    ("auto.commit.enable", OFFSETS_IN_CHECKPOINTS),
    ("auto.commit.interval.ms", OFFSETS_IN_CHECKPOINTS),
    ("enable.auto.offset.store", OFFSETS_IN_CHECKPOINTS),
    ("offset.store.method", OFFSETS_IN_CHECKPOINTS),
    ("enable.partition.eof", "the source needs it"),
    ("statistics.interval.ms", "the source needs it for its lag"),
    ("partition.assignment.strategy", NO_GROUP_MEMBER),
    ("group.instance.id", NO_GROUP_MEMBER),
    ("group.protocol", NO_GROUP_MEMBER),
    ("group.protocol.type", NO_GROUP_MEMBER),
    ("group.remote.assignor", NO_GROUP_MEMBER),
];

const OFFSETS_IN_CHECKPOINTS: &str =
    "offsets are kept in checkpoints, and the group's follow after each with group_id";

const NO_GROUP_MEMBER: &str = "the job assigns the partitions to its subtasks by itself";

/// What librdkafka is told unless the user says otherwise.
const DEFAULT_PROPERTIES: [(&str, &str); 3] = [
    ("client.id", "floodmark"),
    // A partition has a queue of its own, so this counts for each: enough for some milliseconds of work.
    ("queued.min.messages", "20000"),
    // A full queue is looked at again after this time; the default of a second would be a second without records.
    ("fetch.queue.backoff.ms", "5"),
];

impl KafkaSourceConfig {
    /// The schema of the source's batches.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Configuration`], beginning with the key that is wrong.
    pub fn schema(&self) -> Result<SchemaRef> {
        self.check()?;
        Ok(self.all_columns().schema())
    }

    /// Checks what the types cannot: the keys against each other, and librdkafka's settings.
    pub(super) fn check(&self) -> Result<()> {
        self.selection()?;
        self.delimiter_byte()?;
        self.check_columns()?;
        self.event_time_column()?;
        self.check_offsets()?;
        self.on_error.check(self.dead_letter.as_deref())?;
        if self.group_id.as_ref().is_some_and(String::is_empty) {
            return invalid("group_id: is empty");
        }
        if self.idle_timeout.is_some() && self.event_time.is_none() {
            return invalid("idle_timeout: only goes with event_time");
        }
        if self.batch_rows == 0 {
            return invalid("batch_rows: must be at least 1");
        }
        if self.buffer_rows == 0 {
            return invalid("buffer_rows: must be at least 1");
        }
        if self.buffer_size.bytes() == 0 {
            return invalid("buffer_size: must be at least 1B");
        }
        self.client_config("checked").map(|_| ())
    }

    /// The columns of the value, then those of the metadata.
    pub(super) fn all_columns(&self) -> Columns {
        let metadata = self.metadata.0.iter();
        let metadata = metadata.map(|(name, field)| (name.clone(), field.column_type()));
        Columns(self.columns.0.iter().cloned().chain(metadata).collect())
    }

    pub(super) fn selection(&self) -> Result<TopicSelection> {
        TopicSelection::new(&self.topics, self.topic_pattern.as_deref())
    }

    pub(super) fn delimiter_byte(&self) -> Result<u8> {
        let Some(delimiter) = &self.delimiter else {
            return Ok(b',');
        };
        if self.format != ValueFormat::Csv {
            return invalid("delimiter: only goes with format = \"csv\"");
        }
        match delimiter.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
            _ => invalid(format!(
                "delimiter: must be one ASCII character other than a quote or a line end, found {delimiter:?}"
            )),
        }
    }

    pub(super) fn null_markers(&self) -> Vec<String> {
        match (&self.null, self.format) {
            (Some(markers), _) => markers.clone(),
            (None, ValueFormat::Csv) => vec![String::new()],
            (None, ValueFormat::Json | ValueFormat::Raw) => Vec::new(),
        }
    }

    pub(super) fn event_time_column(&self) -> Result<Option<EventTimeColumn>> {
        let column = |config| EventTimeColumn::new(config, &self.all_columns());
        self.event_time.as_ref().map(column).transpose()
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.bounded_mode != BoundedMode::Unbounded
    }

    /// How often to look for new partitions; nothing for never.
    pub(super) fn discovery_interval(&self) -> Option<Duration> {
        let interval = self.partition_discovery_interval.0;
        // The end of a bounded source is settled when it starts.
        (!interval.is_zero() && !self.is_bounded()).then_some(interval)
    }

    /// The settings of the consumer. `group` is used when the job has none: librdkafka does not work without.
    pub(super) fn client_config(&self, group: &str) -> Result<ClientConfig> {
        let mut config = client_config(
            &self.brokers,
            &self.kafka,
            &OWNED_PROPERTIES,
            &process_environment,
        )?;
        for (name, value) in DEFAULT_PROPERTIES {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        let isolation_level = match self.isolation_level {
            IsolationLevel::ReadCommitted => "read_committed",
            IsolationLevel::ReadUncommitted => "read_uncommitted",
        };
        config
            .set("group.id", self.group_id.as_deref().unwrap_or(group))
            .set("isolation.level", isolation_level)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // An offset that is gone must come to us: librdkafka would only log a line.
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("statistics.interval.ms", "2000");
        Ok(config)
    }

    fn check_columns(&self) -> Result<()> {
        if self.columns.0.is_empty() {
            return invalid("columns: at least one column must be named");
        }
        if self.format == ValueFormat::Raw {
            if !matches!(&self.columns.0[..], [(_, ColumnType::String)]) {
                return invalid("columns: format = \"raw\" has one column, of type string");
            }
            if self.null.is_some() {
                return invalid("null: does not go with format = \"raw\"");
            }
        }
        for (name, _) in &self.metadata.0 {
            if self.columns.index_of(name).is_some() {
                return invalid(format!(
                    "metadata.{name}: columns has a column of this name"
                ));
            }
        }
        Ok(())
    }

    fn check_offsets(&self) -> Result<()> {
        let goes_with = |key: &str, is_set: bool, mode_key: &str, mode: &str, is_mode: bool| match (
            is_set, is_mode,
        ) {
            (true, false) => invalid(format!("{key}: only goes with {mode_key} = \"{mode}\"")),
            (false, true) => invalid(format!("{key}: {mode_key} = \"{mode}\" needs it")),
            _ => Ok(()),
        };
        let startup = |key, is_set, mode, wanted: StartupMode| {
            goes_with(
                key,
                is_set,
                "startup_mode",
                mode,
                self.startup_mode == wanted,
            )
        };
        let bounded = |key, is_set, mode, wanted: BoundedMode| {
            goes_with(
                key,
                is_set,
                "bounded_mode",
                mode,
                self.bounded_mode == wanted,
            )
        };
        let (timestamp, offsets) = ("timestamp", "specific-offsets");
        startup(
            "startup_timestamp",
            self.startup_timestamp.is_some(),
            timestamp,
            StartupMode::Timestamp,
        )?;
        startup(
            "startup_offsets",
            self.startup_offsets.is_some(),
            offsets,
            StartupMode::SpecificOffsets,
        )?;
        bounded(
            "bounded_timestamp",
            self.bounded_timestamp.is_some(),
            timestamp,
            BoundedMode::Timestamp,
        )?;
        bounded(
            "bounded_offsets",
            self.bounded_offsets.is_some(),
            offsets,
            BoundedMode::SpecificOffsets,
        )?;
        if self.startup_mode == StartupMode::GroupOffsets && self.group_id.is_none() {
            return invalid("group_id: startup_mode = \"group-offsets\" needs it");
        }
        Ok(())
    }
}

fn partition_discovery_interval_default() -> HumanDuration {
    HumanDuration(Duration::from_secs(300))
}

fn batch_rows_default() -> usize {
    1024
}

fn buffer_rows_default() -> usize {
    32 * 1024
}

fn buffer_size_default() -> HumanSize {
    HumanSize(bytesize::ByteSize::mb(16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const START: &str = "brokers = 'a:9092'\n";

    fn check(text: &str, problem: Option<&str>) {
        let config: KafkaSourceConfig = toml::from_str(&format!("{START}{text}")).unwrap();
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
        let json = "topics = ['in']\nformat = 'json'\ncolumns = { a = 'int64', t = 'timestamp' }\n";
        let check_json = |rest: &str, problem| check(&format!("{json}{rest}"), problem);
        check_json("", None);
        check_json("event_time = { column = 't' }\nidle_timeout = '1s'", None);
        check_json(
            "metadata = { at = 'timestamp' }\nevent_time = { column = 'at' }",
            None,
        );
        check_json("delimiter = ';'", Some("delimiter: only goes"));
        check_json("idle_timeout = '1s'", Some("idle_timeout:"));
        check_json("event_time = { column = 'x' }", Some("event_time.column:"));
        check_json("metadata = { a = 'key' }", Some("metadata.a:"));
        check_json("batch_rows = 0", Some("batch_rows:"));
        check_json("buffer_rows = 0", Some("buffer_rows:"));
        check_json("buffer_size = '0B'", Some("buffer_size:"));
        check_json("on_error = 'dead-letter'", Some("dead_letter:"));
        check_json("group_id = ''", Some("group_id: is empty"));
        check_json("topic_pattern = 'a'", Some("topic_pattern:"));
        check_json(
            "kafka.group.id = 'g'",
            Some("kafka.\"group.id\": cannot be set here: set group_id"),
        );
        check_json("kafka.fetch.wait.max.ms = 10", None);
        check(
            "topic_pattern = 'a.*'\nformat = 'raw'\ncolumns = { a = 'int64' }",
            Some("columns: format = \"raw\""),
        );
        check(
            "topics = ['in']\nformat = 'json'\ncolumns = {}",
            Some("columns:"),
        );
    }

    #[test]
    fn times_and_offsets_go_with_their_modes() {
        let raw = "topics = ['in']\nformat = 'raw'\ncolumns = { a = 'string' }\n";
        let check_raw = |rest: &str, problem| check(&format!("{raw}{rest}"), problem);
        check_raw(
            "startup_mode = 'timestamp'",
            Some("startup_timestamp: startup_mode"),
        );
        check_raw("startup_mode = 'timestamp'\nstartup_timestamp = 1", None);
        check_raw(
            "startup_timestamp = 1",
            Some("startup_timestamp: only goes"),
        );
        check_raw(
            "startup_mode = 'specific-offsets'",
            Some("startup_offsets:"),
        );
        check_raw("startup_offsets = {}", Some("startup_offsets: only goes"));
        check_raw("bounded_mode = 'timestamp'", Some("bounded_timestamp:"));
        check_raw(
            "bounded_mode = 'specific-offsets'",
            Some("bounded_offsets:"),
        );
        check_raw("bounded_offsets = {}", Some("bounded_offsets: only goes"));
        check_raw("startup_mode = 'group-offsets'", Some("group_id:"));
        check_raw("startup_mode = 'group-offsets'\ngroup_id = 'g'", None);
    }

    #[test]
    fn the_user_outweighs_the_defaults_and_the_source_outweighs_the_user() {
        let text = "topics = ['in']\nformat = 'raw'\ncolumns = { a = 'string' }\n
            kafka = { queued.min.messages = 7 }";
        let config: KafkaSourceConfig = toml::from_str(&format!("{START}{text}")).unwrap();
        let client = config.client_config("own").unwrap();
        assert_eq!(client.get("queued.min.messages"), Some("7"));
        assert_eq!(client.get("fetch.queue.backoff.ms"), Some("5"));
        assert_eq!(client.get("isolation.level"), Some("read_committed"));
        assert_eq!(client.get("group.id"), Some("own"));
        assert!(client.create_native_config().is_ok());
    }
}
