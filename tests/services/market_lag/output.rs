//! What a reader who asks for committed messages sees.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Input;
use super::input::{Lag, Series, text};
use crate::support::Topic;

impl Input {
    /// Checks that all results are in the topic, each once, and those of a series in order; `context` is said if not.
    pub(crate) fn expect_in(&self, output: &Topic, context: &str) {
        let mut found = BTreeMap::<Series, Vec<Lag>>::new();
        let mut partitions = BTreeMap::new();
        for message in output.committed() {
            let row: Value = serde_json::from_str(&message.value.unwrap()).unwrap();
            let (market, signal) = (text(&row, "market"), text(&row, "signal"));
            // There is no order between partitions.
            let partition = partitions.entry(market.to_owned());
            let first = *partition.or_insert(message.partition);
            assert_eq!(first, message.partition, "{context}: {market} lies in two");
            let lag = Lag {
                steps: row["steps"].as_u64().unwrap(),
                largest: row["largest"].as_f64().unwrap(),
            };
            let series = (market.to_owned(), signal.to_owned());
            found.entry(series).or_default().push(lag);
        }
        for (series, expected) in &self.expected {
            let found = found.remove(series).unwrap_or_default();
            let same = expected
                .iter()
                .zip(&found)
                .take_while(|(one, other)| one == other);
            let same = same.count();
            assert!(
                found == *expected,
                "{context}: {series:?}: of {} results {} are there, the first {same} of them right; then {:?} instead of {:?}",
                expected.len(),
                found.len(),
                found.get(same),
                expected.get(same)
            );
        }
        assert!(
            found.is_empty(),
            "{context}: {:?} are of nobody",
            found.keys()
        );
    }
}
