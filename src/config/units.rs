//! Durations and sizes as people write them: `"100ms"`, `"5min"`, `"128MB"`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// A duration written as text with a unit, for example `"100ms"`, `"10s"`, `"5min"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(formatter)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = HumanDuration;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a duration in quotes, such as \"100ms\", \"10s\" or \"5min\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                humantime::parse_duration(text).map(HumanDuration).map_err(|error| {
                    E::custom(format!(
                        "\"{text}\" is not a duration such as \"100ms\", \"10s\" or \"5min\": {error}"
                    ))
                })
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A size written as text with a unit: `"64KiB"`, `"128MB"`; `kB`, `MB`, `GB` are powers of 1000, `KiB` and so on of 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HumanSize(pub bytesize::ByteSize);

impl HumanSize {
    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0.as_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Settings {
        interval: HumanDuration,
        size: HumanSize,
    }

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        let settings: Settings = toml::from_str("interval = '100ms'\nsize = '2MiB'").unwrap();
        assert_eq!(settings.interval.0, Duration::from_millis(100));
        assert_eq!(settings.size.bytes(), 2 << 20);
    }

    #[test]
    fn a_duration_without_a_unit_is_refused_with_an_example() {
        let error = toml::from_str::<Settings>("interval = 100\nsize = '1MB'").unwrap_err();
        assert!(error.to_string().contains("such as \"100ms\""), "{error}");
        let error = toml::from_str::<Settings>("interval = 'soon'\nsize = '1MB'").unwrap_err();
        assert!(
            error.to_string().contains("\"soon\" is not a duration"),
            "{error}"
        );
    }
}
