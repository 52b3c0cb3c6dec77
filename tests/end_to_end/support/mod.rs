//! What the tests have in common.

mod job_folder;
mod process;
mod sums;

pub(crate) use job_folder::JobFolder;
pub(crate) use process::{Ended, Process};
pub(crate) use sums::Sums;
