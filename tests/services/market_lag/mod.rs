//! MarketLag from a topic to a topic: for each market and signal the largest step so far, and how many there were. Every
//! record gives one result, and no two results are the same: so what is missing, there twice or out of order is seen.

mod input;
mod job;
mod life;
mod output;

pub(crate) use input::Input;
pub(crate) use job::{Job, Storage};
pub(crate) use life::{COMPLETED, Life, seed};
