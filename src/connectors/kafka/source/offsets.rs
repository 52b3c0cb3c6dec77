//! Where a source starts, where it ends, and what it does when an offset is gone.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// Where a source starts that has no checkpoint to go on from: Flink's `scan.startup.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartupMode {
    /// At the first record that is still there.
    #[default]
    EarliestOffset,
    /// After the last record that is there now.
    LatestOffset,
    /// Where the consumer group has come to.
    GroupOffsets,
    /// At the first record with this time or a later one.
    Timestamp,
    /// At given offsets.
    SpecificOffsets,
}

/// Where a source ends: Flink's `scan.bounded.mode`. A bounded source never reads beyond what was there when it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoundedMode {
    /// Never.
    #[default]
    Unbounded,
    /// After the last record that was there when the source started.
    LatestOffset,
    /// Before the first record with this time or a later one.
    Timestamp,
    /// Before given offsets.
    SpecificOffsets,
}

/// What to do when the consumer group has no offset, or a record that is to be read is gone: Kafka's `auto.offset.reset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AutoOffsetReset {
    /// Fail the job.
    #[default]
    None,
    /// Go on at the first record that is there. There is a warning.
    Earliest,
    /// Go on after the last record that is there. There is a warning.
    Latest,
}

/// An offset for each partition of each topic, as a table: `{ signals = { 0 = 42, 1 = 7 } }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicOffsets(pub BTreeMap<String, BTreeMap<i32, i64>>);

/// A moment, as text after RFC 3339 or in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub i64);

impl TopicOffsets {
    /// The offset of one partition.
    pub fn get(&self, topic: &str, partition: i32) -> Option<i64> {
        self.0.get(topic)?.get(&partition).copied()
    }
}

impl<'de> Deserialize<'de> for TopicOffsets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The keys of a TOML table are text.
        let written = BTreeMap::<String, BTreeMap<String, i64>>::deserialize(deserializer)?;
        let mut topics = BTreeMap::new();
        for (topic, offsets) in written {
            let mut partitions = BTreeMap::new();
            for (partition, offset) in offsets {
                let number = partition.parse().ok().filter(|number: &i32| *number >= 0);
                let Some(number) = number else {
                    let message = format!("\"{partition}\" is not the number of a partition");
                    return Err(de::Error::custom(message));
                };
                if offset < 0 {
                    let message = format!("{offset} is not an offset, which is never negative");
                    return Err(de::Error::custom(message));
                }
                partitions.insert(number, offset);
            }
            topics.insert(topic, partitions);
        }
        Ok(Self(topics))
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MomentVisitor;
        impl Visitor<'_> for MomentVisitor {
            type Value = UnixMillis;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "a time such as \"2026-01-31T12:00:00Z\", or milliseconds since 1970",
                )
            }

            fn visit_i64<E>(self, millis: i64) -> Result<UnixMillis, E> {
                Ok(UnixMillis(millis))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<UnixMillis, E> {
                let moment: jiff::Timestamp = text.parse().map_err(|error| {
                    E::custom(format!(
                        "\"{text}\" is not a time such as \"2026-01-31T12:00:00Z\": {error}"
                    ))
                })?;
                Ok(UnixMillis(moment.as_millisecond()))
            }
        }
        deserializer.deserialize_any(MomentVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_by_topic_and_partition() {
        let offsets: TopicOffsets =
            toml::from_str("a = { 0 = 42, 1 = 7 }\n\"b.c\" = { 3 = 0 }").unwrap();
        assert_eq!(offsets.get("a", 1), Some(7));
        assert_eq!(offsets.get("b.c", 3), Some(0));
        assert_eq!(offsets.get("a", 2), None);
        let check = |text: &str, problem: &str| {
            let error = toml::from_str::<TopicOffsets>(text).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        };
        check("a = { x = 1 }", "\"x\" is not the number of a partition");
        check("a = { 0 = -1 }", "-1 is not an offset");
    }

    #[test]
    fn a_moment_is_text_or_a_number() {
        #[derive(Debug, Deserialize)]
        struct Options {
            at: UnixMillis,
        }
        let read = |text: &str| toml::from_str::<Options>(text).map(|options| options.at.0);
        assert_eq!(read("at = 1_357_034_400_000"), Ok(1_357_034_400_000));
        assert_eq!(read("at = '2013-01-01T10:00:00Z'"), Ok(1_357_034_400_000));
        let error = read("at = 'yesterday'").unwrap_err();
        assert!(
            error.to_string().contains("\"yesterday\" is not a time"),
            "{error}"
        );
    }
}
