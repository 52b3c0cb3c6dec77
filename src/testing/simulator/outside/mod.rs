//! The outside: what sinks commit to in two phases. Nothing that is committed there can be taken back, but by somebody who
//! goes back to an older snapshot and takes all that came after it back himself.

mod ledger;
mod sink;
mod transaction;

pub(super) use ledger::{Expected, Outside, check_is_durable};
pub(super) use sink::{OutsideSink, SinkHabits};
pub(super) use transaction::Transactions;
