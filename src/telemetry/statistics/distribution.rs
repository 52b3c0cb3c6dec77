//! How figures are distributed: the least, the greatest, the mean and percentiles.

use serde::Serialize;

/// A distribution in Flink's words, each in the unit of the figures. All are 0 without figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// The least.
    pub min: u64,
    /// The greatest.
    pub max: u64,
    /// The mean, rounded down.
    pub avg: u64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
}

impl Distribution {
    /// The distribution of `figures`.
    pub fn of(figures: impl IntoIterator<Item = u64>) -> Self {
        let mut figures: Vec<u64> = figures.into_iter().collect();
        figures.sort_unstable();
        let (Some(&min), Some(&max)) = (figures.first(), figures.last()) else {
            return Self::default();
        };
        let sum: u128 = figures.iter().map(|&figure| u128::from(figure)).sum();
        let avg = u64::try_from(sum / figures.len() as u128).unwrap_or(max);
        let percentile = |share| percentile(&figures, share);
        Self {
            min,
            max,
            avg,
            p50: percentile(0.5),
            p90: percentile(0.9),
            p95: percentile(0.95),
            p99: percentile(0.99),
            p999: percentile(0.999),
        }
    }
}

/// Between two neighbours it lies in proportion, as in Flink: position `share` of `n + 1`, counted from 1.
fn percentile(sorted: &[u64], share: f64) -> f64 {
    let position = share * (sorted.len() + 1) as f64;
    let below = position.floor().clamp(1.0, sorted.len() as f64);
    let above = (below + 1.0).min(sorted.len() as f64);
    let (low, high) = (sorted[below as usize - 1], sorted[above as usize - 1]);
    let part = (position - below).clamp(0.0, 1.0);
    low as f64 + part * (high as f64 - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_their_neighbours() {
        assert_eq!(Distribution::of([]), Distribution::default());
        let one = Distribution::of([7]);
        assert_eq!((one.min, one.max, one.avg), (7, 7, 7));
        assert_eq!((one.p50, one.p999), (7.0, 7.0));
        let some = Distribution::of([40, 10, 20, 30]);
        assert_eq!((some.min, some.max, some.avg), (10, 40, 25));
        assert_eq!((some.p50, some.p90), (25.0, 40.0));
        let many = Distribution::of(1..=999);
        assert_eq!((many.p50, many.p90, many.p999), (500.0, 900.0, 999.0));
        assert_eq!(many.p95, 950.0);
    }

    #[test]
    fn large_figures_do_not_overflow() {
        let largest = Distribution::of([u64::MAX, u64::MAX]);
        assert_eq!(largest.avg, u64::MAX);
    }
}
