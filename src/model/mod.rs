//! The words that every other module speaks: batch, key, key group, event time, ids, the clock.

mod batch;
mod ids;
mod key_group;
#[cfg(any(test, feature = "testing"))]
mod manual_clock;
mod schema;
mod time;

pub use batch::{Batch, Row, Rows};
pub use ids::{CheckpointId, OperatorId, SubtaskId};
pub use key_group::{
    KeyGroup, KeyGroupRange, MAX_PARALLELISM_DEFAULT, MAX_PARALLELISM_LIMIT, hash_key,
};
pub use schema::ColumnType;
pub use time::{Clock, EventTime, SharedClock, SystemClock};

#[cfg(any(test, feature = "testing"))]
pub use manual_clock::ManualClock;
