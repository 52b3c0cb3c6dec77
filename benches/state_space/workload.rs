//! The workloads: which key is touched when, and how.

use std::sync::Arc;

use clap::ValueEnum;

/// How skewed the keys of [`Workload::Zipf`] are.
const ZIPF_EXPONENT: f64 = 0.99;

/// A record: a key and its new value; nothing removes the key.
pub(crate) type Record = (u64, Option<i64>);

/// What happens to the keys once all of them are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Every key is updated as often as any other.
    Uniform,
    /// Few keys are updated often, and many rarely.
    Zipf,
    /// Half of the keys stay; the others go one by one, and come again one by one.
    ComeAndGo,
}

/// Makes the records of a workload from their indexes.
#[derive(Clone)]
pub(crate) struct Records {
    workload: Workload,
    keys: u64,
    zipf: Arc<Zipf>,
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf 0.99",
            Self::ComeAndGo => "come-and-go",
        }
    }
}

impl Records {
    /// A workload over `keys` keys. Where keys come and go, half of `keys` must be a multiple of the number of splits:
    /// the records of one key then keep their order.
    pub(crate) fn new(workload: Workload, keys: u64) -> Self {
        Self {
            workload,
            keys,
            zipf: Arc::new(Zipf::new(keys)),
        }
    }

    /// The record with this index: each key once, then the workload.
    pub(crate) fn record(&self, index: u64) -> Record {
        let Self { keys, .. } = *self;
        let value = index as i64;
        let Some(index) = index.checked_sub(keys) else {
            return (index, Some(value));
        };
        let mixed = mix(index);
        match self.workload {
            // The upper half of a product with a uniform number is uniform below the other factor.
            Workload::Uniform => {
                let key = (u128::from(mixed) * u128::from(keys)) >> 64;
                (key as u64, Some(value))
            }
            Workload::Zipf => (self.zipf.rank(mixed), Some(value)),
            Workload::ComeAndGo => {
                let half = keys / 2;
                let key = half + index % half;
                let comes = (index / half) % 2 == 1;
                (key, comes.then_some(value))
            }
        }
    }
}

/// Ranks whose frequency falls with a power of the rank, by inverting an integral that lies close to the sum of the
/// frequencies.
struct Zipf {
    ranks: u64,
    integral: f64,
}

impl Zipf {
    fn new(ranks: u64) -> Self {
        Self {
            ranks,
            integral: ((ranks + 1) as f64).powf(1.0 - ZIPF_EXPONENT) - 1.0,
        }
    }

    /// The rank, from 0, that stands for a uniform number.
    fn rank(&self, uniform: u64) -> u64 {
        let share = uniform as f64 / 2_f64.powi(64);
        let rank = (1.0 + share * self.integral).powf(1.0 / (1.0 - ZIPF_EXPONENT)) - 1.0;
        (rank as u64).min(self.ranks - 1)
    }
}

/// Splitmix64's finaliser: neighbouring indexes give unrelated numbers.
fn mix(index: u64) -> u64 {
    let mut mixed = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
