//! The simulator: one seed gives a random job, random data, a random world, and a random order of everything.
//!
//! A `Simulation` steps a whole job with the parts that production runs, on a simulated disk. The job's graph and its
//! expected output come from a `Recipe`. The `Outside` is what sinks commit to: nothing there can be taken back, so a
//! record too many, or one that no durable checkpoint covers, is found at once. What goes wrong, and when, is drawn as
//! well: crashes between any two actions and before any step of the disk, power cuts, failing steps, a clock that jumps,
//! requests, rescales.
//!
//! `scripts/simulate.sh` replays a seed or explores new ones.

mod operators;
mod outside;
mod recipe;
mod scenario;
mod simulation;
mod tests;
mod trace;
