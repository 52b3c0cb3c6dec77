//! The blackhole: a sink that counts rows and forgets them.

mod sink;

pub use sink::{BlackholeConfig, BlackholeSink, RowCount};
