//! The settings of an aggregate operator.

use std::fmt;

use arrow_schema::{Schema, SchemaRef};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess};

use super::plan::Plan;
use crate::config::HumanDuration;
use crate::error::Result;

/// The settings of an aggregate operator, as they stand in a job's TOML file.
///
/// ```
/// use floodmark::operator::{AggregateConfig, Emit};
///
/// let config: AggregateConfig = toml::from_str(
///     r#"
///     key = ["origin", "carrier"]
///     emit = "final"
///
///     [aggregates]
///     flights = "count()"
///     mean_delay = "avg(dep_delay)"
///     "#,
/// )?;
/// assert_eq!(config.emit, Emit::Final);
/// assert_eq!(config.aggregates[1], ("mean_delay".into(), "avg(dep_delay)".into()));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateConfig {
    /// The columns whose values make up the key: at least one.
    pub key: Vec<String>,
    /// A column by which the aggregates of each key are kept apart once more, as a map inside the key's state.
    ///
    /// Rows travel by `key` alone: all map keys of one key meet in one subtask.
    #[serde(default)]
    pub map_key: Option<String>,
    /// The name of each output column and how it is computed, in the order of the output.
    ///
    /// `count()`, or `count(*)`, counts rows. `count(x)`, `sum(x)`, `min(x)`, `max(x)`, `avg(x)`, `first(x)` and
    /// `last(x)` pass over nulls; without any other value `count` is 0 and all others are null. `sum` and `avg` take
    /// int64 and float64, `min` and `max` all types but boolean. An int64 sum that overflows fails the job. Among
    /// floats, NaN is greater than every number. `first` and `last` follow the order in which rows arrive, which
    /// between rows of several upstream subtasks is not fixed.
    #[serde(deserialize_with = "pairs_in_order")]
    pub aggregates: Vec<(String, String)>,
    /// When results are emitted.
    #[serde(default)]
    pub emit: Emit,
    /// How long a key's aggregates are kept after its last row, by the machine's clock; at least a millisecond, or for
    /// ever when it is left out. With a map key, each of a key's map keys has its own time.
    ///
    /// A key whose time is over starts afresh with its next row, and has no final result. It is removed from the state
    /// soon after. With a `ttl` the results depend on when the rows arrive.
    #[serde(default)]
    pub ttl: Option<HumanDuration>,
}

/// When an aggregate operator emits its results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emit {
    /// One row for each row that comes in, with the values after it.
    #[default]
    Update,
    /// One row for each key, or for each key and map key, when the input has ended; in no particular order.
    Final,
}

impl AggregateConfig {
    /// The columns that the operator emits for input of this schema: the key, the map key, the aggregates.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration), with a message that begins with the
    /// setting at fault, such as `aggregates.mean_delay: `.
    pub fn output_schema(&self, input: &Schema) -> Result<SchemaRef> {
        Plan::new(self, input).map(|plan| plan.output_schema)
    }
}

fn pairs_in_order<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, String)>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<(String, String)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a table such as { flights = \"count()\" }")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_map(Visitor)
}
