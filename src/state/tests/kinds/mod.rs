//! States of all kinds in whole jobs: random operations, barriers, crashes and rescales, with a time-to-live and without.

mod folds;
mod job;
mod lists;
mod maps;
mod migration;
mod registration;
mod singles;
mod timed;
