//! The standalone binary: parses the command line, calls [`floodmark::cli`], and turns the outcome into an exit code.

fn main() {}
