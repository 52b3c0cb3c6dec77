//! The operators of a random job. What they emit depends on which records they are given, not on the order, nor on which
//! subtask is given them.

mod delay;
mod gather;
mod lease;
mod not_open;
mod record;
mod windows;

pub(super) use delay::{Delay, ListKind};
pub(super) use gather::Gather;
pub(super) use lease::Lease;
use not_open::not_open;
pub(super) use record::{Record, mix};
use record::{digest, keeper};
pub(super) use windows::{Windows, window_end};
