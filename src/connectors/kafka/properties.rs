//! The settings of librdkafka as a job file holds them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::config::is_secret;

/// What stands in a `[source.kafka]` or `[sink.kafka]` table: settings of librdkafka, by their names there.
///
/// A name may be quoted or not: `"sasl.password"` and `sasl.password`, which TOML takes for a table in a table, are the
/// same. Numbers and booleans may stand without quotes. Values that are secrets are not shown by [`fmt::Debug`].
///
/// ```
/// use floodmark::connectors::KafkaProperties;
///
/// let properties: KafkaProperties = toml::from_str(
///     "security.protocol = 'SASL_SSL'
///      sasl.username = 'reader'
///      'sasl.password' = '${KAFKA_PASSWORD}'
///      fetch.max.bytes = 1_000_000",
/// )?;
/// assert_eq!(properties.get("fetch.max.bytes"), Some("1000000"));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaProperties(BTreeMap<String, String>);

impl KafkaProperties {
    /// The value of a setting as it was written, variables not replaced.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a setting, or replaces it.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// All settings, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for KafkaProperties {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(name, value)| (name, if is_secret(name) { "***" } else { value }));
        formatter.debug_map().entries(shown).finish()
    }
}

impl<'de> Deserialize<'de> for KafkaProperties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut properties = BTreeMap::new();
        let tree = Tree::deserialize(deserializer)?;
        let Tree::Table(entries) = tree else {
            let message = "expected a table of librdkafka's settings";
            return Err(de::Error::custom(message));
        };
        flatten("", entries, &mut properties).map_err(de::Error::custom)?;
        Ok(Self(properties))
    }
}

/// Settings as TOML reads them, with a table for each part of a name before a dot.
enum Tree {
    Value(String),
    Table(Vec<(String, Tree)>),
}

fn flatten(
    prefix: &str,
    entries: Vec<(String, Tree)>,
    properties: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for (key, tree) in entries {
        let name = match prefix {
            "" => key,
            _ => format!("{prefix}.{key}"),
        };
        match tree {
            Tree::Table(entries) => flatten(&name, entries, properties)?,
            Tree::Value(value) => {
                if properties.insert(name.clone(), value).is_some() {
                    return Err(format!("\"{name}\" is set twice, once with quotes"));
                }
            }
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string, a number or a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Value(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Value(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Value(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Value(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Value(value.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Table(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_quotes_are_the_same() {
        let text = "'client.id' = 'a'\nfetch.min.bytes = 10\nsocket.keepalive.enable = true\nx.y = 0.5\n[a]\nb.c = '1'";
        let properties: KafkaProperties = toml::from_str(text).unwrap();
        let pairs: Vec<_> = properties.iter().collect();
        assert_eq!(
            pairs,
            [
                ("a.b.c", "1"),
                ("client.id", "a"),
                ("fetch.min.bytes", "10"),
                ("socket.keepalive.enable", "true"),
                ("x.y", "0.5"),
            ]
        );
    }

    #[test]
    fn a_name_that_is_set_twice_and_a_list_are_refused() {
        let check = |text: &str, problem: &str| {
            let error = toml::from_str::<KafkaProperties>(text).unwrap_err();
            assert!(error.to_string().contains(problem), "{text}: {error}");
        };
        check(
            "client.id = 'a'\n'client.id' = 'b'",
            "\"client.id\" is set twice",
        );
        check("debug = ['broker']", "a string, a number or a boolean");
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut properties = KafkaProperties::default();
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.keystore.password",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.assertion.private.key.passphrase",
        ] {
            properties.set(name, "hunter2");
        }
        properties.set("sasl.username", "reader");
        let shown = format!("{properties:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("\"sasl.username\": \"reader\""), "{shown}");
    }
}
