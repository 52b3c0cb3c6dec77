//! The configuration of a generator source, as a job's TOML file holds it.

use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

use super::columns::{ColumnsGenerator, Records, Times};
use super::key_value::{self, KeyValue};
use super::market_signals::{self, MarketSignals};
use super::source::{BATCH_ROWS_DEFAULT, GeneratorSource};
use crate::config::HumanDuration;
use crate::connectors::format::Columns;
use crate::connectors::invalid::invalid;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ColumnType, EventTime};

const SPLITS_DEFAULT: u32 = 8;
const KEYS_DEFAULT: u64 = 1000;
const MARKETS_DEFAULT: u32 = 100;
const MARKETS_MAX: u32 = 1_000_000;
const START_DEFAULT: &str = "2024-01-01T00:00:00Z";

/// A generator source: the same configuration makes the same records, at any parallelism.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorConfig {
    /// What the records look like.
    pub schema: GeneratorSchema,
    /// How many records there are. Without it they never end.
    pub rows: Option<u64>,
    /// How many records a second come from all subtasks together. Without it they come as fast as they are taken.
    pub rate: Option<u64>,
    /// How many distinct keys there are, with `schema = "key-value"`; 1000 unless set.
    pub keys: Option<u64>,
    /// How many markets there are, with `schema = "market-signals"`; 100 unless set.
    pub markets: Option<u32>,
    /// How many independent sequences the records come in, and so the parallelism that can be made use of. All records
    /// of one key come in one sequence, so there are never more of them than keys.
    #[serde(default = "splits_default")]
    pub splits: u32,
    /// Another seed makes other records.
    #[serde(default)]
    pub seed: u64,
    /// The event time of the first record (RFC 3339).
    #[serde(default = "start_default")]
    pub start: String,
    /// How much event time lies between a record and the next, in whole microseconds.
    #[serde(default = "step_default")]
    pub step: HumanDuration,
    /// How many rows a batch holds at most.
    #[serde(default = "batch_rows_default")]
    pub batch_rows: usize,
}

/// What generated records look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorSchema {
    /// `key` (int64, evenly from `0..keys`), `value` (int64, `0..100`), `time` (timestamp).
    KeyValue,
    /// `market` (string, such as `market-017`), `signal` (string, one of eight), `value` (float64, `0.00..100.00`),
    /// `delta` (float64, the difference to the value before of the same market and signal), `time` (timestamp).
    MarketSignals,
}

impl GeneratorConfig {
    /// The schema of the source's batches.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], naming the key that is wrong.
    pub fn schema(&self) -> Result<SchemaRef> {
        self.check()?;
        Ok(self.columns().schema())
    }

    /// Makes the source.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], naming the key that is wrong.
    pub fn source(&self) -> Result<GeneratorSource<ColumnsGenerator>> {
        let schema = self.schema()?;
        let times = self.times()?;
        let (records, keys) = match self.schema {
            GeneratorSchema::KeyValue => {
                let keys = self.keys.unwrap_or(KEYS_DEFAULT);
                let seed = self.seed;
                (Records::KeyValue(KeyValue { seed, keys }), keys)
            }
            GeneratorSchema::MarketSignals => {
                let markets = self.markets.unwrap_or(MARKETS_DEFAULT);
                let records = MarketSignals::new(self.seed, markets);
                (Records::MarketSignals(records), u64::from(markets))
            }
        };
        let splits = u32::try_from(keys).map_or(self.splits, |keys| self.splits.min(keys));
        let generator = ColumnsGenerator::new(schema, records, times);
        let source = GeneratorSource::new(self.rows, splits, generator)?
            .with_batch_rows(self.batch_rows)
            .with_event_time(move |index| times.of_index(index));
        Ok(match self.rate {
            Some(rate) => source.with_rate(rate),
            None => source,
        })
    }

    fn check(&self) -> Result<()> {
        let of_key_value = self.schema == GeneratorSchema::KeyValue;
        match (self.keys, self.markets) {
            (Some(_), _) if !of_key_value => {
                return invalid("keys: only goes with schema = \"key-value\"");
            }
            (_, Some(_)) if of_key_value => {
                return invalid("markets: only goes with schema = \"market-signals\"");
            }
            (Some(keys), _) if keys == 0 || i64::try_from(keys).is_err() => {
                return invalid(format!(
                    "keys: must be from 1 to {}, and is {keys}",
                    i64::MAX
                ));
            }
            (_, Some(markets)) if !(1..=MARKETS_MAX).contains(&markets) => {
                return invalid(format!(
                    "markets: must be from 1 to {MARKETS_MAX}, and is {markets}"
                ));
            }
            _ => {}
        }
        if self.rate == Some(0) {
            return invalid("rate: must be at least 1 row a second");
        }
        if self.batch_rows == 0 {
            return invalid("batch_rows: must be at least 1");
        }
        self.times()?;
        Ok(())
    }

    fn times(&self) -> Result<Times> {
        let start: jiff::Timestamp = self.start.parse().map_err(|error: jiff::Error| {
            let message = format!("start: \"{}\" is not a time in RFC 3339", self.start);
            Error::new(ErrorKind::Configuration, message).with_source(error)
        })?;
        let step = self.step.0;
        let whole = step.subsec_nanos().is_multiple_of(1000);
        match u64::try_from(step.as_micros()) {
            Ok(step_micros) if whole => Ok(Times {
                start: EventTime(start.as_millisecond()),
                step_micros,
            }),
            _ => invalid(format!("step: {} is not in whole microseconds", self.step)),
        }
    }

    fn columns(&self) -> Columns {
        let columns: &[_] = match self.schema {
            GeneratorSchema::KeyValue => &key_value::COLUMNS,
            GeneratorSchema::MarketSignals => &market_signals::COLUMNS,
        };
        let time = [("time", ColumnType::Timestamp)];
        let columns = columns.iter().chain(&time);
        let owned = columns.map(|&(name, column_type)| (name.to_owned(), column_type));
        Columns(owned.collect())
    }
}

fn splits_default() -> u32 {
    SPLITS_DEFAULT
}

fn start_default() -> String {
    START_DEFAULT.to_owned()
}

fn step_default() -> HumanDuration {
    HumanDuration(std::time::Duration::from_millis(1))
}

fn batch_rows_default() -> usize {
    BATCH_ROWS_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_do_not_go_together_are_refused_by_name() {
        let check = |text: &str, problem: Option<&str>| {
            let config: GeneratorConfig = toml::from_str(text).unwrap();
            match (config.source().err(), problem) {
                (None, None) => {}
                (Some(error), Some(problem)) => {
                    assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
                    assert!(error.to_string().starts_with(problem), "{text}: {error}");
                }
                (error, _) => panic!("{text}: {error:?}"),
            }
        };
        check(
            "schema = 'key-value'\nkeys = 10\nrows = 5\nstep = '1us'",
            None,
        );
        check("schema = 'market-signals'\nmarkets = 3", None);
        check("schema = 'market-signals'\nkeys = 3", Some("keys:"));
        check("schema = 'key-value'\nmarkets = 3", Some("markets:"));
        check("schema = 'key-value'\nkeys = 0", Some("keys:"));
        check("schema = 'market-signals'\nmarkets = 0", Some("markets:"));
        check("schema = 'key-value'\nsplits = 0", Some("splits:"));
        check("schema = 'key-value'\nsplits = 129", Some("splits:"));
        check("schema = 'key-value'\nrate = 0", Some("rate:"));
        check("schema = 'key-value'\nbatch_rows = 0", Some("batch_rows:"));
        check("schema = 'key-value'\nstart = 'now'", Some("start:"));
        check("schema = 'key-value'\nstep = '1ns'", Some("step:"));
    }
}
