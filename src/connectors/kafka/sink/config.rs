//! The configuration of a Kafka sink, as a job's TOML file holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::Deserialize;

use crate::config::HumanSize;
use crate::connectors::format::RowFormat;
use crate::connectors::invalid::invalid;
use crate::connectors::kafka::client_settings::{OwnedProperty, client_config};
use crate::connectors::kafka::properties::KafkaProperties;
use crate::connectors::kafka::variables::Environment;
use crate::error::{Error, ErrorKind, Result};

/// The longest transaction that brokers take unless they are set otherwise.
const BROKER_TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);

/// The setting that says how long a transaction may be open.
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";

/// How long a transaction may be open when nothing says otherwise.
const TRANSACTION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// Settings that the sink sets by itself.
const OWNED_PROPERTIES: [OwnedProperty; 5] = [
    ("transactional.id", "set transactional_id_prefix"),
    ("enable.idempotence", "set delivery_guarantee"),
    ("partitioner", "set partitioner beside the kafka table"),
    ("group.id", "set transactional_id_prefix"),
    (
        "acks",
        "the sink waits for all replicas; set delivery_guarantee = \"none\" to wait for none",
    ),
];

/// A Kafka sink: each row becomes a record of a topic.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSinkConfig {
    /// The first brokers to talk to: `host:port`, several with commas between.
    pub brokers: String,
    /// The topic of all records.
    pub topic: Option<String>,
    /// The column that says the topic of each record, in the place of `topic`.
    pub topic_column: Option<String>,
    /// How a row is written as a record's value; JSON unless set.
    #[serde(default = "format_default")]
    pub format: RowFormat,
    /// What is promised to whoever reads the topic.
    #[serde(default)]
    pub delivery_guarantee: DeliveryGuarantee,
    /// What the transactional ids begin with; the job, the sink and the subtask follow. Two jobs of one name on one broker
    /// need two prefixes.
    #[serde(default = "transactional_id_prefix_default")]
    pub transactional_id_prefix: String,
    /// The topic that the markers of transactions are kept for: `topic` unless set. It must be set when the topic comes
    /// from a column, and stay the same.
    pub marker_topic: Option<String>,
    /// How many bytes of records a subtask holds at most before the broker has them. Half of it is enough for a checkpoint to
    /// be taken before its time.
    #[serde(default = "transaction_bytes_max_default")]
    pub transaction_bytes_max: HumanSize,
    /// The columns that make up a record's key. Without any there is no key.
    #[serde(default)]
    pub key_fields: Vec<String>,
    /// How the key is written: `raw` for one column and JSON for several unless set.
    pub key_format: Option<KeyFormat>,
    /// Whether the columns of the key are in the value as well.
    #[serde(default)]
    pub value_fields_include: ValueFields,
    /// Whether a row of which all columns but those of the key are null becomes a tombstone: a record without a value.
    #[serde(default)]
    pub tombstones: bool,
    /// Headers, and the column that each is taken from.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The column, of type `timestamp`, that a record's timestamp is taken from.
    pub timestamp_column: Option<String>,
    /// The column, of type `int64`, that says a record's partition.
    pub partition_column: Option<String>,
    /// How the partition follows from the key, where no column says it.
    #[serde(default)]
    pub partitioner: Partitioner,
    /// Any setting of librdkafka, for all clients of the sink.
    #[serde(default)]
    pub kafka: KafkaProperties,
}

/// What a Kafka sink promises to whoever reads its topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryGuarantee {
    /// A `read_committed` reader sees each record once, when its checkpoint is complete.
    #[default]
    ExactlyOnce,
    /// Each record is written at once; after a failure some are written again.
    AtLeastOnce,
    /// Each record is written at once, and nobody waits for the broker: some may be lost.
    None,
}

/// How a record's key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFormat {
    /// The text of one column, as it is.
    Raw,
    /// One line of CSV, without a header.
    Csv,
    /// One JSON object.
    Json,
}

/// Which columns a record's value has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueFields {
    /// All of them.
    #[default]
    All,
    /// Those that the key does not have.
    ExceptKey,
}

/// How a record's partition follows from its key, in the words of librdkafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioner {
    /// Any partition.
    Random,
    /// By the CRC32 of the key; records without a key go to one partition.
    Consistent,
    /// By the CRC32 of the key; records without a key go anywhere.
    ConsistentRandom,
    /// By the hash that Java clients use; records without a key go to one partition.
    Murmur2,
    /// As Java clients do it: by the same hash; records without a key go anywhere.
    #[default]
    Murmur2Random,
    /// By the FNV-1a hash of the key; records without a key go to one partition.
    Fnv1a,
    /// By the FNV-1a hash of the key; records without a key go anywhere.
    Fnv1aRandom,
}

impl KafkaSinkConfig {
    /// Checks what the types cannot: the keys against each other, and the settings of librdkafka.
    pub(super) fn check(&self, environment: Environment<'_>) -> Result<()> {
        match (&self.topic, &self.topic_column) {
            (None, None) => return invalid("topic: must be set, or topic_column"),
            (Some(_), Some(_)) => {
                return invalid("topic_column: does not go with topic; remove one of the two");
            }
            (Some(topic), None) if topic.is_empty() => {
                return invalid("topic: must not be empty");
            }
            _ => {}
        }
        if self.delivery_guarantee == DeliveryGuarantee::ExactlyOnce {
            self.marker_topic()?;
        }
        if self.transactional_id_prefix.is_empty() {
            return invalid("transactional_id_prefix: must not be empty");
        }
        if self.transaction_bytes_max.bytes() == 0 {
            return invalid("transaction_bytes_max: must be at least 1B");
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.key_fields.iter().find(|name| !seen.insert(*name)) {
            return invalid(format!("key_fields: column \"{twice}\" is named twice"));
        }
        match (self.key_format, self.key_fields.as_slice()) {
            (Some(_), []) => return invalid("key_format: needs key_fields"),
            (Some(KeyFormat::Raw), [_, _, ..]) => {
                return invalid(
                    "key_format: \"raw\" goes with one column; set \"json\" or \"csv\"",
                );
            }
            (None, []) if self.value_fields_include == ValueFields::ExceptKey => {
                return invalid("value_fields_include: \"except-key\" needs key_fields");
            }
            (None, []) if self.tombstones => return invalid("tombstones: need key_fields"),
            _ => {}
        }
        self.producer(environment).map(drop)
    }

    /// How the key is written.
    pub(super) fn key_format(&self) -> KeyFormat {
        let default = match self.key_fields.len() {
            0 | 1 => KeyFormat::Raw,
            _ => KeyFormat::Json,
        };
        self.key_format.unwrap_or(default)
    }

    /// The topic that markers are kept for.
    pub(super) fn marker_topic(&self) -> Result<&str> {
        let topic = self.marker_topic.as_ref().or(self.topic.as_ref());
        topic.map(String::as_str).ok_or_else(|| {
            let message = "marker_topic: must be set when the topic comes from a column: the markers of transactions are \
                           kept for it";
            Error::new(ErrorKind::Configuration, message)
        })
    }

    /// The settings of a producer.
    pub(super) fn producer(&self, environment: Environment<'_>) -> Result<ClientConfig> {
        let mut config = self.client(environment)?;
        config.set("partitioner", self.partitioner.as_str());
        match self.delivery_guarantee {
            DeliveryGuarantee::None => config.set("acks", "0"),
            _ => config.set("enable.idempotence", "true"),
        };
        let waits_for_ever = self.delivery_guarantee == DeliveryGuarantee::AtLeastOnce;
        if waits_for_ever && config.get("message.timeout.ms").is_none() {
            // The source is held back until the broker is there again.
            config.set("message.timeout.ms", "0");
        }
        Ok(config)
    }

    /// The settings of a producer whose transactions hold what comes in one checkpoint interval.
    pub(super) fn transactional_producer(
        &self,
        interval: Option<Duration>,
        environment: Environment<'_>,
    ) -> Result<ClientConfig> {
        let mut config = self.client(environment)?;
        config.set("partitioner", self.partitioner.as_str());
        config.set("enable.idempotence", "true");
        let millis = self.transaction_timeout(&config, interval)?.as_millis();
        config.set(TRANSACTION_TIMEOUT, millis.to_string());
        Ok(config)
    }

    /// The settings of a client that reads and writes offsets.
    pub(super) fn consumer(&self, environment: Environment<'_>) -> Result<ClientConfig> {
        let mut config = self.client(environment)?;
        config.set("enable.auto.commit", "false");
        // The registry is the first to ask for the topic; a producer would have it made as well.
        config.set("allow.auto.create.topics", "true");
        // The offset of a transaction that is being committed is waited for.
        config.set("isolation.level", "read_committed");
        Ok(config)
    }

    fn client(&self, environment: Environment<'_>) -> Result<ClientConfig> {
        client_config(&self.brokers, &self.kafka, &OWNED_PROPERTIES, environment)
    }

    /// How long a transaction may be open. It is open for as long as it takes to write the records of one checkpoint, which
    /// is no longer than the interval if the broker can keep up at all.
    fn transaction_timeout(
        &self,
        config: &ClientConfig,
        interval: Option<Duration>,
    ) -> Result<Duration> {
        let needed = interval.unwrap_or_default().min(BROKER_TIMEOUT_MAX);
        let Some(set) = config.get(TRANSACTION_TIMEOUT) else {
            return Ok(needed.max(TRANSACTION_TIMEOUT_DEFAULT));
        };
        let set = Duration::from_millis(set.parse().unwrap_or_default());
        if set < needed {
            return invalid(format!(
                "kafka.\"{TRANSACTION_TIMEOUT}\": {set:?} is shorter than the checkpoint interval of {needed:?}, whose \
                 records one transaction holds; set at least {}, or a shorter checkpoint.interval",
                needed.as_millis()
            ));
        }
        Ok(set)
    }
}

impl Partitioner {
    /// The name that librdkafka has for it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Consistent => "consistent",
            Self::ConsistentRandom => "consistent_random",
            Self::Murmur2 => "murmur2",
            Self::Murmur2Random => "murmur2_random",
            Self::Fnv1a => "fnv1a",
            Self::Fnv1aRandom => "fnv1a_random",
        }
    }
}

fn format_default() -> RowFormat {
    RowFormat::Json
}

fn transactional_id_prefix_default() -> String {
    "floodmark".to_owned()
}

fn transaction_bytes_max_default() -> HumanSize {
    HumanSize(bytesize::ByteSize::mib(64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(rest: &str) -> KafkaSinkConfig {
        toml::from_str(&format!("brokers = 'a:9092'\n{rest}")).unwrap()
    }

    fn check(rest: &str, problem: Option<&str>) {
        match (config(rest).check(&|_| None), problem) {
            (Ok(()), None) => {}
            (Err(error), Some(problem)) => {
                assert_eq!(error.kind(), ErrorKind::Configuration, "{rest}");
                assert!(error.to_string().starts_with(problem), "{rest}: {error}");
            }
            (result, _) => panic!("{rest}: {result:?}"),
        }
    }

    #[test]
    fn keys_that_contradict_each_other_are_refused() {
        check("topic = 't'", None);
        check("", Some("topic:"));
        check("topic = ''", Some("topic:"));
        check("topic = 't'\ntopic_column = 'c'", Some("topic_column:"));
        check("topic_column = 'c'", Some("marker_topic:"));
        check("topic_column = 'c'\nmarker_topic = 'm'", None);
        check(
            "topic_column = 'c'\ndelivery_guarantee = 'at-least-once'",
            None,
        );
        check("topic = 't'\nkey_fields = ['a', 'b']", None);
        check("topic = 't'\nkey_fields = ['a', 'a']", Some("key_fields:"));
        check("topic = 't'\nkey_format = 'raw'", Some("key_format:"));
        check(
            "topic = 't'\nkey_fields = ['a', 'b']\nkey_format = 'raw'",
            Some("key_format:"),
        );
        check("topic = 't'\ntombstones = true", Some("tombstones:"));
        check(
            "topic = 't'\nvalue_fields_include = 'except-key'",
            Some("value_fields_include:"),
        );
        check(
            "topic = 't'\ntransaction_bytes_max = '0B'",
            Some("transaction_bytes_max:"),
        );
        check(
            "topic = 't'\ntransactional_id_prefix = ''",
            Some("transactional_id_prefix:"),
        );
        check(
            "topic = 't'\nkafka.acks = 0",
            Some("kafka.\"acks\": cannot be set here"),
        );
        check(
            "topic = 't'\nkafka.transactional.id = 'x'",
            Some("kafka.\"transactional.id\": cannot be set here"),
        );
    }

    #[test]
    fn every_partitioner_is_one_of_librdkafka_and_has_its_name() {
        for name in [
            "random",
            "consistent",
            "consistent_random",
            "murmur2",
            "murmur2_random",
            "fnv1a",
            "fnv1a_random",
        ] {
            let config = config(&format!("topic = 't'\npartitioner = '{name}'"));
            assert_eq!(config.partitioner.as_str(), name);
            let producer = config.producer(&|_| None).unwrap();
            producer.create_native_config().unwrap();
        }
    }

    fn timeout(set: &str, interval_seconds: Option<u64>) -> Result<String> {
        let interval = interval_seconds.map(Duration::from_secs);
        let config = config(&format!("topic = 't'\n{set}"));
        let producer = config.transactional_producer(interval, &|_| None)?;
        Ok(producer.get(TRANSACTION_TIMEOUT).unwrap().to_owned())
    }

    #[test]
    fn a_transaction_may_be_open_for_as_long_as_the_checkpoint_interval() {
        assert_eq!(timeout("", None).unwrap(), "60000");
        assert_eq!(timeout("", Some(1)).unwrap(), "60000");
        assert_eq!(timeout("", Some(600)).unwrap(), "600000");
        // No broker would take more; the size of a transaction is bounded as well.
        assert_eq!(timeout("", Some(7200)).unwrap(), "900000");
        let set = "kafka.transaction.timeout.ms = 20000";
        assert_eq!(timeout(set, Some(20)).unwrap(), "20000");
        let error = timeout(set, Some(30)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let message = error.to_string();
        assert!(
            message.contains("20s is shorter than the checkpoint interval of 30s"),
            "{message}"
        );
    }
}
