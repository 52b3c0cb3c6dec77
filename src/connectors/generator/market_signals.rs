//! Records of the schema `market-signals`: a market, one of its signals, the signal's value, its change, a time.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array};

use super::SplitRange;
use super::mix::{mix, scale};
use crate::model::ColumnType;

/// The signals of every market.
const SIGNALS: [&str; 8] = [
    "spread",
    "depth",
    "volume",
    "volatility",
    "momentum",
    "imbalance",
    "funding",
    "lag",
];

/// Values lie in `0.00..100.00`, with two decimals.
const VALUE_HUNDREDTHS: u64 = 10_000;

/// The columns other than the time.
pub(super) const COLUMNS: [(&str, ColumnType); 4] = [
    ("market", ColumnType::String),
    ("signal", ColumnType::String),
    ("value", ColumnType::Float64),
    ("delta", ColumnType::Float64),
];

/// Goes through all signals of all markets in rounds, each round in another order. Split `s` has the markets `m` with
/// `m % splits == s`.
///
/// As every signal comes once a round, its value before this one is known from the round alone, and so is the change.
#[derive(Clone, Debug)]
pub(super) struct MarketSignals {
    seed: u64,
    names: Vec<String>,
}

impl MarketSignals {
    pub(super) fn new(seed: u64, markets: u32) -> Self {
        let names = (0..markets).map(|market| format!("market-{market:03}"));
        Self {
            seed,
            names: names.collect(),
        }
    }

    pub(super) fn generate(&self, range: SplitRange) -> Vec<ArrayRef> {
        let (split, splits) = (range.split as usize, range.splits as usize);
        let series = (self.names.len() - split).div_ceil(splits) * SIGNALS.len();
        let mut markets = StringBuilder::with_capacity(range.count, range.count * 10);
        let mut signals = StringBuilder::with_capacity(range.count, range.count * 8);
        let mut values = Vec::with_capacity(range.count);
        let mut deltas = Vec::with_capacity(range.count);
        for number in range.first..range.first + range.count as u64 {
            let round = number / series as u64;
            let shift = scale(
                mix(self.seed ^ u64::from(range.split), round),
                series as u64,
            );
            let place = ((number + shift) % series as u64) as usize;
            let market = place / SIGNALS.len() * splits + split;
            let signal = place % SIGNALS.len();
            let (value, delta) = self.value_and_delta(market * SIGNALS.len() + signal, round);
            markets.append_value(&self.names[market]);
            signals.append_value(SIGNALS[signal]);
            values.push(value);
            deltas.push(delta);
        }
        vec![
            Arc::new(markets.finish()),
            Arc::new(signals.finish()),
            Arc::new(Float64Array::from(values)),
            Arc::new(Float64Array::from(deltas)),
        ]
    }

    /// The change is computed in hundredths, so that it has two decimals as the value has.
    fn value_and_delta(&self, series: usize, round: u64) -> (f64, f64) {
        let series_seed = mix(self.seed, series as u64);
        let hundredths = |round| scale(mix(series_seed, round), VALUE_HUNDREDTHS) as i64;
        let value = hundredths(round);
        let delta = match round.checked_sub(1) {
            Some(before) => value - hundredths(before),
            None => 0,
        };
        (value as f64 / 100.0, delta as f64 / 100.0)
    }
}
