//! Every metric's name in one place.

mod metric;

pub use metric::{Metric, count};
