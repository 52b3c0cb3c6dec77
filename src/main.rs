//! The standalone binary: parses the command line, calls [`floodmark::cli`], and turns the outcome into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SIGPIPE stays ignored, as Rust's runtime leaves it: a peer that hangs up must not end a running job. A closed
    // standard output is noticed where it is written to, and is no error.
    let log_filter = std::env::var("FLOODMARK_LOG").ok();
    floodmark::cli::main(std::env::args_os(), log_filter).into()
}
