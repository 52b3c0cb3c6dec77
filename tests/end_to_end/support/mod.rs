//! What the tests have in common: a folder with a job file and processes that run it, and typed jobs.

mod census_job;
mod fault;
mod gauges;
mod halves;
mod http;
mod job_folder;
mod numbers;
mod process;
mod sums;
mod typed_job;

pub(crate) use census_job::{CensusJob, Registers};
pub(crate) use fault::{Fault, FaultySink, Gate, How, Place, REASON};
pub(crate) use gauges::Gauges;
pub(crate) use halves::Halves;
pub(crate) use http::Http;
pub(crate) use job_folder::JobFolder;
pub(crate) use numbers::{Hold, Numbers, NumbersPlan, SPLITS, Sight};
pub(crate) use process::{Ended, Process};
pub(crate) use sums::Sums;
pub(crate) use typed_job::{Run, SIGHTS_MAX, TypedJob, expected, expected_of_union, sorted};
