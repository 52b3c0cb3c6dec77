//! Where the servers are.

/// The broker, as host and port.
pub(crate) fn kafka_address() -> String {
    told("FLOODMARK_TEST_KAFKA")
}

/// What the environment tells of the servers.
fn told(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: start the servers with scripts/services.sh, which prints it")
    })
}
