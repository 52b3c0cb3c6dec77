//! A random job: what its graph is, and what must come out of it.

mod job;
mod source;
mod step;

pub(super) use job::Recipe;
pub(super) use source::Positions;
