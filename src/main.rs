//! The standalone binary: parses the command line, calls [`floodmark::cli`], and turns the outcome into an exit code.

use std::process::ExitCode;

use floodmark::cli::Environment;

fn main() -> ExitCode {
    // SIGPIPE stays ignored, as Rust's runtime leaves it: a peer that hangs up must not end a running job. A closed
    // standard output is noticed where it is written to, and is no error.
    let environment = Environment {
        log_filter: std::env::var("FLOODMARK_LOG").ok(),
        token: std::env::var("FLOODMARK_TOKEN").ok(),
    };
    floodmark::cli::main(std::env::args_os(), environment).into()
}
