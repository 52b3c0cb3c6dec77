//! Exactly once through `kill -9`: a real process is killed at random moments and started again, until it is done. What
//! it has committed must equal what one undisturbed pass gives. Some of the starts take up the working segments that the
//! killed process has left, the others read the checkpoint.
//!
//! `FLOODMARK_SEED` sets the seed of the kill moments; it is printed in every failure.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it did"
)]

mod flights;
mod growing;
mod panics;
mod process;
